"""The matrix products of training, by the library that computes them fastest.

PyTorch gives products of float32 on a CPU to MKL. oneDNN, which it brings along for narrower
numbers, reads a matrix in either order and is faster by a tenth to a half for the products forward
and to the inputs; for the gradient of a weight the two are alike (docs/lab-log.md; AMD Zen 4, the
one processor where this was measured).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def has_onednn() -> bool:
    """Whether this PyTorch has oneDNN's products, which TorchInductor uses too."""
    return torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


ONEDNN = has_onednn()


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (N, in) by weight (in, out), plus bias (out): (N, out)."""
    if not suits(x, weight) or torch.compiler.is_compiling():
        return torch.addmm(bias, x, weight)
    if torch.is_grad_enabled():
        y: Tensor = _Affine.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return y
    return by_rows(x, weight.t(), bias)


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN computes this product: plain float32 on a CPU, without autocast."""
    return (
        ONEDNN
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )


def by_rows(x: Tensor, rows: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (N, in) by each of `rows` (out, in), plus bias: (N, out), by oneDNN; no gradients."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, rows, bias, "none", [], "")
    return y


class _Affine(torch.autograd.Function):
    """`affine` by oneDNN, and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        learned = ctx.needs_input_grad[1]
        ctx.save_for_backward(x if learned else None, weight)  # frozen, it needs no x
        return by_rows(x, weight.t(), bias)

    @staticmethod
    def backward(ctx: Any, *dys: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (dy,), (x, weight) = dys, ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            by_rows(dy, weight) if to_x else None,
            x.t() @ dy if to_weight else None,
            dy.sum(0) if to_bias else None,
        )
