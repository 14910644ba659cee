"""Weights in fewer bits for sampling on a CPU: less to read for each token, a loss to be measured.

`int8` keeps a scale for each output of a matrix, `bf16` rounds each weight to eight bits of
precision. The weights are all that changes: residual stream, LayerNorms and attention stay float32,
the products take bfloat16 rows. Logits mean the same when one number is added to all of them, so
the head works without the embedding's mean row: smaller logits lose less in bfloat16.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from shakegpt.nn.matmul import onednn_works

Bits = Literal["bf16", "int8"]
FEW = 16
"""Up to so many rows the int8 kernel is faster than a product with the weights made wider again."""


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
        if len(x) <= FEW:
            return torch._weight_int8pack_mm(x, self.weight, self.scale).float()
        return F.linear(x, self.weight.bfloat16()).float() * self.scale.float()

    def row(self, idx: Tensor) -> Tensor:
        """Rows as they were, about, (..., in)."""
        return self.weight[idx].float() * self.scale[idx].float().unsqueeze(-1)


class Bf16(nn.Module):
    """A matrix (out, in) in bfloat16, in the order in which oneDNN reads it fastest."""

    def __init__(self, weight: Tensor, looked_up: bool = False) -> None:
        """`looked_up` keeps the rows in their own order as well, for `row`."""
        super().__init__()
        rows = weight.bfloat16().contiguous()
        packs = rows.device.type == "cpu" and onednn_works()
        self.rows = rows if looked_up or not packs else None
        self.packed = torch.ops.mkldnn._reorder_linear_weight(rows, 1) if packs else None

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        x = x.bfloat16()
        if self.packed is None:
            assert self.rows is not None
            return F.linear(x, self.rows).float()
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, None, "none", [], "")
        return y.float()

    def row(self, idx: Tensor) -> Tensor:
        """Rows as they were, about, (..., in)."""
        assert self.rows is not None
        return self.rows[idx].float()


class NarrowLinear(nn.Module):
    """In the place of a `Conv1D`, with its weight in fewer bits and its bias as it was."""

    def __init__(self, matrix: nn.Module, bias: Tensor) -> None:
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        y: Tensor = self.matrix(x.reshape(-1, x.size(-1)))
        return y.add_(self.bias).view(*x.shape[:-1], -1)


class NarrowEmbedding(nn.Module):
    """In the place of the embedding and the head: one matrix in fewer bits, and its mean row."""

    def __init__(self, weight: Tensor, bits: Bits) -> None:
        super().__init__()
        self.mean = weight.mean(0)
        self.matrix = _matrix(weight - self.mean, bits, looked_up=True)

    def forward(self, idx: Tensor) -> Tensor:
        """(...) -> (..., C)."""
        row: Tensor = self.matrix.row(idx)
        return row + self.mean

    def scores(self, x: Tensor) -> Tensor:
        """Logits (M, V) of (M, C), but for a number that is the same for all of a row."""
        y: Tensor = self.matrix(x)
        return y


def _matrix(weight: Tensor, bits: Bits, looked_up: bool = False) -> Any:
    return Int8(weight) if bits == "int8" else Bf16(weight, looked_up)


@torch.inference_mode()
def narrow(model: GPT, bits: Bits) -> None:
    """Put every matrix of `model` in fewer bits, in place: for sampling alone from then on.

    Raises ShakegptError for int8 on a device that has no product of it.
    """
    device = model.wpe.weight.device.type
    if bits == "int8" and device != "cpu":
        raise ShakegptError(f"--dtype int8 is for CPUs: give bf16 on {device}, or --device cpu")
    modules: Any = model
    for block in modules.h:
        for owner, name in ((block.attn, "c_attn"), (block.attn, "c_proj"),
                            (block.mlp, "c_fc"), (block.mlp, "c_proj")):  # fmt: skip
            layer = getattr(owner, name)
            matrix = _matrix(layer.weight.data.t(), bits)
            setattr(owner, name, NarrowLinear(matrix, layer.bias.data.clone()))
    modules.wte = NarrowEmbedding(modules.wte.weight.data, bits)


@torch.inference_mode()
def losses(model: GPT, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each token (B, T), nats, of a model whether narrow or not."""
    x = model.trunk(x).flatten(0, 1)
    wte = model.wte
    logits = wte.scores(x) if isinstance(wte, NarrowEmbedding) else F.linear(x, wte.weight)
    return F.cross_entropy(logits, y.flatten(), reduction="none").view_as(y)
