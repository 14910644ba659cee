"""Quantized weights for sampling on a CPU: less to read per token, at a cost that is measured.

`bf16` rounds each weight to eight bits of precision, `int8` to 255 steps. Residual stream,
LayerNorms, attention and, with int8, the rows that are multiplied stay float32. Softmax does not
change when one number is added to all logits, so the head works without the embedding's mean row:
smaller logits lose less.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.errors import ShakegptError
from shakegpt.hardware.allocator import huge_pages
from shakegpt.hardware.fast_paths import self_test
from shakegpt.model import GPT
from shakegpt.nn import native

Bits = Literal["bf16", "int8"]
Way = Literal["native", "bags", "plain"]
"""How a row is multiplied: by `native`'s loops, as an embedding bag, or by `F.linear`."""

FEW = 16
"""Up to so many rows it is faster to read the weights for each than to dequantize them."""

SMALLEST = 1e-12
"""Scales are of no smaller range: 0 has none."""
WIDTH = {"bf16": 128, "int8": 384}
"""Outputs of a segment at most, as many as FBGEMM's kernel sums fastest."""
LINE = 64
"""Bytes of a line of a processor's cache."""
VECTOR = 16
"""Outputs of a segment are a multiple of this: an AVX-512 register of float32."""


class Matrix(nn.Module, ABC):
    """A matrix (out, in) in fewer bits."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""

    @abstractmethod
    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""

    def plus(self, x: Tensor, bias: Tensor) -> Tensor:
        """(M, in) -> (M, out), with the bias (out,) added."""
        return self.forward(x).add_(bias)


class WeightedRows(Matrix):
    """A matrix (out, in) whose product with a row x is a weighted sum: the embedding bag of x.

    Recommendation models sum embedding rows so, by a kernel of FBGEMM that reads bfloat16 or 8-bit
    numbers and adds in float32. The matrix is stored by input, in segments of neighbouring outputs:
    (blocks * in, width), with int8 each with its own scale and zero. A block of outputs is a bag;
    threads share the bags.
    """

    def __init__(self, weight: Tensor, bits: Bits) -> None:
        super().__init__()
        self.n_out, self.n_in = weight.shape
        self.bits = bits
        self.blocks = -(-self.n_out // WIDTH[bits])
        self.width = -(-self.n_out // (self.blocks * VECTOR)) * VECTOR
        by_input = F.pad(weight.t(), (0, self.blocks * self.width - self.n_out))
        segments = by_input.view(self.n_in, self.blocks, self.width).transpose(0, 1)
        segments = segments.reshape(-1, self.width)
        if bits == "int8":  # 255 steps, then scale and zero in 8 bytes
            prepack = torch.ops.quantized.embedding_bag_byte_prepack
            self.segments: Tensor = prepack(segments)
        else:
            self.segments = segments.bfloat16()
        self.index = torch.arange(len(segments), dtype=torch.int32)
        self.bags = torch.arange(0, len(segments), self.n_in, dtype=torch.int32)

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        x = x if self.bits == "int8" else x.bfloat16()
        if len(x) <= FEW:
            rows = [self._weighted_sum(row) for row in x.unbind()]
            return rows[0] if len(rows) == 1 else torch.cat(rows)
        y: Tensor = torch.matmul(x, self._blocks())  # (blocks, M, width)
        return y.transpose(0, 1).reshape(len(x), -1)[:, : self.n_out].float()

    def _weighted_sum(self, x: Tensor) -> Tensor:
        """(in,) -> (1, out)."""
        weights = x.expand(self.blocks, -1).reshape(-1)  # of each segment
        y: Tensor
        if self.bits == "int8":
            y = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
                self.segments, self.index, self.bags, per_sample_weights=weights
            )
        else:
            y = F.embedding_bag(
                self.index, self.segments, self.bags, mode="sum", per_sample_weights=weights
            ).float()
        return y.view(1, -1)[:, : self.n_out]

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        segments = self.segments.view(self.blocks, self.n_in, -1)
        block, column = idx // self.width, idx % self.width
        numbers: Tensor = segments[block, :, column].float()
        if self.bits == "bf16":
            return numbers
        scale, zero = segments[block, :, self.width :].view(torch.float32).unbind(-1)
        return numbers * scale + zero

    def _blocks(self) -> Tensor:
        """The matrix dequantized, (blocks, in, width)."""
        segments: Tensor = self.segments
        if self.bits == "int8":
            segments = torch.ops.quantized.embedding_bag_byte_unpack(segments)
        return segments.view(self.blocks, self.n_in, self.width)


@self_test
def weighted_rows_work(bits: Bits) -> bool:
    """Self-test: PyTorch's embedding bag of weights in fewer bits computes the plain product."""
    weight = torch.linspace(-40, 40, 400 * 32).sin().view(400, 32)
    x, matrix = torch.linspace(-1, 2, 32).expand(FEW + 1, -1), WeightedRows(weight, bits)
    plain = F.linear(x, weight)
    return all(
        torch.allclose(matrix(x[:rows]), plain[:rows], rtol=0.02, atol=0.1)
        for rows in (1, 2, FEW + 1)
    )


class Int8(Matrix):
    """A matrix (out, in) in 8 bits with a scale a row: without `native` and `WeightedRows`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.scale = weight.abs().amax(1).clamp(min=SMALLEST) / 127
        rows = weight / self.scale.unsqueeze(1)
        self.weight = rows.round_().clamp_(-127, 127).to(torch.int8).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        return F.linear(x.bfloat16(), self.weight.bfloat16()).float() * self.scale

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        return self.weight[idx].float() * self.scale[idx].unsqueeze(-1)


class Bf16(Matrix):
    """A matrix (out, in) in bfloat16: on a GPU, or without `native` and `WeightedRows`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.rows = weight.bfloat16().contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        return F.linear(x.bfloat16(), self.rows).float()

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        return self.rows[idx].float()


class Native(Matrix):
    """A matrix (out, in) that `native` multiplies with a few rows."""

    n_in: int

    @abstractmethod
    def in_c(self, bias: Tensor | None = None) -> native.Matrix:
        """Where its numbers are, and those of a bias (out,)."""

    def forward(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out), float32."""
        return self.plus(x)

    def plus(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(M, in) -> (M, out), with the bias (out,) added."""
        if len(x) > FEW or x.numel() > native.MOST:
            return self.plus_many(x, bias)
        return native.product(self.in_c(bias), x.contiguous())

    @abstractmethod
    def plus_many(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """`plus` for so many rows that dequantizing is worth it."""


class NativeBf16(Native):
    """In bfloat16, multiplied in float32."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.rows, self.n_in = weight.bfloat16().contiguous(), weight.size(1)

    def in_c(self, bias: Tensor | None = None) -> native.Matrix:
        """Where its numbers are, and those of a bias (out,)."""
        return native.matrix(self.rows, self.n_in, bias=bias)

    def plus_many(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """(M, in) -> (M, out), x rounded to bfloat16."""
        y = F.linear(x.bfloat16(), self.rows).float()
        return y if bias is None else y.add_(bias)

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        return self.rows[idx].float()


class NativeInt8(Native):
    """In 8 bits, in blocks of inputs with a scale each."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        n_out, self.n_in = weight.shape
        padded = F.pad(weight.contiguous(), (0, -self.n_in % native.BLOCK))
        blocks = padded.view(n_out, -1, native.BLOCK)
        self.scales = blocks.abs().amax(2).clamp(min=SMALLEST) / 127  # (out, blocks)
        steps = blocks / self.scales.unsqueeze(2)
        self.blocks = steps.round_().to(torch.int8)  # (out, blocks, BLOCK)

    def in_c(self, bias: Tensor | None = None) -> native.Matrix:
        """Where its numbers are, and those of a bias (out,)."""
        return native.matrix(self.blocks, self.n_in, self.scales, bias)

    def plus_many(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """(M, in) -> (M, out), by the dequantized matrix."""
        return F.linear(x, self.row(torch.arange(len(self.blocks))), bias)

    def row(self, idx: Tensor) -> Tensor:
        """The rows at `idx`, dequantized, (..., in)."""
        numbers = self.blocks[idx] * self.scales[idx].unsqueeze(-1)
        return numbers.flatten(-2)[..., : self.n_in]


@self_test
def native_products_work(bits: Bits) -> bool:
    """Self-test: a library can be compiled here, and computes the plain product."""
    weight = torch.linspace(-40, 40, 40 * 200).sin().view(200, 40).t()  # as of a `Conv1D`
    x, matrix = torch.linspace(-1, 2, 200).expand(2, -1), NATIVE[bits](weight)
    return torch.allclose(matrix(x), F.linear(x, weight), rtol=0.02, atol=0.1)


NATIVE: dict[Bits, Callable[[Tensor], Native]] = {"bf16": NativeBf16, "int8": NativeInt8}
PLAIN: dict[Bits, Callable[[Tensor], Matrix]] = {"bf16": Bf16, "int8": Int8}


class QuantizedLinear(nn.Module):
    """Replaces a `Conv1D`: its weight quantized, its bias unchanged."""

    def __init__(self, matrix: Matrix, bias: Tensor) -> None:
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.rows(x.reshape(-1, x.size(-1))).view(*x.shape[:-1], -1)

    def rows(self, x: Tensor) -> Tensor:
        """(M, in) -> (M, out)."""
        return self.matrix.plus(x, self.bias)


class QuantizedEmbedding(nn.Module):
    """Replaces the embedding, the head, or both: one quantized matrix, and its mean row."""

    def __init__(self, weight: Tensor, bits: Bits) -> None:
        super().__init__()
        self.mean = weight.mean(0)
        self.matrix = quantized(weight - self.mean, bits)

    def forward(self, idx: Tensor) -> Tensor:
        """(...) -> (..., C)."""
        return self.matrix.row(idx) + self.mean

    def logits(self, x: Tensor) -> Tensor:
        """Logits (M, V) of (M, C), up to a number that is the same for all of a row."""
        return self.matrix.forward(x)


def way(bits: Bits, device: str) -> Way:
    """The fastest way to multiply a row that works on this machine."""
    if device == "cpu" and native_products_work(bits):
        return "native"
    return "bags" if device == "cpu" and weighted_rows_work(bits) else "plain"


def quantized(weight: Tensor, bits: Bits) -> Matrix:
    """The matrix `weight` (out, in) in fewer bits, stored as its fastest product reads it."""
    fastest = way(bits, weight.device.type)
    if fastest == "bags":
        return WeightedRows(weight, bits)
    return (NATIVE if fastest == "native" else PLAIN)[bits](weight)


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
            matrix = quantized(layer.weight.data.t(), bits)
            setattr(owner, name, QuantizedLinear(matrix, layer.bias.data.clone()))
    for name in ("wte",) if model.config.tie_word_embeddings else ("wte", "lm_head"):
        setattr(model, name, QuantizedEmbedding(getattr(model, name).weight.data, bits))
    if device == "cpu":
        _move_to_huge_pages([m for m in model.modules() if isinstance(m, Matrix)])


def _move_to_huge_pages(matrices: list[Matrix]) -> None:
    """Lay the numbers of all matrices side by side: pages of 4 kB slow their reading down."""
    held = [(m, name) for m in matrices for name, held in vars(m).items() if type(held) is Tensor]
    sizes = [getattr(matrix, name).nbytes for matrix, name in held]
    memory = huge_pages(sum(size + -size % LINE for size in sizes))
    for (matrix, name), size in zip(held, sizes, strict=True):
        old, new = getattr(matrix, name), memory[:size]
        setattr(matrix, name, new.view(old.dtype).view(old.shape).copy_(old))
        memory = memory[size + -size % LINE :]


@torch.inference_mode()
def losses(model: GPT, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each token (B, T), nats, of a quantized model or any other."""
    x = model.trunk(x).flatten(0, 1)
    head: Any = model.head
    logits = head.logits(x) if isinstance(head, QuantizedEmbedding) else F.linear(x, head.weight)
    return F.cross_entropy(logits, y.flatten(), reduction="none").view_as(y)
