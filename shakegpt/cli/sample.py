"""`shakegpt sample`: let a model write, to the terminal or into a file, as it draws."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.config import SampleConfig
from shakegpt.data.tokenizer import Decoder, Tokenizer
from shakegpt.generate import generate
from shakegpt.hardware.device import choose
from shakegpt.model import GPT
from shakegpt.nn import matmul
from shakegpt.nn.quantize_cost import quantize_and_measure
from shakegpt.runlog import history
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.schema import Settings
from shakegpt.sanitize import printable

SEPARATOR = "-" * 15


def write_samples(name: str, asked: SampleConfig) -> int:
    """Stream texts by the model `name` to standard output; returns the exit code."""
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    if asked.prompt == "-":
        asked = replace(asked, prompt=sys.stdin.read())
    source = checkpoint.find(name)
    checkpoint.read_config(source.folder)  # says first of all whether it is a checkpoint
    tokenizer = checkpoint.vocabulary(source.folder)
    ids = tokenizer.encode(asked.prompt)
    place = choose(asked.device, "float32")
    model = checkpoint.load(source.folder).to(place.device).eval()
    matmul.install(model)
    if asked.dtype != "float32":
        said = quantize_and_measure(model, tokenizer, _text_of(name), asked.dtype)
        print(f"shakegpt: {printable(said)}", file=sys.stderr)
    for number in range(asked.num_samples):
        if number:
            print(SEPARATOR)
        _write_one(model, tokenizer, ids, asked, number, sys.stdout)
    return 0


def _text_of(name: str) -> tuple[str, ...]:
    """The text that the run `name` was trained on; plays for what is no run."""
    run = history.load(Path(name))[0].run if (Path(name) / LOG_NAME).exists() else None
    return tuple(run.config["dataset"]) if run is not None else ("plays",)


def _write_one(
    model: GPT, tokenizer: Tokenizer, ids: list[int], asked: SampleConfig, number: int, out: TextIO
) -> None:
    settings = Settings(
        max_new_tokens=asked.max_new_tokens,
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        seed=asked.seed + number,
    )
    show = printable if out.isatty() else str  # a file gets the text as it is
    out.write(show(asked.prompt))
    decoder, told = Decoder(tokenizer), False
    for draw in generate(model, tokenizer, ids, settings):
        if draw.slid and not told:
            told = True
            print(
                f"\nshakegpt: the window of {model.config.block_size} tokens is full: it slides, "
                "and the text goes on from its last part",
                file=sys.stderr,
            )
        if draw.id != tokenizer.eot:
            out.write(show(decoder.add(draw.id)))
            out.flush()
    out.write(show(decoder.flush()) + "\n")
