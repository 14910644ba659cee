"""Val loss over fixed windows: the measure of a run's evaluations and of `shakegpt evaluate`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.config import Dtype, EvaluateConfig
from shakegpt.data.dataset import Dataset, as_tensors, equally_long
from shakegpt.data.evaluation import evaluation
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError
from shakegpt.format import bits
from shakegpt.hardware.device import Place, choose
from shakegpt.model import GPT
from shakegpt.nn import chunked_loss
from shakegpt.runlog import history
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.metrics import bits_per_character
from shakegpt.runlog.schema import Run
from shakegpt.sanitize import one_line


@dataclass(frozen=True)
class Measured:
    """Mean loss in nats a token, over how many tokens of how many characters, and how sure: its
    standard error.
    """

    loss: float
    tokens: int
    characters: int
    standard_error: float | None


ALONE = Team()


def _nothing() -> None:
    pass


@torch.inference_mode()
def measure(
    model: GPT,
    dataset: Dataset,
    eval_tokens: int,
    batch_size: int,
    place: Place,
    check: Callable[[], None] = _nothing,
    team: Team = ALONE,
) -> Measured:
    """Loss of `model` over the validation windows of `dataset`; `check` is called between them.

    The processes of a team take turns at the batches, which stay what one process makes of them:
    the loss of a model does not depend on who measured it.
    """
    windows = dataset.eval_windows(dataset.val, eval_tokens)
    batches = list(equally_long(windows, batch_size))
    found = [torch.zeros(len(some), dtype=torch.float64) for some in batches]
    for first in range(0, len(batches), team.size):
        mine = min(first + team.rank, len(batches) - 1)  # without one left, do the last again
        x, y = as_tensors(dataset.val, batches[mine])
        with place.autocast():
            each = chunked_loss.losses(model, x.to(place.device), y.to(place.device))  # (B, T)
        if mine == first + team.rank:
            found[mine] = each.mean(1).to("cpu", torch.float64)
        check()
    losses = team.sum(torch.cat(found)).tolist()
    tokens = sum(window.length for window in windows)
    total = sum(loss * w.length for loss, w in zip(losses, windows, strict=True))
    characters = dataset.predicted_characters(dataset.val, windows)
    return Measured(total / tokens, tokens, characters, standard_error(losses))


def standard_error(losses: list[float]) -> float | None:
    """Standard error of the mean over windows; None with fewer than two."""
    if len(losses) < 2:
        return None
    mean = sum(losses) / len(losses)
    variance = sum((loss - mean) ** 2 for loss in losses) / (len(losses) - 1)
    return math.sqrt(variance / len(losses))


def evaluate(name: str, asked: EvaluateConfig) -> int:
    """The verb: print the val loss of a run's best model, a checkpoint, or a hub model."""
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    source = checkpoint.find(name)
    shape = checkpoint.read_config(source.folder)
    run = _run_of(name)
    how = _as_the_run(asked, run)
    block_size = how.block_size or shape.block_size
    if block_size > shape.block_size:
        raise ShakegptError(f"--block-size {block_size} is over the {shape.block_size} of {name}")
    place = choose(how.device, how.dtype)
    vocabulary = checkpoint.vocabulary(source.folder)
    what = evaluation(asked, run, vocabulary, block_size)
    dataset, text = what.dataset, what.dataset.text
    for note in text.notes:
        print(f"shakegpt: {one_line(note, 300)}", file=sys.stderr)
    model = checkpoint.load(source.folder).to(place.device).eval()
    found = measure(model, dataset, what.eval_tokens, how.batch_size, place)
    if not math.isfinite(found.loss):
        raise ShakegptError(
            f"the val loss of {source.name} is not finite: its weights are damaged or it was "
            "trained at too high a --learning-rate; take another checkpoint",
            exit_code=1,
        )
    per_character = bits_per_character(found.loss, found.tokens, found.characters)
    sure = f" +- {found.standard_error:.4f}" if found.standard_error is not None else ""
    print(
        f"{source.name} on {text.name}, {what.part}: val loss {found.loss:.4f}{sure} nats a token, "
        f"{bits(per_character)}, perplexity {math.exp(min(found.loss, 700)):.1f}, over "
        f"{found.tokens:,} of {len(dataset.val):,} tokens, {place.device} {place.dtype}"
    )
    return 0


def _as_the_run(asked: EvaluateConfig, past: Run | None) -> EvaluateConfig:
    """What was not asked for as the run did it: its sequence length and arithmetic."""
    if past is None:
        return asked
    return replace(
        asked,
        block_size=asked.block_size or past.config.get("block_size"),
        dtype=cast("Dtype", past.dtype) if asked.dtype == "auto" else asked.dtype,
    )


def _run_of(name: str) -> Run | None:
    """The header of the run that `name` is; None when it is no run."""
    return history.load(Path(name))[0].run if (Path(name) / LOG_NAME).exists() else None
