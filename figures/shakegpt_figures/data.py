"""The deck's data: a run's history made into `RunData`, written whole to slides/data/run.json.

Neither torch nor matplotlib: the deck's numbers do not wait for either.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from shakegpt.data.speakers import invented
from shakegpt.errors import ShakegptError
from shakegpt.format import parameters, rate
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import (
    Fall,
    fall,
    finite_evals,
    largest_rise,
    loss_of,
    micro_losses,
    noise,
    shown_sample,
    upward_share,
    wall_seconds,
)
from shakegpt.runlog.status import standing
from shakegpt_figures import words
from shakegpt_figures.excerpt import clean, excerpt, speakers
from shakegpt_figures.numbers import (
    characters,
    difference,
    digits,
    duration,
    listing,
    loss,
    percent,
    perplexity,
    place,
)
from shakegpt_figures.rundata import (
    Alt,
    Code,
    Curves,
    DatasetInfo,
    ModelInfo,
    Number,
    RunData,
    RunInfo,
    SampleInfo,
    Settings,
)
from shakegpt_figures.whole import replace

POINTS = 200
"""Of a curve, at most so many go to the deck."""


def write(history: History, log: Path, path: Path) -> RunData:
    """Write what the deck shows of a run to `path`, replacing the file whole; returns it.

    Raises ShakegptError when the log lacks what a slide needs, or `path` cannot be written.
    """
    told = run_data(history, log)
    replace(path, encoded(told))
    return told


def encoded(told: RunData) -> bytes:
    """As it stands in run.json."""
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def read(path: Path) -> RunData:
    """What `write` wrote. Raises ShakegptError for a file of another shape."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunData)
    except (OSError, msgspec.MsgspecError) as error:
        raise ShakegptError(
            f"{path} is not the deck's data ({error}): run `shakegpt figures` to write it"
        ) from error


def run_data(history: History, log: Path) -> RunData:
    """Everything a slide shows of this run. Raises ShakegptError naming what the log lacks."""
    run = words.header(history)
    told = fall(history)
    if told is None:
        raise ShakegptError(
            _lacks(run, "evaluation with a finite val loss", "let it evaluate once")
        )
    sample = shown_sample(history)
    if sample is None:
        raise ShakegptError(_lacks(run, "sample", "train with --max-new-tokens above 0"))
    return RunData(
        run=_run(history, run, log),
        model=_model(run.model),
        dataset=_dataset(run.dataset),
        settings=_settings(history, run, sample),
        curves=_curves(history, told),
        code=_code(),
        sample=_sample(sample, run.dataset),
        alt=_alt(history, run),
    )


def _lacks(run: ev.Run, what: str, way_out: str) -> str:
    return f"the log of {run.run_id} has no {what} yet, which the deck shows: {way_out}"


def _whole(value: int) -> Number:
    return Number(value, digits(value))


def _loss(value: float) -> Number:
    return Number(value, loss(value))


def _percent(value: float) -> Number:
    return Number(value, percent(value))


def _difference_or_none(value: float | None) -> Number | None:
    return None if value is None else Number(value, difference(value))


def _share_or_none(share: float | None) -> Number | None:
    return None if share is None else _percent(100 * share)


def _choices(nats: float) -> Number:
    return Number(math.exp(min(nats, 700)), perplexity(nats))


def _run(history: History, run: ev.Run, log: Path) -> RunInfo:
    try:
        digest = hashlib.sha256(log.read_bytes()).hexdigest()
    except OSError as error:
        raise ShakegptError(f"{log} cannot be read: {error.strerror}") from error
    latest = history.resumes[-1] if history.resumes else run
    wall = wall_seconds(history)
    tokens = max((p.tokens for p in history.progress.values()), default=0)
    return RunInfo(
        id=clean(run.run_id),
        log_sha256=digest,
        log_short=digest[:8],
        status=standing(history),
        iterations=_whole(history.iteration),
        tokens=_whole(tokens),
        wall=Number(wall, duration(wall)),
        place=clean(place(latest.device, latest.threads)),
        commit=run.git.commit if run.git else None,
    )


def _model(model: ev.Model) -> ModelInfo:
    return ModelInfo(
        name=clean(words.model_name(model)),
        n_params=Number(model.n_params, parameters(model.n_params)),
        n_params_exact=_whole(model.n_params),
        n_layer=_whole(model.n_layer),
        n_head=_whole(model.n_head),
        n_embd=_whole(model.n_embd),
        block_size=_whole(model.block_size),
        vocab_size=_whole(model.vocab_size),
    )


def _dataset(dataset: ev.Dataset) -> DatasetInfo:
    known = {"plays": "Shakespeare’s plays, all of them", "tinyshakespeare": "Tiny Shakespeare"}
    return DatasetInfo(
        title=clean(known.get(dataset.name, dataset.name)),
        characters=Number(dataset.characters, characters(dataset.characters)),
        train_tokens=_whole(dataset.train_tokens),
        val_tokens=_whole(dataset.val_tokens),
        eval_tokens=_whole(dataset.eval_tokens),
        speakers=_whole(len(dataset.speakers)),
    )


def _settings(history: History, run: ev.Run, sample: SampleView) -> Settings:
    config = words.config(history)
    batch = int(_told(config, "batch_size", run))
    steps = int(_told(config, "gradient_accumulation_steps", run))
    window = int(config.get("block_size") or run.model.block_size)
    learning_rate = float(_told(config, "learning_rate", run))
    temperature = sample.start.settings.temperature
    return Settings(
        pretrained=config.get("init_from") != "scratch",
        constant=not config.get("decay_lr"),
        learning_rate=Number(learning_rate, rate(learning_rate)),
        batch_size=_whole(batch),
        accumulation=_whole(steps),
        window=_whole(window),
        tokens_per_update=_whole(batch * steps * window),
        temperature=Number(temperature, f"{temperature:g}"),
    )


def _told(config: dict[str, Any], name: str, run: ev.Run) -> float:
    value = config.get(name)
    if not isinstance(value, int | float):
        raise ShakegptError(
            f"the log of {run.run_id} does not say its {name} ({value!r}), which the deck shows: "
            "give a run that shakegpt wrote"
        )
    return value


def _curves(history: History, told: Fall) -> Curves:
    first, best = loss_of(told.start), loss_of(told.best)
    train, val = micro_losses(history), [loss_of(e) for e in finite_evals(history)]
    return Curves(
        first=_loss(first),
        best=_loss(best),
        last=_loss(loss_of(told.last)),
        drop=_percent(told.percent),
        improved=told.improved,
        best_iteration=_whole(told.best.iteration),
        evaluations=_whole(len(val)),
        first_perplexity=_choices(first),
        best_perplexity=_choices(best),
        noise=_difference_or_none(noise(train)),
        train_upward=_share_or_none(upward_share(train)),
        val_upward=_share_or_none(upward_share(val)),
        largest_rise=_difference_or_none(largest_rise(val)),
        val=_thinned([(e.iteration, loss_of(e)) for e in finite_evals(history)]),
        train=_thinned(
            [(s.iteration, s.loss) for s in history.steps.values() if s.loss is not None]
        ),
    )


def _thinned(points: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Every k-th point by iteration, the last one always, rounded to what a screen can tell."""
    step = -(-len(points) // POINTS) or 1
    kept = sorted(points)[::-step][::-1]
    return tuple((iteration, round(loss, 4)) for iteration, loss in kept)


def _code() -> Code:
    return Code(model=_lines_of("model.py"), finetune=_lines_of("finetune.py"))


def _lines_of(name: str) -> Number:
    source = resources.files("shakegpt").joinpath(name).read_text("utf-8")
    return _whole(len(source.splitlines()))


def _sample(sample: SampleView, dataset: ev.Dataset) -> SampleInfo:
    text = sample.start.prompt + sample.text
    lines, cut = excerpt(text)
    shown = speakers(lines)
    new = invented(shown, dataset.speakers) if dataset.speakers else []
    return SampleInfo(
        prompt=clean(sample.start.prompt),
        lines=lines,
        cut=cut,
        iteration=_whole(sample.start.iteration),
        tokens=_whole(len(sample.tokens)),
        speakers=_whole(len(shown)),
        invented=listing(new),
        invented_count=_whole(len(new)),
        known=listing([name for name in shown if name not in new]),
    )


def _alt(history: History, run: ev.Run) -> Alt:
    return Alt(
        training=words.training_alt(history),
        architecture=words.architecture_alt(run.model),
        generation=words.generation_alt(history, 0, 3),
    )
