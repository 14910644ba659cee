"""Safetensors files of float32: written at once, or laid out to be filled piece by piece."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from shakegpt.files import write_pieces


def write(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> str:
    """Write `tensors`, of any device and dtype, as float32 to `path`; returns its sha256."""
    head, _ = layout({name: tensor.shape for name, tensor in tensors.items()}, metadata)
    return write_pieces(path, chain([head], (data(tensors[name]) for name in sorted(tensors))))


def data(tensor: Tensor) -> memoryview:
    """The bytes of a tensor as float32, in C order."""
    return tensor.detach().float().cpu().contiguous().numpy().data.cast("B")


def layout(
    shapes: Mapping[str, Sequence[int]], metadata: dict[str, str] | None = None
) -> tuple[bytes, dict[str, int]]:
    """The header of a file of float32 tensors, sorted by name, and the offset of each after it,
    bytes.

    The header is its length in eight bytes, then JSON, padded with spaces to align the numbers.
    """
    begin, offsets = 0, {}
    entries: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    for name in sorted(shapes):
        end = begin + 4 * math.prod(shapes[name])
        entries[name] = {"dtype": "F32", "shape": [*shapes[name]], "data_offsets": [begin, end]}
        offsets[name], begin = begin, end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, offsets
