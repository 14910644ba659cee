"""Val loss over fixed sequences: what a run's evaluations and `shakegpt evaluate` measure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from shakegpt.data.dataset import Dataset, as_tensors, equally_long
from shakegpt.distributed.group import Team
from shakegpt.hardware.device import Place
from shakegpt.model import GPT
from shakegpt.nn import chunked_loss


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
