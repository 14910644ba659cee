"""AdamW with its moments in a memory-mapped file, for a model that fits in memory without them.

The two moments are half of the memory of a full finetune, and needed once per iteration. Here they
are mapped from an unlinked file, which is deleted with the process, and paged in and out in pieces.
The AdamW kernel is the same, so the weights are equal to the bit. The file has the layout of a
saved state: saving and resuming copy it, without further memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from shakegpt.checkpoint.tensorfile import layout
from shakegpt.files import write_pieces
from shakegpt.hardware.memory import PIECE
from shakegpt.hardware.resource_errors import reading, writing
from shakegpt.train.optimizer import MOMENTS, AdamW, Group, update


class MappedAdamW(AdamW):
    """AdamW over parameters on the CPU, its moments on the disk of `folder`.

    Weights are updated PIECE numbers at a time, a multiple of any vector's length, so that each
    number is computed as it would be in one piece.
    """

    def __init__(self, named: Mapping[str, Tensor], groups: list[Group], folder: Path) -> None:
        """Zero moments, their disk space allocated at once. Raises ShakegptError if it is full."""
        super().__init__(named, groups)
        self._steps = 0
        head, starts = layout({f"{key}.{n}": p.shape for n, p in named.items() for key in MOMENTS})
        self._map = _mapped_file(folder, head, sum(8 * p.numel() for p in named.values()))
        self._offsets = {
            p: [len(head) + starts[f"{key}.{name}"] for key in MOMENTS] for name, p in named.items()
        }

    def _mapped(self, offset: int, count: int) -> Tensor:
        """`count` numbers of the file from the byte `offset` on, flat."""
        return torch.frombuffer(self._map, dtype=torch.float32, count=count, offset=offset)

    def _evict(self, offset: int, length: int) -> None:
        """Unmap the pages of those bytes; the kernel writes them to disk when memory is short."""
        first = offset - offset % mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, offset + length - first)

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
        offsets = [offset + 4 * begin for offset in self._offsets[p]]
        weights, gradients = (whole.view(-1)[begin : begin + count] for whole in (p, p.grad))
        mean, square = (self._mapped(offset, count) for offset in offsets)
        steps = torch.tensor(float(self._steps))
        update(group, [weights], [gradients], [mean], [square], [steps])
        for offset in offsets:
            self._evict(offset, 4 * count)

    def zero_grad(self) -> None:
        """Free the gradients, whose memory evaluations and samples use."""
        for p in self.named.values():
            p.grad = None

    def save(self, path: Path) -> str:
        """Write the moments of every parameter to a safetensors file; returns its sha256."""
        return write_pieces(path, self._pieces())

    def _pieces(self) -> Iterator[memoryview]:
        for begin in range(0, len(self._map), 4 * PIECE):
            yield memoryview(self._map)[begin : begin + 4 * PIECE]
            self._evict(begin, min(4 * PIECE, len(self._map) - begin))

    @torch.no_grad()
    def load(self, path: Path, steps: int) -> None:
        """Restore the moments of a state after `steps` updates, of whichever kind of AdamW.

        Raises ShakegptError for a file that is damaged or of other parameters.
        """
        for name, p in self.named.items():
            for key, offset in zip(MOMENTS, self._offsets[p], strict=True):
                # reopened to free its pages
                with reading(path), safe_open(path, framework="pt") as saved:
                    moment = saved.get_tensor(f"{key}.{name}").view(-1)
                self._mapped(offset, p.numel()).copy_(moment)
                self._evict(offset, 4 * p.numel())
        self._steps = steps


def _mapped_file(folder: Path, head: bytes, zeros: int) -> mmap.mmap:
    """An unlinked file on the disk of `folder`: `head`, and then `zeros` zero bytes.

    Its disk space is allocated at once: with a sparse file, a full disk would kill the process by
    SIGBUS at a later update, without a message.
    """
    with writing(folder, zeros), tempfile.TemporaryFile(dir=folder) as file:
        file.write(head)
        file.flush()
        allocate(file.fileno(), len(head), zeros)
        return mmap.mmap(file.fileno(), 0)


def allocate(fd: int, begin: int, count: int) -> None:
    """Allocate the disk space of `count` zero bytes in a file. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, begin, count)
        return
    zeros = bytes(4 * PIECE)  # macOS has no such call
    for offset in range(0, count, len(zeros)):
        os.lseek(fd, begin + offset, os.SEEK_SET)
        os.write(fd, zeros[: count - offset])
