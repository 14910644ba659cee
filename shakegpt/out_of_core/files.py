"""The files of out-of-core training: named tensors, activations, and a model mapped from a file.

Mapped pages of a file count as resident memory, so only the part of a model in use stays mapped;
the kernel caches the other pages or reads them again. Everything else is read and written in
pieces.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor, nn

from shakegpt.checkpoint.tensorfile import data, layout
from shakegpt.errors import ShakegptError
from shakegpt.files import flush_to_disk, sha256
from shakegpt.hardware.allocator import release_freed_memory
from shakegpt.hardware.resource_errors import reading, writing
from shakegpt.model import GPT
from shakegpt.train.mapped_adamw import allocate

EDGES = -1
"""The part of a model outside its blocks: embeddings and last LayerNorm."""


class TensorFile:
    """Float32 tensors by name in a safetensors file, which a saved state can share.

    A file with a further hard link is never written to: an update then goes to a new file, which
    replaces it.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, Sequence[int]],
        metadata: dict[str, str] | None = None,
    ) -> None:
        """Zeros, with the disk space allocated. Raises ShakegptError if the disk is full."""
        self.path = path
        self._head, starts = layout(shapes, metadata)
        self.offsets = {name: len(self._head) + start for name, start in starts.items()}
        self.size = len(self._head) + sum(4 * torch.Size(s).numel() for s in shapes.values())
        self._sum: str | None = None
        self._updating = False
        self._file = self._next = self._create(path)

    def _create(self, path: Path) -> BinaryIO:
        with writing(path.parent, self.size):
            file = open(path, "w+b", buffering=0)  # noqa: SIM115
            file.write(self._head)
            allocate(file.fileno(), len(self._head), self.size - len(self._head))
        return file

    def read(self, name: str, out: Tensor, begin: int = 0) -> None:
        """Fill `out`, contiguous, with numbers of a tensor, from its `begin`-th on."""
        _read(self._file, self.offsets[name] + 4 * begin, out)

    def write(self, name: str, numbers: Tensor, begin: int = 0) -> None:
        """Replace numbers of a tensor; between `start_update` and `finish_update` of the next."""
        _write(self._next, self.offsets[name] + 4 * begin, numbers)

    def start_update(self) -> None:
        """Prepare to replace every tensor. Raises ShakegptError if the disk is full."""
        if os.fstat(self._file.fileno()).st_nlink > 1:
            self._next = self._create(self._next_path)
        self._sum, self._updating = None, True

    def finish_update(self) -> None:
        """Continue with what was written since `start_update`."""
        if self._next is not self._file:
            self._file.close()
            self._next_path.replace(self.path)
            self._file = self._next
        self._updating = False

    @property
    def _next_path(self) -> Path:
        return self.path.with_name(self.path.name + ".next")

    def share(self, path: Path) -> str:
        """Link the file to `path`, or copy it where that is not possible; returns the sha256.

        Raises ShakegptError if an update failed halfway.
        """
        if self._updating:
            raise ShakegptError("an update failed halfway: its state is not saved", exit_code=1)
        flush_to_disk(self.path)
        try:
            os.link(self.path, path)
        except OSError:  # a file system without hard links
            shutil.copyfile(self.path, path)
            flush_to_disk(path)
        self._sum = self._sum or sha256(self.path)
        return self._sum

    def adopt(self, path: Path) -> None:
        """Continue from the tensors in `path`, without copying them where that is possible.

        Raises ShakegptError for a file of other tensors.
        """
        with open(path, "rb") as file:
            same = file.read(len(self._head)) == self._head
        if same and path.stat().st_size == self.size:
            link = self._next_path
            link.unlink(missing_ok=True)
            try:
                os.link(path, link)
                link.replace(self.path)
                link.unlink(missing_ok=True)  # it stays if both were links to one file
            except OSError:
                shutil.copyfile(path, self.path)
            self._file.close()
            self._file = self._next = open(self.path, "r+b", buffering=0)  # noqa: SIM115
            return
        for name in self.offsets:
            # reopened to free its pages
            with reading(path), safe_open(path, framework="pt") as saved:
                self.write(name, saved.get_tensor(name))

    def map(self) -> mmap.mmap:
        """The whole file, mapped."""
        return mmap.mmap(self._file.fileno(), 0)

    def close(self) -> None:
        """Close the file; its mappings stay valid."""
        self._file.close()
        self._next.close()


class Activations:
    """Tensors by any key, in an unlinked file on the disk of a folder."""

    def __init__(self, folder: Path) -> None:
        self._file: Any = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._places = dict[Any, tuple[int, torch.Size]]()
        self._end = 0

    def __setitem__(self, key: Any, tensor: Tensor) -> None:
        """Write a tensor, always of the same shape for the same key."""
        if key not in self._places:
            self._places[key] = self._end, tensor.shape
            self._end += 4 * tensor.numel()
        _write(self._file, self._places[key][0], tensor)

    def __getitem__(self, key: Any) -> Tensor:
        offset, shape = self._places[key]
        tensor = torch.empty(shape)
        _read(self._file, offset, tensor)
        return tensor

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


class PagedModel:
    """Maps the parameters of a model from a file; only the part in use stays resident.

    The parts are the blocks, and `EDGES`. The first LayerNorm of each announces its part.
    """

    def __init__(self, model: GPT, file: TensorFile) -> None:
        """Replace the parameters of `model`, of any device, by those in `file`."""
        self.file, self._at, self._parts = file, EDGES, dict[int, tuple[int, int]]()
        self._shapes = dict[str, torch.Size]()
        for name, p in list(model.named_parameters()):
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, nn.Parameter(torch.empty(0)))
            self._shapes[name] = p.shape
            begin = file.offsets[name]
            part = int(name.split(".")[1]) if name.startswith("h.") else EDGES
            first, last = self._parts.get(part, (begin, begin))
            self._parts[part] = min(first, begin), max(last, begin + 4 * p.numel())
        self._parameters = dict(model.named_parameters())
        blocks: Any = model.h
        for part, norm in [(EDGES, model.ln_f), *((i, b.ln_1) for i, b in enumerate(blocks))]:
            norm.__class__ = _FirstNorm
            norm.announce = partial(self.enter, part)
        self.remap()

    def remap(self) -> None:
        """Map the file anew, after its update."""
        self._map = self.file.map()
        for name, p in self._parameters.items():
            shape, offset = self._shapes[name], self.file.offsets[name]
            flat = torch.frombuffer(self._map, dtype=p.dtype, count=shape.numel(), offset=offset)
            p.data = flat.view(shape)

    def fill(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Write weights by name to the file."""
        for name, tensor in weights:
            self.file.write(name, tensor)

    def enter(self, part: int) -> None:
        """Unmap the pages of all other parts, and let the kernel prefetch the next part."""
        if part == self._at or not hasattr(mmap, "MADV_DONTNEED"):
            return
        page, (begin, end) = mmap.PAGESIZE, self._parts[part]
        begin, end = begin - begin % page, end + -end % page
        if begin > 0:
            self._map.madvise(mmap.MADV_DONTNEED, 0, begin)
        if end < len(self._map):
            self._map.madvise(mmap.MADV_DONTNEED, end)
        ahead = self._parts.get(part + 1 if part > self._at else part - 1)
        if ahead is not None:
            first = ahead[0] - ahead[0] % page
            self._map.madvise(mmap.MADV_WILLNEED, first, ahead[1] - first)
        self._at = part
        release_freed_memory()


class _FirstNorm(nn.LayerNorm):
    announce: Callable[[], None]

    def forward(self, x: Tensor) -> Tensor:
        self.announce()
        return super().forward(x)


def _read(file: BinaryIO, offset: int, out: Tensor) -> None:
    view = data(out)  # no copy: contiguous float32 on the CPU
    file.seek(offset)
    while len(view):
        count = file.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise OSError(f"{file.name} is shorter than it was")
        view = view[count:]


def _write(file: BinaryIO, offset: int, tensor: Tensor) -> None:
    view = data(tensor)
    file.seek(offset)
    while len(view):
        view = view[file.write(view) :]
