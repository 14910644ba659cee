"""The deck's data: a run's history as `RunData`, which is written to slides/data/run.json.

Neither torch nor matplotlib: the deck's numbers do not wait for either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.format import parameters, perplexity, rate
from shakegpt.runlog import metrics
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import finite_evals, loss_of
from shakegpt.runlog.status import state_text
from shakegpt_figures import inside_words, numbers, rundata, sampledata, words
from shakegpt_figures.excerpt import clean
from shakegpt_figures.rundata import Number, RunData, optional, whole
from shakegpt_figures.story import Outcome, first_not_finite, outcome, story

NO_BREAK = "\N{NO-BREAK SPACE}"
QUICK = 100
"""Iterations that are few beside the thousands of a pretraining."""
POINTS = 200
"""Of a curve, at most so many go to the deck."""


def encoded(deck_data: RunData) -> bytes:
    """The bytes of run.json."""
    return msgspec.json.format(msgspec.json.encode(deck_data), indent=2) + b"\n"


def read(path: Path) -> RunData:
    """Decode a run.json. Raises ShakegptError for a file of another shape."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunData)
    except (OSError, msgspec.MsgspecError) as error:
        raise ShakegptError(
            f"{path} is not the deck's data ({error}): run `shakegpt figures` to write it"
        ) from error


def run_data(history: History, log: Path, digest: str | None = None) -> RunData:
    """Everything a slide shows of this run; `digest` is the log's sha256, computed by default.

    Raises ShakegptError naming what the log lacks.
    """
    run = words.header(history)
    change, sample = metrics.fall(history), metrics.featured_sample(history)
    if change is None or sample is None:
        what, way_out = "sample", "train with --max-new-tokens above 0"
        if change is None:
            what, way_out = "evaluation with a finite val loss", "let it evaluate once"
        raise ShakegptError(
            f"the log of {run.run_id} has no {what} yet, which the deck shows: {way_out}"
        )
    settings, curves = _settings(history, run, sample), _curves(history, change)
    shown = sampledata.info(sample, run.dataset)
    samples = sampledata.same_prompt(history, sample, run.dataset)
    kind = outcome(history)
    facts = {
        "noise": curves.noise,
        "rise": curves.largest_rise and curves.largest_rise.value,
        "not_finite": curves.not_finite,
        "before": len(samples) > 1,
        "quick": history.iteration <= QUICK,
        "copied": None if sample.copies is None else sample.copies.longest,
    }
    return RunData(
        run=_run(history, run, digest or sha256(log), kind),
        model=_model(run.model),
        dataset=_dataset(run.dataset),
        settings=settings,
        curves=curves,
        code=rundata.Code(model=_lines_of("model.py"), finetune=_lines_of("finetune.py")),
        sample=shown,
        samples=samples,
        draw=sampledata.draw(sample),
        story=story(
            kind,
            pretrained=settings.pretrained,
            facts=facts,
            invented=bool(shown.invented),
            play=bool(run.dataset.speakers and shown.known),
        ),
        alt=rundata.Alt(
            training=words.training_alt(history),
            architecture=words.architecture_alt(run.model),
            generation=words.generation_alt(history),
            samples=words.samples_alt(history),
            inside=inside_words.alt(history),
        ),
    )


def sha256(log: Path) -> str:
    """sha256 of a log's bytes, hex. Raises ShakegptError when it cannot be read."""
    try:
        return hashlib.sha256(log.read_bytes()).hexdigest()
    except OSError as error:
        raise ShakegptError(f"{log} cannot be read: {error.strerror}") from error


def _loss(value: float) -> Number:
    return Number(value, numbers.loss(value))


def _share(share: float | None) -> Number | None:
    return optional(None if share is None else 100 * share, numbers.percent)


def _perplexity(nats: float) -> Number:
    return Number(perplexity(nats), numbers.perplexity(nats))


def _iterations(count: int) -> Number:
    return Number(count, numbers.count(count, "iteration"))


def _run(history: History, run: ev.Run, digest: str, kind: Outcome) -> rundata.RunInfo:
    latest = history.resumes[-1] if history.resumes else run
    wall = metrics.wall_seconds(history)
    tokens = max((p.tokens for p in history.progress.values()), default=0)
    return rundata.RunInfo(
        id=clean(run.run_id),
        log_sha256=digest,
        log_short=digest[:8],
        status=state_text(history),
        outcome=kind,
        iterations=whole(history.iteration),
        iterations_noun=_iterations(history.iteration),
        tokens=whole(tokens),
        wall=Number(wall, numbers.duration(wall)),
        place=clean(numbers.place(latest.device, latest.threads)),
        commit=run.git.commit if run.git else None,
    )


def _model(model: ev.Model) -> rundata.ModelInfo:
    return rundata.ModelInfo(
        name=clean(words.model_name(model)),
        about=", small enough for a CPU" if model.name == "pocket" else "",
        on=" on English" if words.is_published(model) else "",
        n_params=Number(model.n_params, parameters(model.n_params)),
        n_params_exact=whole(model.n_params),
        n_layer=whole(model.n_layer),
        n_head=whole(model.n_head),
        n_embd=whole(model.n_embd),
        block_size=whole(model.block_size),
        vocab_size=whole(model.vocab_size),
    )


def _dataset(dataset: ev.Dataset) -> rundata.DatasetInfo:
    known = {"plays": "Shakespeare’s plays, all of them", "tinyshakespeare": "Tiny Shakespeare"}
    return rundata.DatasetInfo(
        title=clean(known.get(dataset.name, dataset.name)),
        short=clean(words.text_name(dataset)),
        characters=Number(dataset.characters, numbers.characters(dataset.characters)),
        train_tokens=whole(dataset.train_tokens),
        val_tokens=whole(dataset.val_tokens),
        eval_tokens=whole(dataset.eval_tokens),
        speakers=whole(len(dataset.speakers)),
    )


def _settings(history: History, run: ev.Run, sample: SampleView) -> rundata.Settings:
    config = words.config(history)
    batch = int(_number(config, "batch_size", run))
    steps = int(_number(config, "gradient_accumulation_steps", run))
    window = int(config.get("block_size") or run.model.block_size)
    learning_rate = float(_number(config, "learning_rate", run))
    return rundata.Settings(
        pretrained=config.get("init_from") != "scratch",
        constant=not config.get("decay_lr"),
        learning_rate=Number(learning_rate, rate(learning_rate)),
        sequences=Number(batch * steps, f"{batch:,} × {steps:,}".replace(" ", NO_BREAK)),
        window=whole(window),
        tokens_per_iteration=whole(batch * steps * window),
        sampling=words.sampling(sample.start.settings),
    )


def _number(config: dict[str, Any], name: str, run: ev.Run) -> float:
    value = config.get(name)
    if not isinstance(value, int | float):
        raise ShakegptError(
            f"the log of {run.run_id} has no number for {name} ({value!r}), which the deck shows: "
            "give a run that shakegpt wrote"
        )
    return value


def _curves(history: History, change: metrics.Fall) -> rundata.Curves:
    first, best, last = (loss_of(e) for e in (change.start, change.best, change.last))
    bad = first_not_finite(history)
    by_character = [bits(history, nats) for nats in (first, best)]
    train, val = metrics.micro_losses(history), [loss_of(e) for e in finite_evals(history)]
    return rundata.Curves(
        first=_loss(first),
        best=_loss(best),
        last=_loss(last),
        drop=Number(change.percent, numbers.percent(change.percent)),
        improved=change.improved,
        best_iteration=whole(change.best.iteration),
        best_iteration_noun=_iterations(change.best.iteration),
        last_iteration_noun=_iterations(change.last.iteration),
        not_finite=optional(bad, numbers.digits),
        evaluations=whole(len(val)),
        first_perplexity=_perplexity(first),
        best_perplexity=_perplexity(best),
        last_perplexity=_perplexity(last),
        first_bits=_loss(by_character[0]),
        best_bits=_loss(by_character[1]),
        bits_change="; {} → {} bits per character".format(*map(numbers.loss, by_character)),
        noise=optional(metrics.noise(train), numbers.difference),
        train_upward=_share(metrics.upward_share(train)),
        val_upward=_share(metrics.upward_share(val)),
        largest_rise=optional(metrics.largest_rise(val), numbers.difference),
        val=_thinned([(e.iteration, loss_of(e)) for e in finite_evals(history)]),
        train=_thinned(
            [(s.iteration - 1, s.loss) for s in history.steps.values() if s.loss is not None]
        ),
    )


def _thinned(points: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Every k-th point by iteration, the last one always, rounded to what a screen can tell."""
    step = -(-len(points) // POINTS) or 1
    kept = sorted(points)[::-step][::-1]
    return tuple((iteration, round(loss, 4)) for iteration, loss in kept)


def bits(history: History, nats: float) -> float:
    """A loss in nats per token as bits per character, by the tokens and characters of an evaluation
    or, in a log without these, of the text.

    Unlike nats per token it compares across vocabularies, for one text.
    """
    for evaluation in history.evals.values():  # all are over the same windows
        if evaluation.characters:
            return metrics.bits_per_character(nats, evaluation.tokens, evaluation.characters) or 0.0
    dataset = words.header(history).dataset
    tokens = dataset.train_tokens + dataset.val_tokens
    return metrics.bits_per_character(nats, tokens, dataset.characters) or 0.0


def _lines_of(name: str) -> Number:
    source = resources.files("shakegpt").joinpath(name).read_text("utf-8")
    return whole(len(source.splitlines()))
