"""A forward pass that returns the residual stream and the attention of each block.

It calls the public parts of `GPT`, so model.py needs no hooks; the logits equal the model's own,
and the attention equals transformers' `output_attentions` (both tested).

Letters in shape comments: L blocks, T tokens, C width of the residual stream, nh heads of
hs = C / nh dimensions each, V tokens in the vocabulary.

Reference for the logit lens: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from shakegpt.model import GPT


@dataclass(frozen=True)
class Trace:
    """Intermediate results for one sequence of T tokens."""

    streams: Tensor
    """(L + 1, T, C): the residual stream before the first block, and after each block."""
    attention: Tensor
    """(L, nh, T, T): each head's attention from token i (row) to token j (column)."""
    logits: Tensor
    """(T, V): the logits of the token after each token."""


@torch.inference_mode()
def trace(model: GPT, ids: list[int]) -> Trace:
    """Run the T tokens `ids`, at most the model's block_size, through `model` in eval mode."""
    idx = torch.tensor(ids, device=model.wpe.weight.device)
    x = model.wte(idx) + model.wpe.weight[: len(ids)]  # (T, C)
    causal = torch.ones(len(ids), len(ids), dtype=torch.bool, device=x.device).tril()
    streams, attention = [x], []
    blocks: Any = model.h
    for block in blocks:
        qkv = block.attn.c_attn(block.ln_1(x))  # (T, 3 C)
        q, k, v = qkv.view(len(ids), 3, block.attn.n_head, -1).permute(1, 2, 0, 3)  # (nh, T, hs)
        scores = (q @ k.transpose(1, 2)) / math.sqrt(q.size(-1))  # (nh, T, T)
        weights = scores.masked_fill(~causal, -math.inf).softmax(-1)
        x = x + block.attn.c_proj((weights @ v).transpose(0, 1).reshape(len(ids), -1))
        x = x + block.mlp(block.ln_2(x))
        streams.append(x)
        attention.append(weights)
    return Trace(torch.stack(streams), torch.stack(attention), _head(model, x))


@torch.inference_mode()
def lens(model: GPT, streams: Tensor, n_vocab: int) -> Tensor:
    """Probabilities (L + 1, T, n_vocab) by final LayerNorm and head from each stream.

    `n_vocab` may be less than the model's own: some checkpoints pad their embedding.
    """
    return torch.stack([_head(model, x)[:, :n_vocab].softmax(-1) for x in streams])


def _head(model: GPT, x: Tensor) -> Tensor:
    logits: Tensor = F.linear(model.ln_f(x), model.head.weight).float()
    return logits
