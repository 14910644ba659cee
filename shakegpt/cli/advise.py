"""`shakegpt advise`: settings that suit a text and a model, from short runs on both."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.config import FinetuneConfig
from shakegpt.config.bounds import Choice, Several, Switch, Text, integer, real, setting
from shakegpt.config.commands import PROBED
from shakegpt.config.fields import MACHINE, TEXTS, TRAINING, WHAT, Device, Dtype
from shakegpt.errors import ShakegptError
from shakegpt.format import duration, loss, rate, size
from shakegpt.sanitize import one_line

if TYPE_CHECKING:
    from shakegpt.advise.recommend import Recommendation

ABOUT = """Find settings that suit a text: short runs on the real model and text compare learning
rates, batch sizes and lengths, and forecast the val loss. Prints the command to train with."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    text: tuple[str, ...] = setting(
        cast("Any", MISSING),
        Several(Text("TEXT", path=True, known=("plays", "tinyshakespeare"))),
        "Text to learn, named as in `shakegpt finetune --dataset`.",
        WHAT,
        positional=True,
    )
    init_from: str = setting(
        "pocket",
        Text("MODEL", path=True, known=("pocket", "gpt2", "gpt2-medium", "distilgpt2")),
        "Model to start from, as in `shakegpt finetune`.",
        WHAT,
    )
    text_field: str | None = setting(
        None,
        Text("FIELD"),
        "Field or column of record files that holds the text.",
        WHAT,
        none="as in finetune",
    )
    separate_documents: bool = setting(
        True,
        Switch(),
        "Put the end-of-text token after each document, as in finetune.",
        WHAT,
    )
    val_dataset: tuple[str, ...] | None = setting(
        None,
        TEXTS,
        "Text to validate on; all of TEXT is then trained on.",
        WHAT,
        none="the last part of TEXT",
    )
    val_fraction: float | None = setting(
        None,
        real(0, 0.9, "fraction", above=True),
        "Fraction of the characters of TEXT held out from its end for validation.",
        WHAT,
        none="0.1",
    )
    block_size: int | None = setting(
        None,
        integer(2, unit="tokens"),
        "Sequence length; a short text needs short sequences.",
        WHAT,
        none="what suits the model",
    )
    minutes: float = setting(
        2.0,
        real(0, 100_000, "minutes", above=True),
        "How long the run may take on this machine; a text that is learned sooner gets less.",
        TRAINING,
    )
    apply: bool = setting(False, Switch(), "Start the recommended run at once.", TRAINING)
    probe_seconds: float = setting(
        50.0,
        real(1, 1e6, "seconds"),
        "How long the short runs may take together. A model too slow for it takes what it needs, "
        "which is said first; more than 5 minutes need --long.",
        MACHINE,
    )
    long: bool = setting(
        False, Switch(), "Make the short runs also where they take more than 5 minutes.", MACHINE
    )
    seed: int = setting(1337, integer(0, 2**63 - 1, "seed"), "Seed of the short runs.", MACHINE)
    device: Device = setting("auto", Choice(*get_args(Device)), "As in finetune.", MACHINE)
    dtype: Dtype = setting("auto", Choice(*get_args(Dtype)), "As in finetune.", MACHINE)
    threads: int | None = setting(
        None, integer(1, 4096, "threads"), "CPU threads.", MACHINE, none="PyTorch's choice"
    )
    json: bool = setting(False, Switch(), "Print the recommendation as JSON; progress on stderr.")


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt advise", words, ABOUT)
    from shakegpt.cli import preflight  # help needs none of this
    from shakegpt.cli.request import Request

    if arguments.init_from == "scratch":
        raise ShakegptError("--init-from must be a pretrained model, got scratch")
    if arguments.apply and arguments.json:
        raise ShakegptError("--apply and --json cannot be combined")
    settings = {name: getattr(arguments, name) for name in PROBED} | {"dataset": arguments.text}
    request = Request(None, {name: value for name, value in settings.items() if value is not None})
    if request.reads_pipe:
        raise ShakegptError("advise reads the text several times: give a file, not a pipe")
    if (missing := preflight.missing_text(arguments.text)) is not None:
        use = "plays, tinyshakespeare, a text file or a directory of texts"
        raise ShakegptError(f"TEXT {missing} does not exist: use {use}")
    config = request.config(preflight.model(arguments.init_from))
    preflight.require_no_faults(config)
    preflight.finetune(config)
    with heavy_imports(trains=True):
        from shakegpt.advise.recommend import recommend

    def say(line: str) -> None:
        print(f"shakegpt: {one_line(line, 400)}", file=sys.stderr, flush=True)

    advice = recommend(config, arguments.minutes, arguments.probe_seconds, say, long=arguments.long)
    if arguments.json:
        print(json.dumps(advice.as_json()))
        return 0
    print(*map(one_line, report(advice)), sep="\n", flush=True)
    if arguments.apply:
        from shakegpt.cli import finetune

        return finetune.main(advice.command[1:])
    print(one_line(shlex.join(["shakegpt", "advise", *words, "--apply"])), "starts it")
    return 0


def report(advice: Recommendation) -> Iterator[str]:
    """The recommendation in lines: each setting with the measured reason, then the command."""
    config, best, usual = advice.config, advice.best, FinetuneConfig()
    length = config.block_size or usual.block_size
    step_tokens = advice.tokens // config.max_iters
    others = sorted(
        (run.rate, run.loss)
        for run in advice.runs
        if (run.tokens, run.step_tokens) == (best.tokens, best.step_tokens) and run is not best
    ) or [(run.rate, run.loss) for run in advice.runs if run.tokens == advice.runs[0].tokens]
    tried = ", ".join(f"{_loss(nats)} with {rate(r)}" for r, nats in others)
    line = f"learning rate  {rate(config.learning_rate)}: "
    if config.learning_rate < best.rate and step_tokens == best.step_tokens:
        line += f"a longer run wants less than the best short one, {rate(best.rate)}: "
    yield f"{line}val loss {best.loss:.3f} after {best.tokens:,} tokens; {tried}"
    line = f"batch          {step_tokens // (length or 1)} x {length} tokens a step"
    if advice.larger is not None:
        larger = advice.larger
        line += (
            f": {best.loss:.3f} against {_loss(larger.loss)} with {larger.step_tokens:,}, both "
            f"after {larger.tokens:,} tokens"
        )
    yield line
    why = {
        "time": "as many as fit in the time; val loss would still fall after them",
        "turned": "longer short runs ended with a higher val loss: they memorized the text",
        "unseen": "a longer run may memorize the text, which the short runs cannot show",
    }
    yield (
        f"iterations     {config.max_iters:,}, {advice.tokens:,} tokens, {advice.epochs:.1f} epochs"
        f": {why[advice.limit]}"
    )
    guess = advice.forecast
    yield (
        f"val loss       {guess.loss:.2f} expected ({guess.low:.2f} to {guess.high:.2f}), from "
        f"{advice.start.loss:.2f}"
    )
    yield f"time           {duration(advice.seconds)}, at {advice.speed:,.0f} tok/s in the probe"
    yield f"memory         {size(advice.memory)}"
    if advice.longer:
        more = ", ".join(f"{minutes} min {guess.loss:.2f}" for minutes, guess in advice.longer)
        yield f"longer         {more}"
    for sentence in advice.unknown:
        yield f"cannot tell    {sentence}"
    yield shlex.join(["shakegpt", *advice.command])


def _loss(nats: float) -> str:
    """A short run's val loss."""
    return loss(nats, 3, missing="diverged")
