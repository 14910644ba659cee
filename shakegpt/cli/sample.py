"""`shakegpt sample`: draw text from a model and stream it, to the terminal or into a file."""

from __future__ import annotations

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from shakegpt.bounds import Text, setting
from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.config import WHAT, SampleConfig
from shakegpt.runlog import history
from shakegpt.runlog.schema import Settings
from shakegpt.sanitize import printable

if TYPE_CHECKING:
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.model import GPT

ABOUT = "Draw text from a model."
SEPARATOR = "-" * 15


@dataclass(frozen=True, kw_only=True)
class Arguments(SampleConfig):
    """All arguments of the command."""

    model: str = setting(
        cast("Any", MISSING),
        Text("MODEL", path=True, known=("pocket",)),
        "A run, a checkpoint directory, or a model's name as in `shakegpt finetune --init-from`.",
        WHAT,
        positional=True,
    )


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt sample", words, ABOUT)
    from shakegpt.cli import preflight  # help needs none of this

    preflight.model(arguments.model)
    with heavy_imports():
        import torch

        from shakegpt.checkpoint import io as checkpoint
        from shakegpt.hardware.device import choose
        from shakegpt.nn import matmul
        from shakegpt.nn.quantize_cost import quantize_and_measure

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    source = checkpoint.find(arguments.model)
    checkpoint.read_config(source.folder)  # says first of all whether it is a checkpoint
    tokenizer = checkpoint.vocabulary(source.folder)
    ids = tokenizer.encode(prompt, "the prompt")
    place = choose(arguments.device, "float32")
    model = checkpoint.load(source.folder).to(place.device).eval()
    matmul.install(model)
    if arguments.dtype != "float32":
        text = _text_of(arguments.model)
        cost = quantize_and_measure(model, tokenizer, text, arguments.dtype)
        print(f"shakegpt: {printable(cost)}", file=sys.stderr)
    for number in range(arguments.num_samples):
        if number:
            print(SEPARATOR)
        settings = Settings(
            max_new_tokens=arguments.max_new_tokens,
            temperature=arguments.temperature,
            top_k=arguments.top_k,
            top_p=arguments.top_p,
            seed=arguments.seed + number,
        )
        _write_one(model, tokenizer, prompt, ids, settings, sys.stdout)
    return 0


def _text_of(name: str) -> tuple[str, ...]:
    """The text that the run `name` was trained on; plays for what is no run."""
    latest = history.losses(Path(name)).latest
    return tuple(latest.config["dataset"]) if latest is not None else ("plays",)


def _write_one(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    ids: list[int],
    settings: Settings,
    out: TextIO,
) -> None:
    from shakegpt.data.tokenizer import Decoder
    from shakegpt.generate import generate

    show = printable if out.isatty() else str  # a file gets the text as it is
    out.write(show(prompt))
    decoder, warned = Decoder(tokenizer), False
    for draw in generate(model, tokenizer, ids, settings):
        if draw.slid and not warned:
            warned = True
            print(
                f"\nshakegpt: the context of {model.config.block_size} tokens is full: the text "
                "continues from its last part only",
                file=sys.stderr,
            )
        if draw.id != tokenizer.eot:
            out.write(show(decoder.add(draw.id)))
            out.flush()
    out.write(show(decoder.flush()) + "\n")
