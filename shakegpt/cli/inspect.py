"""`shakegpt inspect`: the predictions by block and the attention of the first tokens of a text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from shakegpt.cli import preflight, why
from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.cli.model import ModelArgument, load_model, open_vocabulary, prompt_ids
from shakegpt.config import SampleConfig
from shakegpt.config.bounds import Choice, Number, Switch, Text, setting
from shakegpt.config.commands import Format
from shakegpt.config.fields import WHAT, Device
from shakegpt.errors import ShakegptError
from shakegpt.runlog import history
from shakegpt.runlog.schema import Run, Settings
from shakegpt.sanitize import printable

if TYPE_CHECKING:
    from shakegpt.model import GPT, GPTConfig

ABOUT = """See inside a model while it writes: the likeliest token after each block, what it looked
at, and for a run what training changed."""
MOST_INSPECTED = 16
MOST_TOKENS = 1000


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelArgument):
    """All arguments of the command."""

    prompt: str = setting("ROMEO:", Text("TEXT"), "Text that the model continues.", WHAT)
    tokens: int = setting(
        12,
        Number(int, 1, MOST_TOKENS, "tokens"),
        f"Tokens to write and inspect, at most {MOST_INSPECTED}; with --why, to choose from.",
        WHAT,
    )
    temperature: float = setting(
        SampleConfig.temperature,
        Number(float, 0, 100, "number"),
        "0 always takes the likeliest token.",
    )
    top_k: int | None = setting(
        SampleConfig.top_k,
        Number(int, 1, 2**31, "tokens"),
        "Draw from the likeliest tokens only.",
        none="from all",
    )
    seed: int = setting(
        SampleConfig.seed, Number(int, 0, 2**63 - 1, "number"), "Same seed, same text."
    )
    why: str | None = setting(
        None,
        Text("TOKEN"),
        "Of a run: how likely this token was after each iteration, and the ten windows of its text "
        "that moved it most, by training the run again. One of the tokens written, or one to "
        "follow the prompt; \\n stands for a line's end.",
        WHAT,
        none="inspect the model",
    )
    json: bool = setting(
        False, Switch(), "Print the inspection record, or the result of --why, as JSON."
    )
    out: str | None = setting(
        None,
        Text("FILE", path=True),
        "Also draw it, as an SVG, PNG or PDF by the file's suffix.",
        none="no figure",
    )
    device: Device = setting(
        "auto", Choice(*get_args(Device)), "Where to compute; auto: a GPU if any."
    )


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt inspect", words, ABOUT)
    format = figure_format(arguments.out)
    if arguments.why is not None:
        why.require_run(arguments.model)
        if arguments.out is not None:
            raise ShakegptError("--out cannot be combined with --why: the figure shows the model")
    elif arguments.tokens > MOST_INSPECTED:
        raise ShakegptError(
            f"--tokens must be at most {MOST_INSPECTED} without --why, got {arguments.tokens}"
        )
    preflight.model(arguments.model)
    settings = Settings(
        max_new_tokens=arguments.tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=None,
        seed=arguments.seed,
    )
    path = Path(arguments.model)
    if arguments.why is not None:
        token = arguments.why.replace("\\n", "\n")
        what = (arguments.prompt, settings, arguments.device)
        return why.explain(path, token, *what, as_json=arguments.json)
    with heavy_imports():
        import msgspec

        from shakegpt.generate import generate
        from shakegpt.hardware.device import choose
        from shakegpt.inspection.record import add_initial, inspect
        from shakegpt.inspection.report import report

    source, tokenizer = open_vocabulary(arguments.model)
    device = choose(arguments.device, "float32").device
    model = load_model(source, device)
    ids = prompt_ids(tokenizer, arguments.prompt, model.config.block_size)
    drawn = [draw.id for draw in generate(model, tokenizer, ids, settings)]
    run, best = history.header(path), history.losses(path).best_eval
    iteration, shape = best.iteration if best is not None else 0, model.config
    record = inspect(model, tokenizer, ids, drawn, iteration=iteration)
    assert record is not None  # a token was drawn and there is room
    del model  # large ones are in memory one at a time
    if run is not None and (initial := _initial_model(run, shape)) is not None:
        record = add_initial(record, initial.to(device).eval(), tokenizer, ids)
    if arguments.out is not None:
        from shakegpt_figures.inside import write_record

        write_record(record, source.name, Path(arguments.out), format)
    if arguments.json:
        print(msgspec.json.encode(record).decode())
    else:
        show = printable if sys.stdout.isatty() else str
        print(*map(show, report(record, source.name)), sep="\n")
    return 0


def figure_format(out: str | None) -> str:
    """The format of the figure, svg by default. Raises ShakegptError for another suffix."""
    format = Path(out).suffix.removeprefix(".").lower() if out is not None else "svg"
    if format not in get_args(Format):
        raise ShakegptError(f"--out {out} must end in .svg, .png or .pdf")
    return format


def _initial_model(run: Run, shape: GPTConfig) -> GPT | None:
    """The model of iteration 0 of a run whose model has that `shape`; None, with a warning on
    stderr, when it is not available.
    """
    import torch

    from shakegpt.checkpoint import io as checkpoint
    from shakegpt.model import GPT

    name = str(run.config.get("init_from"))
    if name == "scratch":
        initial = GPT(shape)
        initial.initialize(torch.Generator().manual_seed(run.seed))
        return initial
    try:
        initial = checkpoint.load(checkpoint.find(name).folder)
    except ShakegptError as error:
        print(f"shakegpt: cannot compare with the model before training: {error}", file=sys.stderr)
        return None
    if initial.config != shape:
        print(
            f"shakegpt: cannot compare with {name}: its shape has changed since this run started",
            file=sys.stderr,
        )
        return None
    return initial
