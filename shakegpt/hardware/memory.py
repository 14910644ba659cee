"""Estimates of a run's memory, disk space and computation before it starts. Imports no torch.

The counts follow from the shapes: float32 weights, gradients and two moments are 4, 4 and 8 bytes
per parameter; a block keeps 16 tensors of the size of the residual stream for its backward pass
(measured for fused attention and one-kernel GELU). With `--memory low` a block keeps only its
input, and on a CPU the moments are in a file; with `lowest` all of these are in files, and one
block, or embedding and head, is in memory at a time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from math import gcd
from pathlib import Path
from typing import Literal

import psutil

from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.config.finetune import conflicts
from shakegpt.errors import ShakegptError
from shakegpt.format import size
from shakegpt.hardware import control_group
from shakegpt.runlog import schema

Row = Literal["normal", "low", "lowest"]
"""Settings of --memory, fastest first."""
PROCESS = 380 << 20
"""Resident bytes of a Python process with torch imported, the text and its tokens, and temporary
tensors and freed memory in the heap. Measured with tests/bench/memory.py."""
STREAM_COPIES = 16
"""Tensors (B, T, C) that a block keeps for the backward pass."""
FROZEN_COPIES = 10
"""The same for a block with frozen weights, without what LoRA's adapters need."""
ADAPTER_COPIES = {"attn.c_attn": 1, "attn.c_proj": 0, "mlp.c_fc": 1, "mlp.c_proj": 4}
"""Further ones for an adapter of this matrix: its input, unless another operation keeps it."""
ADAPTER_INPUTS = {"attn.c_attn": 1, "attn.c_proj": 1, "mlp.c_fc": 1, "mlp.c_proj": 4}
ADAPTER_OUTPUTS = {"attn.c_attn": 3, "attn.c_proj": 1, "mlp.c_fc": 4, "mlp.c_proj": 1}
"""Sizes of each matrix, in widths of the residual stream."""
HEAD_ROWS = 256
"""Tokens whose logits exist at once. Fewer save memory, but each such chunk reads and writes the
gradient of the whole head once."""
PIECE = 1 << 22
"""Numbers of a memory-mapped moment that are in memory at once."""


def trainable_params(shape: GPTConfig, config: FinetuneConfig) -> int:
    """Number of trainable parameters: all, or with LoRA those of the adapters."""
    if config.lora_rank is None:
        return shape.n_params
    widths = sum(ADAPTER_INPUTS[t] + ADAPTER_OUTPUTS[t] for t in config.lora_targets)
    return shape.n_layer * config.lora_rank * widths * shape.n_embd


def _stream_copies(config: FinetuneConfig) -> int:
    if config.lora_rank is None:
        return STREAM_COPIES
    masks = ADAPTER_INPUTS if config.lora_dropout > 0 else dict.fromkeys(ADAPTER_INPUTS, 0)
    return FROZEN_COPIES + sum(ADAPTER_COPIES[t] + masks[t] for t in config.lora_targets)


def estimate(
    shape: GPTConfig,
    config: FinetuneConfig,
    row: Row = "normal",
    processes: int = 1,
    device: str = "cpu",
) -> schema.Memory:
    """Peak memory of finetuning a GPT-2 of this shape on `device`, bytes, part by part.

    With several processes, that of one; buffers of DDP and FSDP count as `process`.
    """
    n, moving, copies = shape.n_params, trainable_params(shape, config), _stream_copies(config)
    windows = config.batch_size * gcd(config.gradient_accumulation_steps, processes) // processes
    tokens = windows * min(config.block_size or shape.block_size, shape.block_size)
    stream, low, alone = tokens * shape.n_embd * 4, row == "low", processes == 1
    chunked, shards = alone or config.shard, processes if config.shard else 1
    adamw = config.optimizer == "adamw"
    mapped = low and shards == 1 and device == "cpu" and adamw  # moments in a file
    # Muon has one moment of each block matrix instead of two
    saved = 0 if adamw else 12 * shape.n_layer * shape.n_embd**2
    activations = shape.n_layer + copies if low else shape.n_layer * copies
    if row == "lowest":
        return _out_of_core(shape, config, stream, tokens)
    return schema.Memory(
        weights=4 * (n if config.lora_rank is None else n + moving) // shards,
        gradients=4 * moving // shards,
        optimizer=4 * (2 * (min(PIECE, moving) if mapped else moving) - saved) // shards,
        activations=activations * stream,
        logits=(min(HEAD_ROWS, tokens) if chunked else 3 * tokens) * shape.vocab_size * 4,
        process=PROCESS + (0 if alone else _unsharded(shape) if config.shard else 4 * moving),
        row=row,
        traffic=2 * 8 * moving if mapped else 0,
        disk=disk(shape, config, row),
    )


def _out_of_core(
    shape: GPTConfig, config: FinetuneConfig, stream: int, tokens: int
) -> schema.Memory:
    """With lowest memory: of a block, or of embedding and head, whichever takes more."""
    width, layers, micro_steps = shape.n_embd, shape.n_layer, config.gradient_accumulation_steps
    n, block = shape.n_params, 4 * shape.block_params
    edges = 4 * n - layers * block
    passing, piece = 16 * width**2, 4 * 4 * min(PIECE, max(shape.vocab_size, 4 * width) * width)
    logits = min(HEAD_ROWS, tokens) * shape.vocab_size * 4
    in_block = {
        "weights": block,
        "gradients": block + passing,  # with a second one of the largest matrix
        "optimizer": 0,
        "activations": (STREAM_COPIES + 3) * stream,
        "logits": 0,
    }
    in_head = {
        "weights": edges,
        "gradients": edges,
        "optimizer": 0,
        "activations": STREAM_COPIES * stream,  # freed ones of the blocks, in the heap
        "logits": logits,
    }
    in_update = dict.fromkeys(in_head, 0) | {"optimizer": piece}
    largest = max((in_block, in_head, in_update), key=lambda parts: sum(parts.values()))
    return schema.Memory(
        **largest,
        process=PROCESS,
        row="lowest",
        traffic=4 * 10 * n + 5 * (layers + 1) * micro_steps * stream,
        disk=disk(shape, config, "lowest"),
    )


def _unsharded(shape: GPTConfig) -> int:
    """Bytes of a sharded model that are gathered at a time: embeddings and their gradient, two
    blocks and the gradient of one. Measured, docs/lab-log.md.
    """
    embeddings = shape.n_params - shape.n_layer * shape.block_params
    return 4 * (2 * embeddings + 3 * shape.block_params)


def choose(
    shape: GPTConfig,
    config: FinetuneConfig,
    available: int,
    processes: int = 1,
    device: str = "cpu",
) -> Row:
    """The setting of --memory; for auto, the fastest that fits in `available` bytes."""
    if config.memory != "auto":
        return config.memory
    rows: list[Row] = ["normal", "low"]
    if device == "cpu" and processes == 1 and not conflicts({**vars(config), "memory": "lowest"}):
        rows.append("lowest")
    needs = ((row, estimate(shape, config, row, processes, device).total) for row in rows)
    return next((row for row, needed in needs if needed <= available), rows[-1])


def require_memory(shape: GPTConfig, config: FinetuneConfig) -> None:
    """Raise ShakegptError if this machine's memory cannot hold the weights or, with lowest, whose
    weights are in files, what that row needs.
    """
    installed = int(psutil.virtual_memory().total)
    row = choose(shape, config, installed)
    needed = estimate(shape, config, row).total if row == "lowest" else 4 * shape.n_params
    if needed > installed:
        raise ShakegptError(
            f"a model of {shape.n_params:,} parameters needs {size(needed)} of memory, and this "
            f"machine has {size(installed)}: lower --n-layer, --n-embd or --block-size"
        )


def available_memory() -> int:
    """Bytes that this process can still allocate, within the limits of its control groups.

    Page cache that the kernel can drop does not count as used.
    """
    free, left = int(psutil.virtual_memory().available), control_group.memory_left()
    return free if left is None else min(free, left)


def flops(
    shape: GPTConfig | schema.Model,
    block_size: int,
    eval_tokens: int,
    c: FinetuneConfig,
    row: Row = "normal",
) -> float:
    """Floating-point operations of a whole run: per parameter and token 2 forward, 4 backward, 2
    more where activations are recomputed, and those of attention; evaluations are forward only,
    samples are neglected.
    """
    per_token = 2 * shape.n_params + 4 * shape.n_layer * shape.n_embd * block_size
    trained = c.max_iters * c.batch_size * c.gradient_accumulation_steps * block_size
    evaluations = 1 + -(-c.max_iters // c.eval_interval)
    passes = 3 if c.lora_rank is None else 2  # frozen weights get no gradient, their inputs do
    passes += row != "normal"
    return per_token * (passes * trained + evaluations * eval_tokens)


def disk(shape: GPTConfig, config: FinetuneConfig, row: Row = "normal", shared: bool = True) -> int:
    """Peak bytes of a run on disk: its saved states, 12 bytes per trainable parameter each, with
    the one being written; the best model and its replacement; with low memory the moments.

    With lowest memory also the gradients and the streams between blocks, of an iteration or an
    evaluation. `shared`: whether hard links let the weights and moments share the disk space of the
    newest state and of the best model.
    """
    n, moving = shape.n_params, trainable_params(shape, config)
    states = (config.keep + 1) * 12 * moving
    if row != "lowest":
        return states + 2 * 4 * n + (8 * moving if row == "low" else 0)
    length = min(config.block_size or shape.block_size, shape.block_size)
    micro_batches = config.batch_size * config.gradient_accumulation_steps * length
    streams = max((shape.n_layer + 2) * micro_batches, config.eval_tokens) * shape.n_embd * 4
    return states + 4 * n + 4 * n + streams + (0 if shared else 16 * n)


def require_disk(
    run: Path,
    shape: GPTConfig,
    config: FinetuneConfig,
    row: Row = "normal",
    *,
    resuming: bool = False,
) -> None:
    """Raise ShakegptError if the disk of `run` has less free space than the run needs.

    With `resuming`, states and model that are already there are replaced, and so count as free.
    """
    needed = disk(shape, config, row, row != "lowest" or _can_link(run))
    if resuming:
        needed -= _size(run)
    free = shutil.disk_usage(run).free
    if free < needed:
        raise ShakegptError(
            f"the disk of {run} has {size(free)} free and the run needs {size(needed)} for its "
            "states and model: free some space, give a lower --keep, or "
            f"{'move it to' if resuming else 'put --out-dir on'} another disk"
        )


def _can_link(folder: Path) -> bool:
    """Whether the file system of `folder` has hard links."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        other = Path(file.name + ".link")
        try:
            os.link(file.name, other)
        except OSError:
            return False
        other.unlink()
    return True


def _size(run: Path) -> int:
    """Bytes of the states and the model of a run; hard links to one file count once."""
    files = (path.stat() for path in run.glob("*/**/*.safetensors"))
    return sum({(file.st_dev, file.st_ino): file.st_size for file in files}.values())
