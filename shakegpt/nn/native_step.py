"""A token's whole step in C, for a model on the CPU that only samples: `decode.c`.

PyTorch's operators for one token take a quarter of its time where the weights have few bits: some
20 of them a block, each of a few microseconds. Here they are one call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shakegpt.config import GPTConfig
from shakegpt.hardware.fast_paths import self_test
from shakegpt.model import GPT, Conv1D
from shakegpt.nn import native
from shakegpt.nn.kv_cache import KVCache
from shakegpt.nn.quantize import Native, QuantizedEmbedding, QuantizedLinear

WIDEST = 1 << 16
"""Numbers of a layer's input, and tokens of a window, at most: decode.c has that many on a thread's
stack."""


class NativeStep:
    """One token of one sequence. It has the addresses of the weights, and no copies: they must stay
    where they are.
    """

    def __init__(self, model: GPT) -> None:
        """Raises TypeError for a model with a part that decode.c cannot compute."""
        modules: Any = model.h
        c = model.config
        if modules[0].mlp.gelu != "tanh" or not _plain(model.wpe.weight.data):
            raise TypeError("no GELU by tanh, or not in float32 on the CPU")
        blocks = [
            native.Block(
                _norm(block.ln_1),
                _matrix(block.attn.c_attn),
                _matrix(block.attn.c_proj),
                _norm(block.ln_2),
                _matrix(block.mlp.c_fc),
                _matrix(block.mlp.c_proj),
            )
            for block in modules
        ]
        hidden = blocks[0].c_fc.n_out
        if max(hidden, c.block_size) > WIDEST:
            raise TypeError(f"an MLP or a window of more than {WIDEST}")
        sizes = c.n_layer, c.n_head, c.n_embd, c.block_size
        every = (native.Block * c.n_layer)(*blocks)
        self._model, self._weights = (
            model,
            native.Model(every, *sizes, _norm(model.ln_f), _head(model.head)),
        )
        self._scratch = torch.empty(4 * c.n_embd + hidden)

    def __call__(self, token: Tensor, cache: KVCache) -> Tensor:
        """Logits (V,) after `token` (1,), which follows the tokens in the cache."""
        weights, position = self._weights, cache.length
        weights.keys, weights.values = cache.keys.data_ptr(), cache.values.data_ptr()
        x = self._model.wte(token)[0] + self._model.wpe.weight[position]  # (C,)
        logits = torch.empty(weights.head.n_out)
        native.step(weights, x.contiguous(), logits, self._scratch, position)
        cache.length = position + 1
        return logits

    def head(self, x: Tensor) -> Tensor:
        """Hidden state (1, C) to logits (1, V)."""
        return native.product(self._weights.head, x.contiguous())


def _matrix(layer: Any) -> native.Matrix:
    """Of a quantized layer, or of a `Conv1D` that is stored by output."""
    if isinstance(layer, QuantizedLinear) and isinstance(layer.matrix, Native):
        return layer.matrix.in_c(layer.bias)
    weight = layer.weight.data.t() if type(layer) is Conv1D else None
    if weight is None or not _plain(weight):
        raise TypeError(f"a layer that decode.c does not know: {type(layer).__name__}")
    return native.matrix(weight, weight.size(1), bias=layer.bias.data)


def _head(head: nn.Module) -> native.Matrix:
    if isinstance(head, QuantizedEmbedding) and isinstance(head.matrix, Native):
        return head.matrix.in_c()
    if type(head) is not nn.Embedding or not _plain(head.weight.data):
        raise TypeError(f"a head that decode.c does not know: {type(head).__name__}")
    return native.matrix(head.weight.data, head.weight.size(1))


def _norm(norm: nn.Module) -> native.Norm:
    if type(norm) is not nn.LayerNorm or not _plain(norm.weight.data):
        raise TypeError(f"a norm that decode.c does not know: {type(norm).__name__}")
    return native.Norm(norm.weight.data_ptr(), norm.bias.data_ptr(), norm.eps)


def _plain(weight: Tensor) -> bool:
    """Whether decode.c can read it."""
    where = weight.device.type == "cpu" and type(weight) is Tensor
    return where and weight.dtype == torch.float32 and weight.is_contiguous()


@self_test
def native_step_works() -> bool:
    """Self-test: decode.c can be compiled here, and computes what the model does."""
    shape = GPTConfig(n_layer=2, n_head=2, n_embd=40, block_size=5, vocab_size=33)
    model = GPT(shape).eval()
    model.initialize(torch.Generator().manual_seed(1))
    for layer in model.modules():
        if type(layer) is Conv1D:
            layer.weight.data = (20 * layer.weight.data.t()).contiguous().t()
    idx, cache, step = torch.arange(5), KVCache(model), NativeStep(model)
    with torch.inference_mode():
        found = torch.stack([step(idx[t : t + 1], cache) for t in range(5)])
        return torch.allclose(found, model(idx.view(1, -1))[0], atol=1e-4)
