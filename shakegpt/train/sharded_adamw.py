"""AdamW over sharded weights: each process has a shard of them, and of the moments.

States and models on disk are those of a single process: rank 0 writes them, and all processes
gather one tensor after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor

from shakegpt.checkpoint.tensorfile import data, layout
from shakegpt.checkpoint.weights import PREFIX
from shakegpt.distributed.group import Team
from shakegpt.errors import Stopped
from shakegpt.files import write_pieces
from shakegpt.hardware.resource_errors import reading
from shakegpt.train.optimizer import MOMENTS, AdamW, Group

T = TypeVar("T")


class ShardedAdamW(AdamW):
    """AdamW over the parameters of a model that `distributed.fsdp.shard` has sharded."""

    def __init__(self, named: Mapping[str, Tensor], groups: list[Group], team: Team) -> None:
        """As `AdamW`, with the team that the weights are sharded over."""
        super().__init__(named, groups)
        self._team = team

    def run_on_writer(self, job: Callable[[], T]) -> T | None:
        """In all processes: rank 0 calls `job`, and the others gather its tensors with it.

        If the job fails, rank 0 raises its error, and the others Stopped.
        """
        if not self._team.first:
            self._gather_for_writer()
            return None
        code = 1
        try:
            result = job()
            code = 0
            return result
        except Exception as error:
            code = getattr(error, "exit_code", code)
            raise
        finally:
            self._team.broadcast(code)

    def _gather_for_writer(self) -> None:
        message: Any  # the name of a tensor, or at the end the exit code
        while isinstance(message := self._team.broadcast(None), str):
            self._full_tensor(message)
        if message:
            raise Stopped("process 0 failed", message)

    @torch.no_grad()
    def _full_tensor(self, name: str) -> Tensor:
        """A weight or moment, gathered on the CPU by all processes together."""
        key, _, owner = name.partition(".")
        shard: Any = (
            self._state_of(self.named[owner])[key]
            if key in MOMENTS
            else self.named[name.removeprefix(PREFIX)]
        )
        full: Tensor = shard.full_tensor()
        return full.cpu()

    def write(
        self, tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
    ) -> str:
        """As in one process, within `run_on_writer`; one tensor is gathered at a time."""
        head, _ = layout({name: tensor.shape for name, tensor in tensors.items()}, metadata)
        return write_pieces(path, chain([head], map(self._gathered, sorted(tensors))))

    def _gathered(self, name: str) -> memoryview:
        self._team.broadcast(name)
        return data(self._full_tensor(name))

    @torch.no_grad()
    def load(self, path: Path, steps: int) -> None:
        """Restore this process's shard of the moments of a state after `steps` updates.

        Raises ShakegptError for a file that is damaged or of other parameters.
        """
        with reading(path), safe_open(path, framework="pt") as saved:
            for name, p in self.named.items():
                state: Any = self._state_of(p)
                state["step"].fill_(steps)
                rows = -(-len(p) // self._team.size)  # of each process, fewer in the last ones
                first = min(self._team.rank * rows, len(p))
                for key in MOMENTS:
                    shard = state[key].to_local()
                    shard.copy_(saved.get_slice(f"{key}.{name}")[first : first + len(shard)])
