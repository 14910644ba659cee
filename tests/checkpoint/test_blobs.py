"""Files of the hub's cache against the sums that they are named by."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shakegpt.checkpoint.snapshot import drop_damaged


def snapshot(folder: Path) -> Path:
    """A snapshot as the hub's client lays it out: links to blobs that are named by their sums."""
    data = {"model.safetensors": b"weights" * 99, "config.json": b"{}", "odd.json": b"[]"}
    names = {
        "model.safetensors": hashlib.sha256(data["model.safetensors"]).hexdigest(),
        "config.json": hashlib.sha1(b"blob 2\0{}").hexdigest(),
        "odd.json": "W-some-etag",
    }
    found, blobs = folder / "snapshots/main", folder / "blobs"
    found.mkdir(parents=True)
    blobs.mkdir()
    for name, content in data.items():
        (blobs / names[name]).write_bytes(content)
        (found / name).symlink_to(f"../../blobs/{names[name]}")
    return found


def test_what_is_as_its_sum_says_is_kept(tmp_path: Path) -> None:
    found = snapshot(tmp_path)
    assert drop_damaged(found) == [] and len(list(found.iterdir())) == 3


def test_what_is_not_is_deleted_with_its_blob(tmp_path: Path) -> None:
    found = snapshot(tmp_path)
    for name in ("model.safetensors", "config.json"):
        blob = (found / name).resolve()
        data = bytearray(blob.read_bytes())
        data[1] ^= 1
        blob.write_bytes(data)
    assert drop_damaged(found) == ["config.json", "model.safetensors"]
    assert [path.name for path in found.iterdir()] == ["odd.json"]
    assert len(list((tmp_path / "blobs").iterdir())) == 1
