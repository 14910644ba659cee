"""What came from the hub, held to its sums: its cache names each file by the sum of its bytes.

Large files by their sha256, small ones by git's sha1 of a blob. The client checks the length only,
so a proxy's page of the right size, or a bit that flipped on the way, would be kept for good.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from shakegpt.files import sha256


def drop_damaged(folder: Path) -> list[str]:
    """Delete the files of a snapshot that are not what their sums say; returns their names."""
    damaged = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _as_named(path)]
    for path in damaged:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
    return [path.name for path in damaged]


def _as_named(path: Path) -> bool:
    name = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return sha256(path) == name
    if re.fullmatch(r"[0-9a-f]{40}", name):
        data = path.read_bytes()
        return (
            hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == name
        )
    return True  # of a hub that gives no sums, or a cache without links
