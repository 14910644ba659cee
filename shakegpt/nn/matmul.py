"""Matrix products of float32 on a CPU by oneDNN, installed on a finished model.

PyTorch uses MKL for them. oneDNN, which PyTorch includes for narrower dtypes, reads a matrix in
either order and is faster by a tenth to a half for forward products and gradients of inputs; for
gradients of weights the two are equal (docs/lab-log.md; measured on AMD Zen 4 only). The operator
is not public in PyTorch, so a self-test decides whether it is used.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from shakegpt.hardware.fast_paths import self_test
from shakegpt.model import Conv1D


def install(model: nn.Module) -> None:
    """Let every `Conv1D` of `model` compute by `linear`; names and weights do not change."""
    for module in model.modules():
        if type(module) is Conv1D:
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _forward(layer: Conv1D, x: Tensor) -> Tensor:
    return linear(x, layer.weight, layer.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (..., in) by weight (in, out), plus bias (out): (..., out); by oneDNN where it can."""
    rows = x.view(-1, x.size(-1))
    if torch.compiler.is_compiling() or not can_use_onednn(rows, weight):
        y = torch.addmm(bias, rows, weight)
    elif torch.is_grad_enabled():
        y = OneDNNLinear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    else:
        y = matmul_nt(rows, weight.t(), bias)
    return y.view(*x.shape[:-1], -1)


def can_use_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN computes this product: plain float32 on a CPU, without autocast."""
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and onednn_works()
    )


def matmul_nt(x: Tensor, rows: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (N, in) by each of `rows` (out, in), plus bias (out): (N, out), by oneDNN; no gradients."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, rows, bias, "none", [], "")
    return y


@self_test
def onednn_works() -> bool:
    """Self-test: rows in either memory order give the result of `torch.addmm`."""
    x, weight = torch.linspace(-1, 1, 15).view(5, 3), torch.linspace(-2, 1, 12).view(3, 4)
    bias = torch.linspace(0, 1, 4)
    plain = torch.addmm(bias, x, weight)
    by_columns = matmul_nt(x, weight.t(), bias)
    by_rows = matmul_nt(x, weight.t().contiguous(), bias)
    return torch.allclose(by_columns, plain, atol=1e-5) and torch.allclose(
        by_rows, plain, atol=1e-5
    )


class OneDNNLinear(torch.autograd.Function):
    """x (N, in) by weight (in, out), plus bias (out), and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Returns (N, out)."""
        needs_weight = ctx.needs_input_grad[1]
        ctx.save_for_backward(x if needs_weight else None, weight)
        return matmul_nt(x, weight.t(), bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *dys: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """From dy (N, out): dx (N, in), dweight (in, out), dbias (out), each where needed."""
        (dy,), (x, weight) = dys, ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            matmul_nt(dy, weight) if needs_x else None,
            x.t() @ dy if needs_weight else None,
            dy.sum(0) if needs_bias else None,
        )
