"""The head and its loss, some hundred tokens at a time: scores, losses and gradients at once.

The scores of a whole micro-batch are its largest tensor by far: (1024, 50257) numbers are 206 MB,
and plain autograd holds three of them. Here the gradient of a chunk is taken as soon as its scores
are there, in their own memory, and added into the gradient of the tied matrix, so that no other
tensor of that matrix's size is made either. The sums are the same ones in another order.

Letters in shape comments: n tokens of a chunk, N of all, C width, V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from shakegpt.distributed.group import Team
from shakegpt.hardware.device import Place
from shakegpt.hardware.memory import HEAD_ROWS
from shakegpt.model import GPT
from shakegpt.nn.matmul import can_use_onednn, matmul_nt

Pass = Callable[[Tensor, Tensor], Any]
"""A micro-batch and its targets to their loss."""
ALIGNED = 64
"""Where MKL or a GPU makes the scores, their rows begin at multiples of this many numbers: with
rows of 50,257 that begin anywhere, its products take up to twice as long."""


class LeanPass:
    """A model's training pass with its head taken in chunks; called as the model is.

    The head's gradients are made before `backward`, so the factor that the loss will have there
    must be known: `weight`, which is 1 over the micro-steps of an iteration.
    """

    def __init__(self, model: GPT, weight: float) -> None:
        self.model, self.weight = model, weight
        # the head fills a dense gradient of the tied matrix; the embedding's few rows join it
        model.wte.sparse = model.wte.weight.requires_grad

    def __call__(self, idx: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, nats a token, of targets (B, T) after idx (B, T). Call backward once."""
        x = self.model.trunk(idx).flatten(0, 1)  # (N, C)
        tied = self.model.wte.weight
        loss: Tensor = _Loss.apply(x, tied, targets.flatten(), self.weight)  # type: ignore[no-untyped-call]
        return loss


def training_pass(model: GPT, rounds: int, team: Team, place: Place) -> Pass:
    """What makes a loss of a micro-batch, one of `rounds` an iteration: the lean pass, where nobody
    else needs the head's gradients (DDP's other processes, float16's loss scale).
    """
    if (team.size == 1 or team.in_shares) and not place.scales_loss:
        return LeanPass(model, 1 / rounds)
    return cast("Pass", team.replicate(model))


@torch.no_grad()
def losses(model: GPT, idx: Tensor, targets: Tensor) -> Tensor:
    """Loss of each token, (B, T), in nats; for evaluations, without gradients."""
    x, tied = model.trunk(idx).flatten(0, 1), _as_computed(model.wte.weight)
    chunks = _chunks(x, targets.flatten())
    return torch.cat([_guess(some, tied, those)[0] for some, those in chunks]).view_as(targets)


class _Loss(torch.autograd.Function):
    """Mean cross-entropy of x (N, C) through the tied matrix (V, C) with targets (N)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tied: Tensor, targets: Tensor, weight: float) -> Tensor:
        matrix, found = _as_computed(tied), []
        dx, share = torch.empty_like(x), 1 / x.size(0)
        for some, those, d_some in _chunks(x, targets, dx):
            each, guess = _guess(some, matrix, those)  # (n), (n, V)
            found.append(each)
            rows = torch.arange(len(those), device=those.device)
            guess[rows, those] -= 1  # now d(sum of losses) / d(scores)
            wrong = guess.to(matrix.dtype)
            torch.mul(_to_inputs(wrong, matrix), share, out=d_some)
            if tied.requires_grad:
                _add_product(_gradient_of(tied), wrong.t(), some.to(matrix.dtype), share * weight)
        ctx.weight = weight
        ctx.save_for_backward(dx)
        return torch.cat(found).mean()

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor, None, None, None]:
        (factor,), (dx,) = factors, ctx.saved_tensors
        if not torch.isclose(factor, factor.new_tensor(ctx.weight)):
            raise RuntimeError(
                f"the loss was multiplied by {float(factor)} and the pass made for {ctx.weight}"
            )
        return dx * factor, None, None, None


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Rows of all tensors, HEAD_ROWS at a time, in a world without autocast."""
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield from zip(*(torch.split(tensor, HEAD_ROWS) for tensor in tensors), strict=True)


def _as_computed(tied: Tensor) -> Tensor:
    """The matrix in the arithmetic of the products: autocast's, if that is on."""
    kind = tied.device.type
    on = torch.is_autocast_enabled(kind)
    return tied.detach().to(torch.get_autocast_dtype(kind) if on else tied.dtype)


def _guess(x: Tensor, matrix: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of x (n, C): the losses of its targets (n), and every token's probability (n, V), float32."""
    scores = _scores(x.to(matrix.dtype), matrix).float()
    scores -= scores.amax(1, keepdim=True)
    right = scores.gather(1, targets[:, None])[:, 0]
    total = scores.exp_().sum(1, keepdim=True)
    return total[:, 0].log() - right, scores.div_(total)


def _scores(x: Tensor, matrix: Tensor) -> Tensor:
    """x (n, C) by each row of the matrix (V, C): (n, V)."""
    if can_use_onednn(x, matrix):
        return matmul_nt(x, matrix)
    n, width = x.size(0), matrix.size(0)
    padded = matrix.new_empty(n, -(-width // ALIGNED) * ALIGNED)[:, :width]
    return torch.mm(x, matrix.t(), out=padded)


def _to_inputs(wrong: Tensor, matrix: Tensor) -> Tensor:
    """From the gradient of scores (n, V) to that of what they were made of, (n, C)."""
    return matmul_nt(wrong, matrix.t()) if can_use_onednn(wrong, matrix) else wrong @ matrix


def _gradient_of(tied: Tensor) -> Tensor:
    """Where the gradient of the tied matrix adds up."""
    if tied.grad is None:
        tied.grad = torch.zeros_like(tied)
    return tied.grad


def _add_product(total: Tensor, a: Tensor, b: Tensor, factor: float) -> None:
    """Add factor * (a @ b) to `total`, without a temporary of its size where dtypes allow."""
    if a.dtype == total.dtype:
        total.addmm_(a, b, alpha=factor)
    else:
        total.add_(a @ b, alpha=factor)
