"""The recommendation for a text and a model: settings, forecast, cost, and what it rests on."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shakegpt.advise.forecast import Forecast, forecast
from shakegpt.advise.search import COST, LEAST_STEPS, Search, Short, search
from shakegpt.advise.trial import Trials, schedule
from shakegpt.config import FinetuneConfig, bounds
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import scratch_folder
from shakegpt.format import duration, size
from shakegpt.generate import recorded
from shakegpt.hardware import memory
from shakegpt.hardware.device import free_memory
from shakegpt.model import GPT
from shakegpt.runlog import schema
from shakegpt.train.commands import settings
from shakegpt.train.evaluate import ValLoss, measure
from shakegpt.train.setup import TrainingSetup, initial_model, prepare

SMALLER = 16
"""The first batch is this many times smaller than the usual one: on a fixed number of tokens many
small steps beat few large ones (docs/advice.md)."""
VAL_TOKENS = 8192
"""Validation tokens that each short run is measured on."""
SHORT_RUNS = 12
"""Short runs of a search, about; each is evaluated once, which costs a third of training."""
LONG = 300.0
"""Seconds of a probe that needs to be allowed."""
PATIENT = 5.0
"""Seconds after which no further update is timed for the first estimate."""
EVALUATIONS, PATIENCE = 10, 3
"""Evaluations of a run, at most."""
OTHER_MINUTES = (1, 2, 5, 10, 30, 60)
FEW_VAL_TOKENS = 4000
WIDE = 0.03
"""Half an interval that is wide, as a share of the loss."""


@dataclass(frozen=True)
class Recommendation:
    """Settings, and what they are expected to give. Losses in nats per token, times in seconds."""

    config: FinetuneConfig
    runs: tuple[Short, ...]
    """The short runs of the probe, in the order in which they were made."""
    best: Short
    """Of the first batch, the one with the lowest val loss."""
    larger: Short | None
    tokens: int
    """Of the recommended run."""
    epochs: float
    train_tokens: int
    limit: str
    """Why it is not longer: `turned`, `unseen` or `time`."""
    start: ValLoss
    """Before training, over the windows that the run's evaluations measure."""
    forecast: Forecast
    speed: float
    """Tokens per second, measured in the probe."""
    seconds: float
    memory: int
    """Bytes, by estimate."""
    probe_seconds: float
    longer: tuple[tuple[int, Forecast], ...]
    """(minutes, forecast) for other durations."""
    unknown: tuple[str, ...]
    """Sentences on what the probe could not tell."""
    warnings: tuple[str, ...]
    """Sentences on what in the text misleads, as a run's log has them."""

    @property
    def command(self) -> list[str]:
        """The arguments of `shakegpt` that start the recommended run."""
        words, usual = ["finetune"], FinetuneConfig()
        for name, value in vars(self.config).items():
            if value != getattr(usual, name) or name in ALWAYS:
                words += bounds.words(name, value)
        return words

    def as_json(self) -> dict[str, Any]:
        """All of it, with the command as words and as one line.

        The loss of a short run that diverged is None.
        """
        values = asdict(self)
        values["config"] = {
            name: value for name, value in values["config"].items() if name in ALWAYS
        }
        line = shlex.join(["shakegpt", *self.command])
        return {"command": self.command, "line": line, **_without_infinity(values)}


def _without_infinity(value: Any) -> Any:
    """`value`, of dictionaries and sequences, with None for each number that JSON lacks."""
    if isinstance(value, dict):
        return {name: _without_infinity(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


ALWAYS = (
    *("init_from", "dataset", "max_iters", "eval_interval", "patience", "batch_size"),
    *("gradient_accumulation_steps", "block_size", "learning_rate", "optimizer"),
    *("muon_learning_rate", "decay_lr", "warmup_iters", "beta1", "beta2"),
)
"""Settings that the command always names, whatever their defaults are."""


def recommend(
    base: FinetuneConfig,
    minutes: float,
    probe_seconds: float,
    say: Callable[[str], None] = lambda line: None,
    *,
    long: bool = False,
    tokens: int | None = None,
    probe_tokens: int | None = None,
) -> Recommendation:
    """What to train `base`, settings that suit its model, with for `minutes` on its text.

    `tokens` and `probe_tokens` set the length of the run and of the probe whatever the machine's
    speed is: then the same recommendation comes out everywhere. `say` gets warnings of the text,
    then lines of progress, the first of which says how long the probe takes. Raises ShakegptError
    for a text or model that cannot be used, a model for which only --memory lowest has the memory
    and, without `long`, for a probe of more than `LONG` and `probe_seconds` seconds: after a few
    updates.
    """
    started = time.monotonic()
    with scratch_folder() as scratch:
        samples = replace(base, max_new_tokens=FinetuneConfig.max_new_tokens)
        base = replace(base, max_new_tokens=0, out_dir=None)
        setup = prepare(base, scratch / "vocabulary")
        _require_memory(setup)
        for warning in setup.dataset.warnings:
            say(f"warning: {warning}")
        length = setup.dataset.block_size
        usual = base.batch_size * base.gradient_accumulation_steps * length
        step = length * max(1, usual // SMALLER // length)
        least, measured = int(COST * LEAST_STEPS * step), SHORT_RUNS * VAL_TOKENS / 3
        speed = _first_speed(setup, scratch, step)
        budget = probe_tokens or max(int(probe_seconds * speed - measured), least)
        expected = (budget + measured) / speed
        about = (
            f"the probe takes about {duration(expected)}: short runs of {setup.name} on "
            f"{setup.dataset.text.name}, {len(setup.dataset.train):,} training tokens"
        )
        if not long and probe_tokens is None and expected > max(LONG, 1.1 * probe_seconds):
            raise ShakegptError(f"{about}; give --long for it, or a smaller model")
        say(about)
        start, at_start, eval_seconds = _before(setup, samples)
        trials = Trials(setup, scratch, VAL_TOKENS)
        trials.loss(step, base.learning_rate, LEAST_STEPS * step)
        target = tokens or int(training_seconds(minutes * 60, eval_seconds) * trials.speed)
        left = probe_seconds - (time.monotonic() - started)
        budget = probe_tokens or max(int(left * trials.speed - measured), least)

        def run(step_tokens: int, rate: float, tokens: int) -> float:
            val_loss = trials.loss(step_tokens, rate, tokens)
            ended = f"val loss {val_loss:.4f}" if math.isfinite(val_loss) else "it diverged"
            say(f"rate {rate:.2g}, {step_tokens:,} tokens a step, {tokens:,} tokens: {ended}")
            return val_loss

        result = search(run, base.learning_rate, step, target, budget, len(setup.dataset.train))
    often = EVALUATIONS if tokens else evaluations(minutes * 60, eval_seconds)
    return _conclude(
        setup, result, trials, start, at_start, eval_seconds, often, time.monotonic() - started
    )


def evaluations(seconds: float, eval_seconds: float) -> int:
    """How often a run of so many seconds is evaluated after it began: what a third of the time has
    room for beside the evaluation before it, but once at least.
    """
    return max(1, min(EVALUATIONS, int(seconds / 3 / eval_seconds) - 1))


def training_seconds(seconds: float, eval_seconds: float) -> float:
    """What the evaluations leave for training in a run of so many seconds, half of it at least."""
    measured = eval_seconds * (evaluations(seconds, eval_seconds) + 1)
    return max(seconds / 2, seconds - measured)


def _require_memory(setup: TrainingSetup) -> None:
    """Raise ShakegptError for a model that is trained a block at a time, with files of a run."""
    if setup.place.memory == "lowest":
        needed = memory.estimate(setup.shape, setup.config, "low", device=setup.place.device).total
        raise ShakegptError(
            f"short runs of {setup.name} need about {size(needed)} of memory, and "
            f"{size(free_memory(setup.place))} is free: give a smaller model",
            exit_code=1,
        )


def _first_speed(setup: TrainingSetup, scratch: Path, step: int) -> float:
    """Tokens per second in the fastest of a few updates: other work may delay one, and the first
    includes set-up. Of a slow model two.
    """
    speeds, started = list[float](), time.monotonic()
    while len(speeds) < 4 and (len(speeds) < 2 or time.monotonic() - started < PATIENT):
        trials = Trials(setup, scratch, setup.dataset.block_size)
        trials.loss(step, setup.config.learning_rate, step)
        speeds.append(trials.speed)
    return max(speeds)


def _before(setup: TrainingSetup, samples: FinetuneConfig) -> tuple[ValLoss, float, float]:
    """The loss before training over the windows of a run's evaluations, that over the probe's, and
    how many seconds the first took with the sample that a run with `samples` draws after it.
    """
    model, config = initial_model(setup).to(setup.place.device).eval(), setup.config
    how = (config.batch_size, setup.place)
    probe = measure(model, setup.dataset, VAL_TOKENS, *how).loss
    started = time.monotonic()
    whole = measure(model, setup.dataset, config.eval_tokens, *how)
    seconds = time.monotonic() - started
    return whole, probe, seconds + sample_seconds(model, setup.tokenizer, samples)


def sample_seconds(model: GPT, tokenizer: Tokenizer, config: FinetuneConfig) -> float:
    """How long a sample of a run with `config` takes; measured on its first tokens where it takes
    longer than `PATIENT` or the model ends it early.
    """
    started, drawn = time.monotonic(), 0
    for event in recorded(model, tokenizer, config.prompt, settings(config)):
        drawn += isinstance(event, schema.Token)
        if time.monotonic() - started > PATIENT:
            break
    return (time.monotonic() - started) * config.max_new_tokens / max(1, drawn)


def _conclude(
    setup: TrainingSetup,
    result: Search,
    trials: Trials,
    start: ValLoss,
    at_start: float,
    eval_seconds: float,
    often: int,
    probe_seconds: float,
) -> Recommendation:
    best, train_tokens = result.best, len(setup.dataset.train)
    if best.loss >= at_start:
        raise ShakegptError(
            f"no learning rate tried, {min(r.rate for r in result.runs):.2g} to "
            f"{max(r.rate for r in result.runs):.2g}, lowered the val loss from {at_start:.4f}: "
            "the text is too short, or its end differs from its beginning; give more text"
            + "".join(f"; {warning}" for warning in setup.dataset.warnings),
            exit_code=1,
        )
    larger, step, rate = result.larger, best.step_tokens, best.rate
    if larger is not None and larger.loss < result.at(larger.tokens)[0].loss:
        step, rate = larger.step_tokens, larger.rate
    tokens, limit = result.length(result.target, train_tokens)
    if limit != "turned":
        rate = float(f"{rate * result.slower(tokens):.2g}")
    config = schedule(setup.config, step, rate, tokens, setup.dataset.block_size)
    every = math.ceil(config.max_iters / often)
    config = replace(
        config,
        eval_interval=every,
        patience=PATIENCE,
        max_new_tokens=FinetuneConfig.max_new_tokens,
        block_size=setup.dataset.block_size,
    )
    curve = [(run.tokens, run.loss) for run in result.curve]
    ratio = start.loss / at_start  # the run's evaluations measure other windows than the probe

    def at(tokens: int) -> Forecast:
        shorter = [point for point in curve if point[0] <= tokens] or curve[:1]
        guess = forecast(shorter, tokens)
        # at worst nothing more is learned once the text repeats
        once = forecast(shorter, min(tokens, train_tokens))
        high = max(guess.high, once.high)
        return Forecast(ratio * guess.loss, ratio * guess.low, ratio * high)

    seconds = tokens / trials.speed + eval_seconds * (math.ceil(config.max_iters / every) + 1)
    place = setup.place
    others = (
        (minutes, int(training_seconds(60 * minutes, eval_seconds) * trials.speed))
        for minutes in OTHER_MINUTES
    )
    longer = tuple(
        (minutes, at(more))
        for minutes, more in others
        if tokens < more < 8 * tokens and result.length(more, train_tokens) == (more, "time")
    )
    return Recommendation(
        config=config,
        runs=tuple(result.runs),
        best=best,
        larger=larger,
        tokens=config.max_iters * step,
        epochs=config.max_iters * step / train_tokens,
        train_tokens=train_tokens,
        limit=limit,
        start=start,
        forecast=at(tokens),
        speed=trials.speed,
        seconds=seconds,
        memory=memory.estimate(setup.shape, config, place.memory, device=place.device).total,
        probe_seconds=probe_seconds,
        longer=longer,
        unknown=tuple(_unknown(result, limit, setup, start, at(tokens))),
        warnings=setup.dataset.warnings,
    )


def _unknown(
    result: Search, limit: str, setup: TrainingSetup, start: ValLoss, guess: Forecast
) -> list[str]:
    """What the probe could not tell, a sentence each."""
    sentences, train_tokens = [], len(setup.dataset.train)
    epochs = result.best.tokens / train_tokens
    if limit == "unseen":
        sentences.append(
            f"where the val loss turns: it still fell after {epochs:.1f} epochs; --patience stops "
            "the run there, and the best model is what is saved"
        )
    if guess.high - guess.low > 2 * WIDE * guess.loss:
        sentences.append(
            f"the val loss within {100 * WIDE:.0f} %: after {result.curve[-1].tokens:,} tokens it "
            "still falls by much with every doubling, and how soon that ends is not seen"
        )
    if start.tokens < FEW_VAL_TOKENS:
        error = f" (standard error {start.standard_error:.2f})" if start.standard_error else ""
        sentences.append(f"the exact val loss: {start.tokens:,} validation tokens are few{error}")
    rates = {run.rate for run in result.runs if run.step_tokens == result.step_tokens}
    if result.best.rate in (min(rates), max(rates)):
        sentences.append("the best rate: it lies at the edge of those that were tried")
    return sentences
