"""What a run will need, before it starts: memory by part, disk, time. Imports no torch.

The counts follow from the shapes: float32 weights, gradients and two moments are 4, 4 and 8 bytes
a parameter; a block keeps 16 tensors of the size of the residual stream for its backward pass
(measured for fused attention and one-kernel GELU); the loss keeps the logits and their softmax.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from shakegpt import events
from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.wording import size

PROCESS = 400 << 20
"""Resident bytes of a Python process with torch imported and its allocator warm."""
STREAM_COPIES = 16
"""Tensors (B, T, C) of a block that wait for the backward pass."""
LOGIT_COPIES = 3
"""Tensors (B, T, V) that are alive at once: logits, their log-softmax, its gradient."""


def parameters(n_layer: int, n_embd: int, vocab_size: int, block_size: int) -> int:
    """Parameters of a GPT-2 of this shape, its tied embedding counted once."""
    block = 12 * n_embd**2 + 13 * n_embd
    return (vocab_size + block_size) * n_embd + n_layer * block + 2 * n_embd


def estimate(
    n_layer: int,
    n_head: int,
    n_embd: int,
    vocab_size: int,
    block_size: int,
    config: FinetuneConfig,
) -> events.Memory:
    """Bytes that finetuning a GPT-2 of this shape takes at its peak, part by part."""
    n = parameters(n_layer, n_embd, vocab_size, block_size)
    tokens = config.batch_size * min(config.block_size or block_size, block_size)
    return events.Memory(
        weights=4 * n,
        gradients=4 * n,
        optimizer=8 * n,
        activations=STREAM_COPIES * n_layer * tokens * n_embd * 4,
        logits=LOGIT_COPIES * tokens * vocab_size * 4,
        process=PROCESS,
    )


def flops(
    n_layer: int, n_embd: int, n_params: int, block_size: int, eval_tokens: int, c: FinetuneConfig
) -> float:
    """Floating-point operations of a whole run: 2 a parameter and token forward, 4 backward, and
    attention's own; evaluations are forward only, samples too small to count.
    """
    per_token = 2 * n_params + 4 * n_layer * n_embd * block_size
    trained = c.max_iters * c.batch_size * c.gradient_accumulation_steps * block_size
    evaluations = 1 + -(-c.max_iters // c.eval_interval)
    return per_token * (3 * trained + evaluations * eval_tokens)


def disk(n_params: int) -> int:
    """Bytes a run takes on disk at its fullest: three states of 12 bytes a parameter (two kept, one
    being written), the best model and its replacement.
    """
    return (3 * 12 + 2 * 4) * n_params


def require_room(run: Path, n_params: int, *, begun: bool = False) -> None:
    """Raise ShakegptError when the disk of `run` has less room than the run needs.

    One that has `begun` needs a state and a model more; what they replace goes when they are whole.
    """
    needed, free = (12 + 4) * n_params if begun else disk(n_params), shutil.disk_usage(run).free
    if free < needed:
        raise ShakegptError(
            f"the disk of {run} has {size(free)} free and the run needs {size(needed)} for its "
            f"states and model: make room, or {'move it to' if begun else 'put --out-dir on'} "
            "another disk"
        )
