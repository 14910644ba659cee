"""Recomputation and compilation of the blocks in training, installed on a finished model.

Both replace the call of a block in training mode; evaluations and samples use the plain block, and
the names of the weights do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from shakegpt.model import GPT, Block

BlockCall = Callable[[Any, Tensor], Tensor]
"""From a block and the residual stream (B, T, C) before it to the stream after it."""


def install(model: GPT, recompute: bool, call: BlockCall = Block.forward) -> None:
    """Let the blocks of `model` train by `call`, such as a compiled `Block.forward`.

    With `recompute`, only the stream between blocks is stored for the backward pass, which
    recomputes all other activations (activation checkpointing).
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
