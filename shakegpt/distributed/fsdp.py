"""A sharded model: each process keeps a part of every weight, gradient and moment (FSDP2).

A block is gathered from all shards when its turn comes, forward and backward, and freed again; its
gradient is summed over the processes, and each keeps its own part. So several processes train what
none of them could hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from shakegpt.model import GPT


def shard(model: GPT, device: str, processes: int) -> None:
    """Reduce `model`, which each process has whole, to this process's shard on `device`.

    `model.trunk` gathers the blocks one by one; embeddings and last LayerNorm stay whole from there
    to the end of the backward pass, or while the model is `unsharded`.
    """
    mesh = init_device_mesh(device, (processes,))
    modules: list[Any] = [*model.h, model]
    for module in modules:
        fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(model, "trunk")
    for module in modules:  # once, or an evaluation would create inference tensors
        module.unshard()
        module.reshard()


@contextmanager
def unsharded(model: Any) -> Iterator[None]:
    """Embeddings and last LayerNorm whole: sampling and evaluation read them directly."""
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
