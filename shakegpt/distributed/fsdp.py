"""A model in shares: each process keeps a part of every weight, gradient and moment (FSDP2).

A block is put together from all shares when its turn comes, forward and backward, and let go again;
its gradient is summed over the processes, and each keeps its own part. So several processes train
what none of them could hold. States and models on disk are whole, as those of one process: the
first one writes them, and the others lend it one tensor after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from shakegpt.checkpoint.tensorfile import layout
from shakegpt.config import FinetuneConfig
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.model import GPT
from shakegpt.train.optimizer import MOMENTS, AdamW

T = TypeVar("T")


def shard(model: GPT, device: str, processes: int) -> None:
    """Leave this process its share of `model`, on `device`; until then each has the whole of it.

    `model.trunk` puts the blocks together one by one; embeddings and last LayerNorm stay whole
    from there to the end of the backward pass, or as long as they are `gathered`.
    """
    mesh = init_device_mesh(device, (processes,))
    parts: list[Any] = [*model.h, model]
    for part in parts:
        fully_shard(part, mesh=mesh)
    register_fsdp_forward_method(model, "trunk")
    for part in parts:  # once, or an evaluation would make tensors that cannot learn
        part.unshard()
        part.reshard()


@contextmanager
def gathered(model: Any) -> Iterator[None]:
    """Embeddings and last LayerNorm whole: those who sample and measure look at them directly."""
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


class SharedAdamW(AdamW):
    """AdamW over weights in shares: each process has its own part of them, and of the moments."""

    def __init__(self, named: Mapping[str, Tensor], config: FinetuneConfig, team: Team) -> None:
        """For the parameters `named` of a model that `shard` has divided among `team`."""
        super().__init__(named, config)
        self._team = team

    def lent(self, job: Callable[[], T]) -> T | None:
        """In all processes: the first does `job`, and the others lend it what it writes.

        When the job fails, its process raises that, and the others Stopped.
        """
        if not self._team.first:
            self._lend()
            return None
        code = 1
        try:
            done = job()
            code = 0
            return done
        except Exception as error:
            code = getattr(error, "exit_code", code)
            raise
        finally:
            self._team.told(code)

    def _lend(self) -> None:
        wanted: Any
        while isinstance(wanted := self._team.told(None), str):
            self._whole(wanted)
        if wanted:
            raise Stopped("process 0 could not go on", wanted)

    @torch.no_grad()
    def _whole(self, name: str) -> Tensor:
        """A weight or moment put together, in all processes at once."""
        key, _, owner = name.partition(".")
        share: Any = self._kept(self.named[owner])[key] if key in MOMENTS else self.named[name]
        whole: Tensor = share.full_tensor()
        return whole.cpu()

    def write(
        self, tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
    ) -> None:
        """As that of one process, inside a job that is `lent` to; one tensor is whole at a time."""
        head, _ = layout({name: tensor.shape for name, tensor in tensors.items()}, metadata)
        with open(path, "wb") as file:
            file.write(head)
            for name in sorted(tensors):
                self._team.told(name)
                file.write(self._whole(name).numpy().data.cast("B"))

    @torch.no_grad()
    def load(self, path: Path, steps: int) -> None:
        """Take up this process's part of the moments that a state has after `steps` updates.

        Raises ShakegptError for a file that is torn or not of these parameters.
        """
        try:
            with safe_open(path, framework="pt") as saved:
                for name, p in self.named.items():
                    kept: Any = self._kept(p)
                    kept["step"].fill_(steps)
                    for key in MOMENTS:
                        mine = kept[key].to_local()
                        begin = self._begin(p)
                        rows = saved.get_slice(f"{key}.{name}")[begin : begin + len(mine)]
                        mine.copy_(rows)
        except (SafetensorError, OSError) as error:
            raise ShakegptError(f"{path} cannot be read: {error}", exit_code=1) from error

    def _begin(self, p: Tensor) -> int:
        """The first of this process's rows of `p`; all have equally many, but for the last."""
        each = -(-len(p) // self._team.size)
        return min(self._team.rank * each, len(p))
