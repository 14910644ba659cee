"""The next token of a growing text: a KV cache, and faster paths for a single new token.

A model that only samples on a CPU computes a token in one call of C where it can: `NativeStep`.
Otherwise `Step` does, by PyTorch's operators. A single token multiplies one row with every weight,
so it takes as long as reading the weights. MKL's product of one row uses one thread; here each is
split into a batch of products, views of the same weights, which all threads share. They read
fastest where the weights of an output lie side by side, as in the head; `store_by_output` arranges
a model so that only samples. The rest is `GPT.forward` for one token of one sequence. Several
tokens at once, such as a prompt, go through the model's own `trunk` with the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.hardware.fast_paths import enabled, self_test
from shakegpt.hardware.memory import available_memory
from shakegpt.model import GPT, Conv1D
from shakegpt.nn.kv_cache import KVCache
from shakegpt.nn.native_step import NativeStep, native_step_works
from shakegpt.nn.quantize import QuantizedEmbedding, QuantizedLinear

SLIDE_TO = 3 / 4
"""Share of the window that stays when it is full: GPT-2's positions are learned, so a longer text
is continued from its last tokens, computed again."""

PIECES = 2
"""Of a product for each thread."""

Product = Callable[[Tensor], Tensor]
"""(1, in) -> (1, out)."""


class SlidingWindow:
    """The model's view of a growing text: computes only new tokens, slides when it is full."""

    def __init__(self, model: GPT, n_vocab: int) -> None:
        """`n_vocab` may be less than the model's own: some checkpoints pad their embedding."""
        self._model, self._size, self._n_vocab = model, model.config.block_size, n_vocab
        self._cache = KVCache(model)
        self._step = fastest_step(model)
        self._seen = 0
        self.slid = False

    def predict(self, context: list[int]) -> Tensor:
        """Logits (n_vocab,), float32 on the CPU, of the token that comes after `context`."""
        new = context[self._seen :]
        self.slid = self._cache.length + len(new) > self._size
        if self.slid:
            self._cache.length = 0
            new = context[-window_after_slide(self._size) :]
        self._seen = len(context)
        idx = torch.tensor(new, device=self._model.wpe.weight.device)
        if self._step is not None and len(new) == 1:
            logits = self._step(idx, self._cache)
        else:
            x = self._cache.trunk(self._model, idx.view(1, -1))[:, -1]  # (1, C)
            logits = (head(self._model, 1) if self._step is None else self._step.head)(x)[0]
        return logits[: self._n_vocab].float().cpu()


def fastest_step(model: GPT) -> NativeStep | Step | None:
    """The fastest way through `model` for a single token, None if it is the model's own."""
    if type(model) is not GPT:  # FSDP changes the class; then weights do not stay in place
        return None
    if native_step_works():
        with suppress(TypeError):
            return NativeStep(model)
    return Step(model) if split_products_work() else None


def window_after_slide(size: int) -> int:
    """Tokens that stay when a window of `size` is full."""
    return max(1, int(size * SLIDE_TO))


def seen(prompt: list[int], drawn: list[int], size: int) -> list[int]:
    """The tokens that a model with a window of `size` sees when it predicts the one after `prompt`
    and `drawn`, sampling having begun after `prompt`: as `SlidingWindow` does.
    """
    slid = window_after_slide(size)
    length = slid if len(prompt) > size else len(prompt)
    for _ in drawn:
        length = length + 1 if length < size else slid
    return [*prompt, *drawn][-length:]


class Step:
    """One token of one sequence through the model. It has views of the weights, and no copies."""

    def __init__(self, model: GPT) -> None:
        self._model, self._n_head = model, model.config.n_head
        pieces = _pieces(model.wpe.weight)
        blocks: Any = model.h
        self._gelu = partial(F.gelu, approximate=blocks[0].mlp.gelu)
        self._blocks = [
            (
                _norm(block.ln_1),
                product(block.attn.c_attn, pieces),
                product(block.attn.c_proj, pieces),
                _norm(block.ln_2),
                product(block.mlp.c_fc, pieces),
                product(block.mlp.c_proj, pieces),
            )
            for block in blocks
        ]
        self._ln_f, self.head = _norm(model.ln_f), head(model, pieces)

    def __call__(self, token: Tensor, cache: KVCache) -> Tensor:
        """Logits (V,) after `token` (1,), which follows the tokens in the cache."""
        position, n_head = cache.length, self._n_head
        x = self._model.wte(token) + self._model.wpe.weight[position]  # (1, C)
        keys, values = cache.keys, cache.values  # (L, 1, nh, T, hs)
        new = (keys[..., position, :].unbind(), values[..., position, :].unbind())  # written below
        end = position + 1
        every = (keys[..., :end, :].unbind(), values[..., :end, :].unbind())
        for block, new_k, new_v, ks, vs in zip(self._blocks, *new, *every, strict=True):
            ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj = block
            q, k, v = c_attn(ln_1(x)).view(3, 1, n_head, -1).unbind()  # (1, nh, hs)
            new_k.copy_(k)
            new_v.copy_(v)
            y = F.scaled_dot_product_attention(q.unsqueeze(2), ks, vs)  # (1, nh, 1, hs)
            x = x + attn_proj(y.view(1, -1))
            x = x + mlp_proj(self._gelu(c_fc(ln_2(x))))
        cache.length = end
        return self.head(self._ln_f(x))[0]


def store_by_output(model: nn.Module) -> None:
    """Let the weights of each output of a `Conv1D` lie side by side in memory, for `Step`.

    Shapes, names and values stay; training would be slower. Weights that are mapped from a file
    move to the heap, so nothing is done if they would take more than half of the free memory.
    """
    layers = [m for m in model.modules() if type(m) is Conv1D and m.weight.device.type == "cpu"]
    if 2 * sum(layer.weight.nbytes for layer in layers) < available_memory() and enabled():
        for layer in layers:
            layer.weight.data = layer.weight.data.t().contiguous().t()


def _pieces(weight: Tensor) -> int:
    """Number of pieces in which a product is fastest where MKL computes, else 1."""
    mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    by_mkl = weight.device.type == "cpu" and mkl
    return PIECES * torch.get_num_threads() if by_mkl and type(weight.data) is Tensor else 1


def _norm(module: Any) -> Product:
    if type(module) is not nn.LayerNorm:
        return cast("Product", module)
    return partial(
        F.layer_norm,
        normalized_shape=module.normalized_shape,
        weight=module.weight.data,
        bias=module.bias.data,
        eps=module.eps,
    )


def product(layer: nn.Module, pieces: int) -> Product:
    """What `layer` computes, for one row: in pieces, or by itself if it is no plain `Conv1D`."""
    if isinstance(layer, QuantizedLinear):
        return layer.rows
    if type(layer) is not Conv1D:
        return layer
    weight, bias = layer.weight.data, layer.bias.data
    n_in, n_out = weight.shape
    if weight.t().is_contiguous():  # by output
        by_output = split_head(weight.t(), pieces)
        return lambda x: by_output(x).add_(bias)
    if torch.get_num_threads() == 1:
        pieces = 1
    pieces = next(n for n in range(pieces, n_in + 1) if n_in % n == 0) if pieces <= n_in else 1
    if pieces == 1:
        return lambda x: torch.addmm(bias, x, weight)
    split = weight.view(pieces, n_in // pieces, n_out)
    # each piece multiplies a part of the row, and the results are added
    return lambda x: torch.bmm(x.view(pieces, 1, -1), split).sum(0).add_(bias)


def head(model: GPT, pieces: int) -> Product:
    """Hidden state (1, C) to logits (1, V), the rows of the head in equal pieces."""
    if isinstance(model.head, QuantizedEmbedding):
        return model.head.logits
    return split_head(model.head.weight.data, pieces)


def split_head(weight: Tensor, pieces: int) -> Product:
    """(1, C) to (1, V) by weight (V, C): `pieces` of equal size, and the rows that are left."""
    rows, width = len(weight) // pieces, weight.size(1)
    if pieces == 1 or rows == 0:
        return partial(F.linear, weight=weight)
    equal, rest = weight[: pieces * rows].view(pieces, rows, width), weight[pieces * rows :]

    def logits(x: Tensor) -> Tensor:
        # as a transposed row: the same numbers as a plain column take MKL six times as long
        y = torch.bmm(equal, x.t().expand(pieces, width, 1)).view(1, -1)
        return torch.cat((y, F.linear(x, rest)), 1) if len(rest) else y

    return logits


@self_test
def split_products_work() -> bool:
    """Self-test: products in pieces are the plain ones, to rounding."""
    layer = Conv1D(6, 5)
    layer.weight.data = torch.linspace(-1, 1, 30).view(6, 5)
    layer.bias.data = torch.linspace(0, 1, 5)
    x, weight = torch.linspace(-1, 2, 6).view(1, 6), torch.linspace(-1, 1, 42).view(7, 6)
    with torch.no_grad():
        return torch.allclose(product(layer, 2)(x), Conv1D.forward(layer, x), atol=1e-5) and (
            torch.allclose(split_head(weight, 2)(x), F.linear(x, weight), atol=1e-5)
        )
