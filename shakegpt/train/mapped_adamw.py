"""AdamW whose moments lie in a file: for a model that fits in memory when they do not.

The two moments are half of what a full finetune holds, and needed once an iteration. Here they are
mapped from a file without a name, which goes when the process does; they are brought in piece by
piece and let go again. The kernel is the same, so the weights are, to the bit. The file is laid
out as a saved state has it: saving copies it, and resuming copies it back, in no more memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from shakegpt.checkpoint.tensorfile import layout
from shakegpt.config import FinetuneConfig
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError
from shakegpt.hardware.device import Place
from shakegpt.hardware.memory import PIECE
from shakegpt.resource_errors import writing
from shakegpt.train.muon import MuonAdamW
from shakegpt.train.optimizer import MOMENTS, AdamW, Group, update


class MappedAdamW(AdamW):
    """Fused AdamW over parameters on the CPU, its moments on the disk of `folder`.

    Weights are updated PIECE numbers at a time, a multiple of any vector's length, so that each
    number is computed as it would be in one piece.
    """

    def __init__(self, named: Mapping[str, Tensor], config: FinetuneConfig, folder: Path) -> None:
        """Moments of zero; their room on the disk is taken at once. Raises ShakegptError."""
        super().__init__(named, config)
        self._steps = 0
        head, places = layout({f"{key}.{n}": p.shape for n, p in named.items() for key in MOMENTS})
        self._map = _mapped_file(folder, head, sum(8 * p.numel() for p in named.values()))
        self._places = {
            p: [len(head) + places[f"{key}.{name}"] for key in MOMENTS] for name, p in named.items()
        }

    def _mapped(self, where: int, count: int) -> Tensor:
        """`count` numbers of the file from the byte `where` on, flat."""
        return torch.frombuffer(self._map, dtype=torch.float32, count=count, offset=where)

    def _let_go(self, where: int, length: int) -> None:
        """Take those bytes out of the process; when others need the memory, they go to disk."""
        first = where - where % mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, where + length - first)

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                for begin in range(0, p.numel() if p.grad is not None else 0, PIECE):
                    self._update(group, p, begin, min(PIECE, p.numel() - begin))
        self._steps += 1

    def _update(self, group: Group, p: Tensor, begin: int, count: int) -> None:
        assert p.grad is not None
        places = [where + 4 * begin for where in self._places[p]]
        weights, gradients = (whole.view(-1)[begin : begin + count] for whole in (p, p.grad))
        mean, square = (self._mapped(where, count) for where in places)
        steps = torch.tensor(float(self._steps))
        update(group, [weights], [gradients], [mean], [square], [steps])
        for where in places:
            self._let_go(where, 4 * count)

    def zero_grad(self) -> None:
        """Drop the gradients: their memory serves evaluations and samples in between."""
        for p in self.named.values():
            p.grad = None

    def save(self, path: Path) -> None:
        """Write the moments of every parameter to a safetensors file."""
        with open(path, "wb") as copy:
            for begin in range(0, len(self._map), 4 * PIECE):
                copy.write(memoryview(self._map)[begin : begin + 4 * PIECE])
                self._let_go(begin, min(4 * PIECE, len(self._map) - begin))

    @torch.no_grad()
    def load(self, path: Path, steps: int) -> None:
        """Take up the moments that a state has after `steps` updates, however it was made.

        Raises ShakegptError for a file that is torn or not of these parameters.
        """
        try:
            for name, p in self.named.items():
                for key, where in zip(MOMENTS, self._places[p], strict=True):
                    with safe_open(path, framework="pt") as saved:  # anew: its pages go with it
                        found = saved.get_tensor(f"{key}.{name}").view(-1)
                    self._mapped(where, p.numel()).copy_(found)
                    self._let_go(where, 4 * p.numel())
        except (SafetensorError, OSError) as error:
            raise ShakegptError(f"{path} cannot be read: {error}", exit_code=1) from error
        self._steps = steps


def _mapped_file(folder: Path, head: bytes, zeros: int) -> mmap.mmap:
    """A file without a name on the disk of `folder`: `head`, and then so many bytes of zero.

    Its room is taken now. In a file with holes, a disk that fills up would end the process at one
    of the next updates by a signal, SIGBUS, without a word.
    """
    with writing(folder, zeros), tempfile.TemporaryFile(dir=folder) as file:
        file.write(head)
        file.flush()
        _take_room(file.fileno(), len(head), zeros)
        return mmap.mmap(file.fileno(), 0)


def _take_room(fd: int, begin: int, count: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, begin, count)
        return
    zeros = bytes(4 * PIECE)  # macOS knows no such call
    for at in range(0, count, len(zeros)):
        os.pwrite(fd, zeros[: count - at], begin + at)


def make_optimizer(
    named: Mapping[str, Tensor], config: FinetuneConfig, place: Place, folder: Path, team: Team
) -> AdamW:
    """The optimizer of `named`; AdamW's moments lie where the memory ladder puts them."""
    if config.optimizer == "muon":
        return MuonAdamW(named, config)
    if team.in_shares:
        from shakegpt.distributed.fsdp import SharedAdamW

        return SharedAdamW(named, config, team)
    if place.memory == "low" and place.device == "cpu":
        return MappedAdamW(named, config, folder)
    return AdamW(named, config)
