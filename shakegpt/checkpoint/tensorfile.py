"""A safetensors file, written whole, or laid out for those who fill it piece by piece."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor


def write(
    tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors`, wherever they lie, to a file at `path`."""
    save_file({name: tensor.detach().cpu() for name, tensor in tensors.items()}, path, metadata)


def layout(
    shapes: Mapping[str, Sequence[int]], metadata: dict[str, str] | None = None
) -> tuple[bytes, dict[str, int]]:
    """The head of a file of float32 tensors, and where after it each begins, bytes.

    Eight bytes of length, then JSON, filled up with spaces so that the numbers begin aligned; by
    name, as the library itself has them.
    """
    begin, places = 0, {}
    entries: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    for name in sorted(shapes):
        end = begin + 4 * math.prod(shapes[name])
        entries[name] = {"dtype": "F32", "shape": [*shapes[name]], "data_offsets": [begin, end]}
        places[name], begin = begin, end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, places
