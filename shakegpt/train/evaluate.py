"""Val loss over fixed windows, for a run's evaluations and for `shakegpt evaluate`."""

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
from shakegpt.nn import chunked_loss, matmul
from shakegpt.runlog import history
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.metrics import bits_per_character
from shakegpt.runlog.schema import Run
from shakegpt.sanitize import one_line


@dataclass(frozen=True)
class ValLoss:
    """Mean loss in nats per token, over how many tokens and characters, and its standard error."""

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
) -> ValLoss:
    """Loss of `model` over the validation windows of `dataset`; `check` is called between batches.

    The processes of a team take turns at the batches, which are those of a single process: the loss
    does not depend on the number of processes.
    """
    windows = dataset.eval_windows(dataset.val, eval_tokens)
    batches = list(equally_long(windows, batch_size))
    window_losses = [torch.zeros(len(batch), dtype=torch.float64) for batch in batches]
    for first in range(0, len(batches), team.size):
        mine = min(first + team.rank, len(batches) - 1)  # with none left, repeat the last one
        x, y = as_tensors(dataset.val, batches[mine])
        with place.autocast():
            losses = chunked_loss.losses(model, x.to(place.device), y.to(place.device))  # (B, T)
        if mine == first + team.rank:
            window_losses[mine] = losses.mean(1).to("cpu", torch.float64)
        check()
    means = team.sum(torch.cat(window_losses)).tolist()
    tokens = sum(window.length for window in windows)
    total = sum(mean * window.length for mean, window in zip(means, windows, strict=True))
    characters = dataset.predicted_characters(dataset.val, windows)
    return ValLoss(total / tokens, tokens, characters, standard_error(means))


def standard_error(losses: list[float]) -> float | None:
    """Standard error of the mean over windows; None with fewer than two."""
    if len(losses) < 2:
        return None
    mean = sum(losses) / len(losses)
    variance = sum((loss - mean) ** 2 for loss in losses) / (len(losses) - 1)
    return math.sqrt(variance / len(losses))


def evaluate(name: str, options: EvaluateConfig) -> int:
    """The command: print the val loss of a run's best model, a checkpoint, or a hub model."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    source = checkpoint.find(name)
    shape = checkpoint.read_config(source.folder)
    run = _run_of(name)
    how = _with_defaults_of(run, options)
    block_size = how.block_size or shape.block_size
    if block_size > shape.block_size:
        raise ShakegptError(
            f"--block-size must be at most {shape.block_size} for {name}, got {block_size}"
        )
    place = choose(how.device, how.dtype)
    what = evaluation(options, run, checkpoint.vocabulary(source.folder), block_size)
    dataset, text = what.dataset, what.dataset.text
    for note in text.notes:
        print(f"shakegpt: {one_line(note, 300)}", file=sys.stderr)
    model = checkpoint.load(source.folder).to(place.device).eval()
    matmul.install(model)
    val = measure(model, dataset, what.eval_tokens, how.batch_size, place)
    if not math.isfinite(val.loss):
        raise ShakegptError(
            f"the val loss of {source.name} is not finite: its weights are damaged, or it was "
            "trained at too high a --learning-rate; use another checkpoint",
            exit_code=1,
        )
    per_character = bits_per_character(val.loss, val.tokens, val.characters)
    error = f" +- {val.standard_error:.4f}" if val.standard_error is not None else ""
    print(
        f"{source.name} on {text.name}, {what.part}: val loss {val.loss:.4f}{error} nats per "
        f"token, {bits(per_character)}, perplexity {math.exp(min(val.loss, 700)):.1f}, over "
        f"{val.tokens:,} of {len(dataset.val):,} tokens, {place.device} {place.dtype}"
    )
    return 0


def _with_defaults_of(run: Run | None, options: EvaluateConfig) -> EvaluateConfig:
    """Options that are not given as in the run: its sequence length and dtype."""
    if run is None:
        return options
    return replace(
        options,
        block_size=options.block_size or run.config.get("block_size"),
        dtype=cast("Dtype", run.dtype) if options.dtype == "auto" else options.dtype,
    )


def _run_of(name: str) -> Run | None:
    """The header of the run directory `name`; None if it is something else."""
    return history.load(Path(name))[0].run if (Path(name) / LOG_NAME).exists() else None
