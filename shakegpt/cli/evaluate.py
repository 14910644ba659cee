"""`shakegpt evaluate`: the val loss of a run's best model, a checkpoint, or a model of the hub."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from shakegpt.checkpoint.config_json import read_config
from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.cli.model import ModelArgument, load_model, note, open_vocabulary
from shakegpt.config import EvaluateConfig
from shakegpt.config.fields import Dtype
from shakegpt.data.folders import RECORDS, kind_of
from shakegpt.errors import ShakegptError
from shakegpt.format import bits, perplexity
from shakegpt.runlog import history
from shakegpt.runlog.metrics import bits_per_character
from shakegpt.runlog.schema import Run

ABOUT = "Val loss and perplexity of a model, over fixed sequences of a text."


@dataclass(frozen=True, kw_only=True)
class Arguments(EvaluateConfig, ModelArgument):
    """All arguments of the command."""


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt evaluate", words, ABOUT)
    from shakegpt.cli import preflight  # help needs none of this

    run = history.header(Path(arguments.model))
    config = _like_the_run(arguments, run)
    preflight.evaluate(arguments.model, config)
    with heavy_imports():
        from shakegpt.data.evaluation import evaluation
        from shakegpt.hardware.device import choose
        from shakegpt.train.evaluate import measure

    place = choose(config.device, config.dtype)
    source, vocabulary = open_vocabulary(arguments.model)
    block_size = config.block_size or read_config(source.folder).block_size
    measured = evaluation(config, run, vocabulary, block_size)
    dataset, text = measured.dataset, measured.dataset.text
    for sentence in (*text.notes, *dataset.warnings):
        note(sentence)
    model = load_model(source, place.device, arguments.threads)
    result = measure(model, dataset, measured.eval_tokens, config.batch_size, place)
    if not math.isfinite(result.loss):
        raise ShakegptError(
            f"the val loss of {source.name} is not finite: its weights are damaged, or its "
            "learning rate was too high; use another checkpoint",
            exit_code=1,
        )
    per_character = bits_per_character(result.loss, result.tokens, result.characters)
    error = f" +- {result.standard_error:.4f}" if result.standard_error is not None else ""
    print(
        f"{source.name} on {text.name}, {measured.part}: val loss {result.loss:.4f}{error} nats a "
        f"token, {bits(per_character)}, perplexity {perplexity(result.loss):.1f}, over "
        f"{result.tokens:,} of {len(dataset.val):,} tokens, {place.device} {place.dtype}"
    )
    return 0


def _like_the_run(arguments: EvaluateConfig, run: Run | None) -> EvaluateConfig:
    """`arguments`, with the sequence length and dtype of the run where they are not given."""
    if run is None:
        return arguments
    names, field = arguments.dataset or (), arguments.text_field
    if names and all(kind_of(name) in RECORDS for name in names):
        field = field or run.config.get("text_field")
    return replace(
        arguments,
        text_field=field,
        block_size=arguments.block_size or run.config.get("block_size"),
        dtype=cast("Dtype", run.dtype) if arguments.dtype == "auto" else arguments.dtype,
    )
