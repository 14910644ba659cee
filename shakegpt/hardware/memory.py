"""What a run will need, before it starts: memory by part, disk, time. Imports no torch.

The counts follow from the shapes: float32 weights, gradients and two moments are 4, 4 and 8 bytes
a parameter; a block keeps 16 tensors of the size of the residual stream for its backward pass
(measured for fused attention and one-kernel GELU). In the ladder's lower row a block keeps its
input alone, and the moments are in a file.
"""

from __future__ import annotations

import shutil
from math import gcd
from pathlib import Path
from typing import Literal, Protocol

import psutil

from shakegpt.config import FinetuneConfig, count_parameters
from shakegpt.errors import ShakegptError
from shakegpt.format import size
from shakegpt.runlog import schema

Row = Literal["normal", "low"]
"""Of the ladder, fastest first."""
PROCESS = 380 << 20
"""Resident bytes of a Python process with torch imported, the text and its tokens, and what the
products and the allocator hold in between. Measured with tests/bench/memory.py."""
STREAM_COPIES = 16
"""Tensors (B, T, C) of a block that wait for the backward pass."""
FROZEN_COPIES = 10
"""The same when no weight of the block is learned, but for what its changes (LoRA) need."""
CHANGE_COPIES = {"attn.c_attn": 1, "attn.c_proj": 0, "mlp.c_fc": 1, "mlp.c_proj": 4}
"""More of them for a change beside this matrix: its input, where nothing else has kept it."""
CHANGE_INPUTS = {"attn.c_attn": 1, "attn.c_proj": 1, "mlp.c_fc": 1, "mlp.c_proj": 4}
CHANGE_OUTPUTS = {"attn.c_attn": 3, "attn.c_proj": 1, "mlp.c_fc": 4, "mlp.c_proj": 1}
"""Sizes of each matrix, in widths of the residual stream."""
HEAD_ROWS = 256
"""Tokens whose scores exist at once. Fewer save memory, but for each such chunk the gradient of the
whole head is read and written once."""
PIECE = 1 << 22
"""Numbers of a moment that are in memory at once when they lie in a file."""
CGROUP = Path("/sys/fs/cgroup")


class Shape(Protocol):
    """The numbers that give a GPT-2 its size."""

    @property
    def n_layer(self) -> int: ...  # noqa: D102
    @property
    def n_embd(self) -> int: ...  # noqa: D102
    @property
    def vocab_size(self) -> int: ...  # noqa: D102
    @property
    def block_size(self) -> int: ...  # noqa: D102


def learned(shape: Shape, config: FinetuneConfig) -> int:
    """Numbers that training changes: all parameters, or those of the changes beside them (LoRA)."""
    if config.lora_rank is None:
        return count_parameters(shape.n_layer, shape.n_embd, shape.vocab_size, shape.block_size)
    widths = sum(CHANGE_INPUTS[t] + CHANGE_OUTPUTS[t] for t in config.lora_targets)
    return shape.n_layer * config.lora_rank * widths * shape.n_embd


def _stream_copies(config: FinetuneConfig) -> int:
    if config.lora_rank is None:
        return STREAM_COPIES
    dropped = CHANGE_INPUTS if config.lora_dropout > 0 else dict.fromkeys(CHANGE_INPUTS, 0)
    return FROZEN_COPIES + sum(CHANGE_COPIES[t] + dropped[t] for t in config.lora_targets)


def estimate(
    shape: Shape, config: FinetuneConfig, row: Row = "normal", processes: int = 1
) -> schema.Memory:
    """Bytes that finetuning a GPT-2 of this shape takes at its peak, part by part.

    Where several processes share each iteration: of one of them. What DDP and FSDP send and receive
    counts as `process`.
    """
    n = count_parameters(shape.n_layer, shape.n_embd, shape.vocab_size, shape.block_size)
    moving, copies = learned(shape, config), _stream_copies(config)
    windows = config.batch_size * gcd(config.gradient_accumulation_steps, processes) // processes
    tokens = windows * min(config.block_size or shape.block_size, shape.block_size)
    stream, low, alone = tokens * shape.n_embd * 4, row == "low", processes == 1
    lean, shares = alone or config.shard, processes if config.shard else 1
    filed = low and shares == 1 and config.optimizer == "adamw"  # the moments, in a file
    muon = 12 * shape.n_layer * shape.n_embd**2 if config.optimizer == "muon" else 0  # one for two
    kept = shape.n_layer + copies if low else shape.n_layer * copies
    return schema.Memory(
        weights=4 * (n if config.lora_rank is None else n + moving) // shares,
        gradients=4 * moving // shares,
        optimizer=4 * (2 * (min(PIECE, moving) if filed else moving) - muon) // shares,
        activations=kept * stream,
        logits=(min(HEAD_ROWS, tokens) if lean else 3 * tokens) * shape.vocab_size * 4,
        process=PROCESS + (0 if alone else _gathered(shape) if config.shard else 4 * moving),
        row=row,
        traffic=2 * 8 * moving if filed else 0,
    )


def _gathered(shape: Shape) -> int:
    """Bytes that are whole for a moment where each process has its share of a model: embeddings
    and their gradient, a block, the next one and a gradient. Measured, docs/lab-log.md.
    """
    block = count_parameters(1, shape.n_embd, 0, 0)
    return 4 * (
        2 * count_parameters(0, shape.n_embd, shape.vocab_size, shape.block_size) + 3 * block
    )


def choose(shape: Shape, config: FinetuneConfig, available: int, processes: int = 1) -> Row:
    """The row that --memory names; of auto, the fastest that fits in `available` bytes."""
    if config.memory != "auto":
        return config.memory
    needed = estimate(shape, config, processes=processes).total
    return "normal" if needed <= available else "low"


def require_memory(n_params: int) -> None:
    """Raise ShakegptError when the weights alone are more than all the memory of this machine."""
    there = int(psutil.virtual_memory().total)
    if 4 * n_params > there:
        raise ShakegptError(
            f"a model of {n_params:,} parameters takes {size(4 * n_params)} of memory and this "
            f"machine has {size(there)}: lower --n-layer, --n-embd or --block-size"
        )


def available_memory() -> int:
    """Bytes that this process may still take, by the machine and by its container's limit."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no such limit
        return free
    return min(free, limit - used)


def flops(
    n_layer: int, n_embd: int, n_params: int, block_size: int, eval_tokens: int, c: FinetuneConfig
) -> float:
    """Floating-point operations of a whole run: 2 a parameter and token forward, 4 backward, and
    attention's own; evaluations are forward only, samples too small to count.
    """
    per_token = 2 * n_params + 4 * n_layer * n_embd * block_size
    trained = c.max_iters * c.batch_size * c.gradient_accumulation_steps * block_size
    evaluations = 1 + -(-c.max_iters // c.eval_interval)
    passes = 3 if c.lora_rank is None else 2  # frozen weights need no gradient, their inputs do
    return per_token * (passes * trained + evaluations * eval_tokens)


def disk(n_params: int, moving: int, row: Row = "normal") -> int:
    """Bytes a run takes on disk at its fullest: three states of 12 bytes a number that is learned
    (two kept, one being written), the best model and its replacement, the moments with low memory.
    """
    return 3 * 12 * moving + 2 * 4 * n_params + (8 * moving if row == "low" else 0)


def require_room(
    run: Path, n_params: int, moving: int, row: Row = "normal", *, begun: bool = False
) -> None:
    """Raise ShakegptError when the disk of `run` has less room than the run needs.

    One that has `begun` has two states and a model there already, which the next ones replace.
    """
    needed = disk(n_params, moving, row) - (24 * moving + 4 * n_params if begun else 0)
    free = shutil.disk_usage(run).free
    if free < needed:
        raise ShakegptError(
            f"the disk of {run} has {size(free)} free and the run needs {size(needed)} for its "
            f"states and model: make room, or {'move it to' if begun else 'put --out-dir on'} "
            "another disk"
        )
