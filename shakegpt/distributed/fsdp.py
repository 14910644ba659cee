"""A sharded model: each process has a shard of every weight, gradient and moment (FSDP2).

A block is gathered from all shards for its forward and its backward pass, and freed after each; its
gradient is reduced over the processes, and each keeps its shard. So several processes can train a
model that does not fit one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from shakegpt.model import GPT


def shard(model: GPT, device: str, processes: int) -> None:
    """Reduce `model`, complete in each process, to this process's shard on `device`.

    `model.trunk` gathers the blocks one by one; embeddings and last LayerNorm stay gathered from
    there to the end of the backward pass, or while the model is `unsharded`.
    """
    mesh = init_device_mesh(device, (processes,))
    modules: list[Any] = [*model.h, model]
    for module in modules:
        fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(model, "trunk")
    for module in modules:  # allocates outside of inference mode, in which evaluations run
        module.unshard()
        module.reshard()


@contextmanager
def unsharded(model: Any) -> Iterator[None]:
    """Gather embeddings and last LayerNorm, which sampling and evaluation read directly."""
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
