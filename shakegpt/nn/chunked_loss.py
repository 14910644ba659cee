"""The head and its loss in chunks of tokens, with the gradients computed along with the logits.

The logits of a whole micro-batch are its largest tensor by far: (1024, 50257) numbers are 206 MB,
and plain autograd holds three of them. Here the gradient of a chunk is computed right after its
logits, in the same memory, and added to the gradient of the tied matrix, so that no other tensor of
that matrix's size is needed either. The sums are those of `model(x, y)` in another order.

Letters in shape comments: n tokens of a chunk, N of all, C width, V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from shakegpt.hardware.fast_paths import self_test
from shakegpt.hardware.memory import HEAD_ROWS
from shakegpt.model import GPT
from shakegpt.nn.matmul import can_use_onednn, matmul_nt

ALIGNED = 64
"""Where MKL or a GPU computes the logits, their rows are aligned to this many numbers: with
unaligned rows of 50,257, products take up to twice as long."""


class ChunkedCrossEntropy:
    """The loss of a model in training, with its head in chunks; called like `model(x, y)`.

    The head's gradients are computed before `backward`, so the gradient of the loss there must be
    known in advance: `weight`, which is 1 over the micro-steps of an iteration.
    """

    def __init__(self, model: GPT, weight: float) -> None:
        self.model, self.weight = model, weight
        # the head computes a dense gradient of a tied matrix; the embedding adds a few rows
        model.wte.sparse = model.head is model.wte and model.wte.weight.requires_grad

    def __call__(self, idx: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, nats per token, of targets (B, T) after idx (B, T). Call backward once."""
        x = self.model.trunk(idx).flatten(0, 1)  # (N, C)
        return head_loss(x, self.model.head.weight, targets.flatten(), self.weight)


def head_loss(x: Tensor, matrix: Tensor, targets: Tensor, weight: float) -> Tensor:
    """Mean cross-entropy, nats per token, of x (N, C) by the head's matrix (V, C), targets (N)."""
    loss: Tensor = _HeadLoss.apply(x, matrix, targets, weight)  # type: ignore[no-untyped-call]
    return loss


@torch.no_grad()
def losses(model: GPT, idx: Tensor, targets: Tensor) -> Tensor:
    """Loss of each token, (B, T), in nats; for evaluations, without gradients."""
    return token_losses(model.trunk(idx), model.head.weight, targets)


@torch.no_grad()
def token_losses(x: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Loss of each of targets (B, T), in nats, of x (B, T, C) by the head's matrix (V, C)."""
    matrix, chunks = _in_autocast_dtype(head), _chunks(x.flatten(0, 1), targets.flatten())
    return torch.cat([_probs(x, matrix, y)[0] for x, y in chunks]).view_as(targets)


@self_test
def chunked_loss_works(device: str) -> bool:
    """Self-test: loss and gradients of a tiny head on `device` equal those of plain autograd, with
    unaligned rows, several chunks, and a sparse embedding gradient.
    """
    V, C, N = ALIGNED + 7, 8, HEAD_ROWS + 3
    idx, targets = (torch.arange(N, device=device) * k % V for k in (3, 5))
    results = []
    for chunked in (True, False):
        for dtype in (torch.float32, torch.bfloat16):
            tied = torch.linspace(-1, 1, V * C, device=device).view(V, C).sin().requires_grad_()
            with torch.enable_grad(), torch.autocast(device, dtype, dtype != torch.float32):
                x = F.embedding(idx, tied, sparse=chunked)
                if chunked:
                    loss = head_loss(x, tied, targets, 1.0)
                else:
                    loss = F.cross_entropy(F.linear(x, tied).float(), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            assert tied.grad is not None
            results.append(torch.cat([loss.detach().view(1), tied.grad.flatten()]))
    exact, rough, plain, rough_plain = results
    return torch.allclose(exact, plain, rtol=1e-3, atol=1e-5) and torch.allclose(
        rough, rough_plain, rtol=0.05, atol=1e-2
    )


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, tied: Tensor, targets: Tensor, weight: float) -> Tensor:
        """The mean loss; adds `weight` times its gradient to `tied.grad`."""
        matrix, dx, token_losses = _in_autocast_dtype(tied), torch.empty_like(x), []
        share = 1 / x.size(0)
        if tied.requires_grad and tied.grad is None:
            tied.grad = torch.zeros_like(tied)
        for x_chunk, y_chunk, dx_chunk in _chunks(x, targets, dx):
            chunk_losses, probs = _probs(x_chunk, matrix, y_chunk)  # (n), (n, V)
            token_losses.append(chunk_losses)
            rows = torch.arange(len(y_chunk), device=y_chunk.device)
            probs[rows, y_chunk] -= 1  # now d(sum of losses) / d(logits)
            dlogits = probs.to(matrix.dtype)
            if ctx.needs_input_grad[0]:
                by_onednn = can_use_onednn(dlogits, matrix)
                dx_sum = matmul_nt(dlogits, matrix.t()) if by_onednn else dlogits @ matrix
                torch.mul(dx_sum, share, out=dx_chunk)
            if tied.requires_grad:
                assert tied.grad is not None
                _add_product(tied.grad, dlogits.t(), x_chunk.to(matrix.dtype), share * weight)
        ctx.weight = weight
        ctx.save_for_backward(dx)
        return torch.cat(token_losses).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """From the gradient of the loss, which must be `weight`, to that of x (N, C)."""
        (gradient,), (dx,) = gradients, ctx.saved_tensors
        if not torch.isclose(gradient, gradient.new_tensor(ctx.weight)):
            raise RuntimeError(
                f"the chunked loss was built for the gradient {ctx.weight}, got {float(gradient)}"
            )
        return dx * gradient, None, None, None


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Rows of all tensors, HEAD_ROWS at a time, with autocast off."""
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield from zip(*(torch.split(tensor, HEAD_ROWS) for tensor in tensors), strict=True)


def _in_autocast_dtype(tied: Tensor) -> Tensor:
    """The matrix in the dtype of matrix products: that of autocast, if enabled."""
    device = tied.device.type
    on = torch.is_autocast_enabled(device)
    return tied.detach().to(torch.get_autocast_dtype(device) if on else tied.dtype)


def _probs(x: Tensor, matrix: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """For x (n, C): the losses of its targets (n), and all probabilities (n, V), float32."""
    logits = _logits(x.to(matrix.dtype), matrix).float()
    logits -= logits.amax(1, keepdim=True)
    target_logits = logits.gather(1, targets[:, None])[:, 0]
    total = logits.exp_().sum(1, keepdim=True)
    return total[:, 0].log() - target_logits, logits.div_(total)


def _logits(x: Tensor, matrix: Tensor) -> Tensor:
    """x (n, C) by each row of the matrix (V, C): (n, V)."""
    if can_use_onednn(x, matrix):
        return matmul_nt(x, matrix)
    n, width = x.size(0), matrix.size(0)
    padded = matrix.new_empty(n, -(-width // ALIGNED) * ALIGNED)[:, :width]
    return torch.mm(x, matrix.t(), out=padded)


def _add_product(total: Tensor, a: Tensor, b: Tensor, factor: float) -> None:
    """Add factor * (a @ b) to `total`, without a temporary of its size where dtypes allow."""
    if a.dtype == total.dtype:
        total.addmm_(a, b, alpha=factor)
    else:
        total.add_(a @ b, alpha=factor)
