"""The next token, fast: GPT-2's arithmetic for one new token, arranged for the machine's memory.

A single token multiplies one row with every weight, so it takes as long as reading the weights
does, and what matters is how fast they are read. MKL's product of one row uses one thread; here
each is cut into a batch of products, views of the same weights, which all threads share. The rest
is `GPT.forward`, without the generality that one token of one text has no need of. Several tokens
at once, as a prompt has, go through the model's own `trunk`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.model import GPT, Conv1D
from shakegpt.nn.quantize import NarrowEmbedding

SLIDE_TO = 3 / 4
"""Share of the window that is kept when it is full: GPT-2's positions are learned, so a text longer
than the window goes on from its last tokens, computed again."""

Product = Callable[[Tensor], Tensor]
"""(1, in) -> (1, out)."""


class KVCache:
    """Keys and values of the tokens seen so far, so that each token is computed once.

    Allocated once for the whole window and written in place; `length` tokens are filled.
    """

    def __init__(self, model: GPT, batch: int = 1) -> None:
        """Empty, for `batch` sequences, on the device and in the dtype of `model`."""
        c = model.config
        shape = (c.n_layer, batch, c.n_head, c.block_size, c.n_embd // c.n_head)
        self.keys = model.wpe.weight.new_empty(shape)  # (L, B, nh, T, hs)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def trunk(self, model: GPT, idx: Tensor) -> Tensor:
        """`model.trunk` of tokens (B, T) that follow those in the cache, which then holds them too.

        Returns (B, T, C). While it runs, attention looks into the cache.
        """
        blocks: Any = model.h
        for layer, block in enumerate(blocks):
            block.attn.attend = partial(self._attend, layer)
        try:
            x = model.trunk(idx, self.length)
        finally:
            for block in blocks:
                del block.attn.attend  # the class's own is seen again
        self.length += idx.size(1)
        return x

    def _attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """As `Attention.attend`, of new tokens (B, nh, T, hs) over them and all before them."""
        new, end = q.size(2), self.length + q.size(2)
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        k, v = self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
        if new == end:  # the fused kernels know this case without a mask
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        if new == 1:
            return F.scaled_dot_product_attention(q, k, v)
        mask = torch.ones(new, end, dtype=torch.bool, device=q.device).tril(end - new)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class SlidingWindow:
    """The model's view of a growing text: computes only what is new, slides when it is full."""

    def __init__(self, model: GPT, n_vocab: int) -> None:
        """`n_vocab` may be less than the model's own: some checkpoints pad their embedding."""
        self._model, self._size, self._n_vocab = model, model.config.block_size, n_vocab
        self._cache = KVCache(model)
        in_shares = type(model) is not GPT  # of several processes: no weight stays where it is
        self._step = None if in_shares else Step(model)
        self._seen = 0
        self.slid = False

    def predict(self, context: list[int]) -> Tensor:
        """Logits (n_vocab,), float32 on the CPU, of the token that comes after `context`."""
        new = context[self._seen :]
        self.slid = self._cache.length + len(new) > self._size
        if self.slid:
            self._cache.length = 0
            new = context[-max(1, int(self._size * SLIDE_TO)) :]
        self._seen = len(context)
        idx = torch.tensor(new, device=self._model.wpe.weight.device)
        one = self._step if len(new) == 1 else None
        logits = self._several(idx) if one is None else one(idx, self._cache)
        return logits[: self._n_vocab].float().cpu()

    def _several(self, idx: Tensor) -> Tensor:
        """Logits (V,) after the last of several tokens (T,), all written to the cache."""
        x = self._cache.trunk(self._model, idx.view(1, -1))[:, -1]
        return head(self._model, 1)(x)[0] if self._step is None else self._step.scores(x)


class Step:
    """One token of one text through the model. Sees changes of the weights: it holds views."""

    def __init__(self, model: GPT) -> None:
        """Arrange the weights of `model`; takes no time and no memory to speak of."""
        self._model, self._n_head = model, model.config.n_head
        pieces = _pieces(model.wpe.weight)
        blocks: Any = model.h
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
        self._ln_f, self._head = _norm(model.ln_f), head(model, pieces)

    def __call__(self, token: Tensor, cache: KVCache) -> Tensor:
        """Logits (V,) after `token` (1,), whose place is the one after those in the cache."""
        place, n_head = cache.length, self._n_head
        x = self._model.wte(token) + self._model.wpe.weight[place]  # (1, C)
        keys, values = cache.keys, cache.values  # (L, 1, nh, T, hs)
        here = (keys[..., place, :].unbind(), values[..., place, :].unbind())  # to be written
        seen = (keys[..., : place + 1, :].unbind(), values[..., : place + 1, :].unbind())
        for block, k, v, ks, vs in zip(self._blocks, *here, *seen, strict=True):
            ln_1, c_attn, gather, ln_2, c_fc, c_proj = block
            query, key, value = c_attn(ln_1(x)).view(3, 1, n_head, -1).unbind()  # (1, nh, hs)
            k.copy_(key)
            v.copy_(value)
            found = F.scaled_dot_product_attention(query.unsqueeze(2), ks, vs)  # (1, nh, 1, hs)
            x = x + gather(found.view(1, -1))
            x = x + c_proj(F.gelu(c_fc(ln_2(x)), approximate="tanh"))
        cache.length = place + 1
        return self._head(self._ln_f(x))[0]

    def scores(self, x: Tensor) -> Tensor:
        """Logits (V,) of a vector (1, C) that has passed the last LayerNorm."""
        return self._head(x)[0]


def _pieces(weight: Tensor) -> int:
    """In how many pieces a product is fastest: two a thread where MKL computes, else one."""
    ordinary = type(weight.data) is Tensor and weight.device.type == "cpu" and torch._C.has_mkl
    return 2 * torch.get_num_threads() if ordinary and torch.get_num_threads() > 1 else 1


def _norm(module: Any) -> Product:
    return partial(
        F.layer_norm,
        normalized_shape=module.normalized_shape,
        weight=module.weight.data,
        bias=module.bias.data,
        eps=module.eps,
    )


def product(layer: nn.Module, pieces: int) -> Product:
    """What `layer` computes, for one row: in pieces, or by itself if it is no plain `Conv1D`."""
    if type(layer) is not Conv1D:
        return layer
    weight, bias = layer.weight.data, layer.bias.data
    n_in, n_out = weight.shape
    pieces = next(n for n in range(pieces, n_in + 1) if n_in % n == 0) if pieces <= n_in else 1
    if pieces == 1:
        return partial(_whole, weight, bias)
    return partial(_in_pieces, weight.view(pieces, n_in // pieces, n_out), bias)


def _whole(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return torch.addmm(bias, x, weight)


def _in_pieces(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """(1, n * i) by (n, i, out): each piece sees a part of the row, and what they give adds up."""
    return torch.bmm(x.view(len(weight), 1, -1), weight).sum(0).add_(bias)


def head(model: GPT, pieces: int) -> Product:
    """The embedding read the other way, its rows shared out in equal pieces and what is left."""
    if isinstance(model.wte, NarrowEmbedding):
        return model.wte.scores
    weight: Tensor = model.wte.weight.data  # (V, C)
    each, width = len(weight) // pieces, weight.size(1)
    if pieces == 1 or each == 0:
        return partial(F.linear, weight=weight)
    equal, rest = weight[: pieces * each].view(pieces, each, width), weight[pieces * each :]

    def scores(x: Tensor) -> Tensor:
        logits = x.new_empty(1, len(weight))
        many = logits[0, : pieces * each].view(pieces, each, 1)
        # as a transposed row: the same numbers as a plain column take MKL six times as long
        torch.bmm(equal, x.t().expand(pieces, width, 1), out=many)
        logits[:, pieces * each :] = F.linear(x, rest)
        return logits

    return scores
