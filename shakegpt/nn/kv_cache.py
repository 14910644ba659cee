"""Keys and values of the tokens that a model has seen, for the next ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from shakegpt.model import GPT


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
