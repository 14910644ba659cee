"""Recomputation and compilation of the blocks in training, installed on a finished model.

Both replace how a block is called while it trains; evaluations and samples call it plainly, and the
names of the weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from shakegpt.model import GPT, Block

BlockCall = Callable[[Any, Tensor], Tensor]
"""A block and the residual stream (B, T, C) before it, to the stream after it."""


def install(model: GPT, recompute: bool, call: BlockCall = Block.forward) -> None:
    """Train the blocks of `model` through `call`, such as a compiled `Block.forward`.

    With `recompute`, only the stream between blocks is kept for the backward pass, and the rest is
    computed again there (activation checkpointing).
    """
    blocks: Any = model.h
    for block in blocks:
        block.forward = partial(_forward, block, recompute, call)


def _forward(block: Block, recompute: bool, call: BlockCall, x: Tensor) -> Tensor:
    if not block.training:
        return Block.forward(block, x)
    if not recompute:
        return call(block, x)
    y: Tensor = checkpoint(call, block, x, use_reentrant=False)
    return y
