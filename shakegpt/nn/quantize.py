"""Quantized weights for sampling on a CPU: less to read per token, at a cost that is measured.

`int8` keeps a scale for each output of a matrix, `bf16` rounds each weight to eight bits of
precision. Only the weights change: residual stream, LayerNorms and attention stay float32, the
products take bfloat16 rows. Softmax does not change when one number is added to all logits, so the
head works without the embedding's mean row: smaller logits lose less in bfloat16.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.errors import ShakegptError
from shakegpt.hardware.fast_paths import self_test
from shakegpt.model import GPT
from shakegpt.nn.matmul import matmul_nt

Bits = Literal["bf16", "int8"]
FEW = 16
"""Up to so many rows the int8 kernel is faster than a product with the weights converted back."""

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
def packed_bf16_works() -> bool:
    """Self-test: oneDNN's product with a reordered bfloat16 matrix is the plain one."""
    x, rows = torch.linspace(-1, 1, 64).view(2, 32), torch.linspace(-1, 1, 512).view(16, 32)
    y = matmul_nt(x.bfloat16(), torch.ops.mkldnn._reorder_linear_weight(rows.bfloat16(), 1))
    return torch.allclose(y.float(), F.linear(x, rows), rtol=0.05, atol=0.2)


class Int8(nn.Module):
    """A matrix (out, in) in 8 bits, with a scale for each of its rows."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = (weight.abs().amax(1).clamp(min=1e-12) / 127).bfloat16()
        rows = weight / scale.float().unsqueeze(1)
        self.weight = rows.round_().clamp_(-127, 127).to(torch.int8).contiguous()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        x = x.bfloat16()
        if len(x) <= FEW and x.size(1) % KERNEL_WIDTH == 0 and int8_kernel_works():
            return torch._weight_int8pack_mm(x, self.weight, self.scale).float()
        return F.linear(x, self.weight.bfloat16()).float() * self.scale.float()

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        return self.weight[idx].float() * self.scale[idx].float().unsqueeze(-1)


class Bf16(nn.Module):
    """A matrix (out, in) in bfloat16, in the order in which oneDNN reads it fastest."""

    def __init__(self, weight: Tensor, lookup: bool = False) -> None:
        """`lookup` keeps the rows in their own order as well, for `row`."""
        super().__init__()
        rows = weight.bfloat16().contiguous()
        packs = rows.device.type == "cpu" and packed_bf16_works()
        self.rows = rows if lookup or not packs else None
        self.packed = torch.ops.mkldnn._reorder_linear_weight(rows, 1) if packs else None

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        x = x.bfloat16()
        if self.packed is None:
            assert self.rows is not None
            return F.linear(x, self.rows).float()
        return matmul_nt(x, self.packed).float()

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        assert self.rows is not None
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
        self.matrix = _matrix(weight - self.mean, bits, lookup=True)

    def forward(self, idx: Tensor) -> Tensor:
        """(...) -> (..., C)."""
        row: Tensor = self.matrix.row(idx)
        return row + self.mean

    def logits(self, x: Tensor) -> Tensor:
        """Logits (M, V) of (M, C), up to a number that is the same for all of a row."""
        y: Tensor = self.matrix(x)
        return y


def _matrix(weight: Tensor, bits: Bits, lookup: bool = False) -> Any:
    return Int8(weight) if bits == "int8" else Bf16(weight, lookup)


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
