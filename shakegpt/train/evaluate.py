"""Val loss over fixed sequences, for a run's evaluations and `shakegpt evaluate`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from shakegpt.data.dataset import Dataset, as_tensors, equally_long
from shakegpt.distributed.group import Team
from shakegpt.hardware.device import Place
from shakegpt.model import GPT
from shakegpt.nn import chunked_loss


@dataclass(frozen=True)
class ValLoss:
    """Mean loss in nats per token, with its numbers of tokens and characters, and its error."""

    loss: float
    tokens: int
    characters: int
    standard_error: float | None


SINGLE = Team()
Losses = Callable[[Tensor, Tensor], Tensor]


@torch.inference_mode()
def measure(
    model: GPT,
    dataset: Dataset,
    eval_tokens: int,
    batch_size: int,
    place: Place,
    check: Callable[[], None] = lambda: None,
    team: Team = SINGLE,
    losses: Losses | None = None,
) -> ValLoss:
    """Loss of `model` over the validation windows of `dataset`; `check` is called between batches.

    `losses`, from inputs and targets (B, T) to the loss of each token, replaces the model's own; it
    is called with one batch after the other. The processes of a team share the batches of a single
    process, so the loss does not depend on the number of processes.
    """
    losses = losses or partial(chunked_loss.losses, model)
    windows = dataset.eval_windows(dataset.val, eval_tokens)
    batches = list(equally_long(windows, batch_size))
    window_losses = [torch.zeros(len(batch), dtype=torch.float64) for batch in batches]
    for first in range(0, len(batches), team.size):
        n = min(first + team.rank, len(batches) - 1)  # at the end, the last batch again
        with place.autocast():
            batch = losses(*as_tensors(dataset.val, batches[n], place.device))  # (B, T)
        if n == first + team.rank:
            window_losses[n] = batch.mean(1).to("cpu", torch.float64)
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
