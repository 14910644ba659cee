"""Quantized weights for sampling on a CPU: less to read per token, at a cost that is measured.

`int8` keeps a scale for each output of a matrix, `bf16` rounds each weight to eight bits of
precision. Residual stream, LayerNorms and attention stay float32. The products take rows in as many
bits as the weights: in bfloat16, or in 254 steps from the least to the largest number of each row,
where the processor multiplies 8-bit numbers (VNNI). Softmax does not change when one number is
added to all logits, so the head works without the embedding's mean row: smaller logits lose less.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.errors import ShakegptError
from shakegpt.hardware.fast_paths import enabled, self_test
from shakegpt.model import GPT

Bits = Literal["bf16", "int8"]
FEW = 16
"""Up to so many rows the int8 kernel is faster than a product with the weights converted back."""

SMALLEST = 1e-12
"""Scales are of no smaller range: 0 has none."""
STEPS = 254
"""Of 8 bits, between the least and the largest number of a row."""
KERNEL_WIDTH = 16
"""The int8 kernel reads rows in pieces of this many numbers, beyond the end of any other."""


@self_test
def int8_kernel_works() -> bool:
    """Self-test: PyTorch's private int8 kernel computes the plain product."""
    x, scale = torch.linspace(-1, 1, 64).view(2, 32).bfloat16(), torch.full((16,), 0.5).bfloat16()
    weight = (torch.arange(512) % 11 - 5).to(torch.int8).view(16, 32)
    plain = F.linear(x.float(), weight.float()) * scale.float()
    y = torch._weight_int8pack_mm(x, weight, scale).float()
    return torch.allclose(y, plain, rtol=0.05, atol=0.2)


@self_test
def int8_products_work() -> bool:
    """Self-test: the processor has VNNI, and PyTorch's private int8 product is right."""
    if not torch.cpu._is_vnni_supported():
        return False
    weight, x = (torch.arange(512) % 11 - 5).to(torch.int8).view(16, 32), torch.linspace(-1, 2, 32)
    plain = F.linear(x, weight.float())
    one, several = (_product(x.expand(rows, 32), weight) for rows in (1, 3))
    return torch.allclose(one[0], plain, atol=0.3) and torch.allclose(several[2], plain, atol=0.3)


def _rounded(x: Tensor) -> tuple[Tensor, Any, Any]:
    """Rows x (M, in) as int8, with scale and zero of each: x is about scale * int8 + zero."""
    low: Any
    high: Any
    if len(x) == 1:  # numbers take less time than tensors of one
        low, high = (float(end) for end in torch.aminmax(x))
    else:
        low, high = torch.aminmax(x, dim=1, keepdim=True)
    scale, zero = (high - low + SMALLEST) / STEPS, (high + low) / 2
    return ((x - zero) / scale).round_().to(torch.int8), scale, zero


def _product(x: Tensor, weight: Tensor, sums: Tensor | None = None) -> Tensor:
    """Rows x (M, in) by an int8 weight (out, in), whose rows have the `sums`: (M, out)."""
    q, scale, zero = _rounded(x)
    sums = weight.sum(1).float() if sums is None else sums
    if len(x) == 1:  # one column is faster than one row
        return torch._int_mm(weight, q.t()).t().float().mul_(scale).add_(sums, alpha=zero)
    y: Tensor = torch._int_mm(q, weight.t()) * scale + sums * zero
    return y


class Int8(nn.Module):
    """A matrix (out, in) in 8 bits, with a scale for each of its rows."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = (weight.abs().amax(1).clamp(min=SMALLEST) / 127).bfloat16()
        rows = weight / scale.float().unsqueeze(1)
        self.weight = rows.round_().clamp_(-127, 127).to(torch.int8).contiguous()
        self.scale = scale
        self.scales, self.sums = scale.float(), self.weight.sum(1).float()

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        if int8_products_work():
            return _product(x, self.weight, self.sums).mul_(self.scales)
        x = x.bfloat16()
        if len(x) <= FEW and x.size(1) % KERNEL_WIDTH == 0 and int8_kernel_works():
            return torch._weight_int8pack_mm(x, self.weight, self.scale).float()
        return F.linear(x, self.weight.bfloat16()).float() * self.scales

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        return self.weight[idx].float() * self.scale[idx].float().unsqueeze(-1)


class Bf16(nn.Module):
    """A matrix (out, in) in bfloat16."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.rows = weight.bfloat16().contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        x = x.bfloat16()
        if len(x) == 1:  # one column is faster than one row, with `kernels`
            return torch.mm(self.rows, x.t()).t().float()
        return F.linear(x, self.rows).float()

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        return self.rows[idx].float()


class QuantizedLinear(nn.Module):
    """Replaces a `Conv1D`: its weight quantized, its bias unchanged."""

    def __init__(self, matrix: nn.Module, bias: Tensor) -> None:
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        y: Tensor = self.matrix(x.reshape(-1, x.size(-1)))
        return y.add_(self.bias).view(*x.shape[:-1], -1)


class QuantizedEmbedding(nn.Module):
    """Replaces the embedding, the head, or both: one quantized matrix, and its mean row."""

    def __init__(self, weight: Tensor, bits: Bits) -> None:
        super().__init__()
        self.mean = weight.mean(0)
        self.matrix = _matrix(weight - self.mean, bits)

    def forward(self, idx: Tensor) -> Tensor:
        """(...) -> (..., C)."""
        row: Tensor = self.matrix.row(idx)
        return row + self.mean

    def logits(self, x: Tensor) -> Tensor:
        """Logits (M, V) of (M, C), up to a number that is the same for all of a row."""
        y: Tensor = self.matrix(x)
        return y


def _matrix(weight: Tensor, bits: Bits) -> Any:
    return Int8(weight) if bits == "int8" else Bf16(weight)


def kernels(model: GPT) -> AbstractContextManager[None]:
    """The kernels that are fastest for one token, while entered.

    PyTorch's own product of a bfloat16 matrix by one column takes a third of oneDNN's time.
    """
    table = model.head
    if isinstance(table, QuantizedEmbedding) and isinstance(table.matrix, Bf16) and enabled():
        how: Any = torch.backends.mkldnn.flags
        own: AbstractContextManager[None] = how(False, deterministic=None, allow_tf32=None)
        return own
    return nullcontext()


@torch.inference_mode()
def quantize(model: GPT, bits: Bits) -> None:
    """Quantize every matrix of `model` in place; from then on it can only sample.

    Raises ShakegptError for int8 on a device without a kernel for it.
    """
    device = model.wpe.weight.device.type
    if bits == "int8" and device != "cpu":
        raise ShakegptError(f"--dtype int8 is for CPUs; use bf16 on {device}, or --device cpu")
    modules: Any = model
    for block in modules.h:
        for owner, name in ((block.attn, "c_attn"), (block.attn, "c_proj"),
                            (block.mlp, "c_fc"), (block.mlp, "c_proj")):  # fmt: skip
            layer = getattr(owner, name)
            matrix = _matrix(layer.weight.data.t(), bits)
            setattr(owner, name, QuantizedLinear(matrix, layer.bias.data.clone()))
    for name in ("wte",) if model.config.tie_word_embeddings else ("wte", "lm_head"):
        setattr(model, name, QuantizedEmbedding(getattr(model, name).weight.data, bits))


@torch.inference_mode()
def losses(model: GPT, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each token (B, T), nats, of a quantized model or any other."""
    x = model.trunk(x).flatten(0, 1)
    head: Any = model.head
    logits = head.logits(x) if isinstance(head, QuantizedEmbedding) else F.linear(x, head.weight)
    return F.cross_entropy(logits, y.flatten(), reduction="none").view_as(y)
