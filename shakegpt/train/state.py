"""Everything that resuming needs, written so that a crash at any instant loses nothing.

    state/000010/weights.safetensors     the model after 10 updates
    state/000010/optimizer.safetensors   AdamW's two moments of every weight
    state/000010/manifest.json           position, the sha256 of both files, and of these two

A state is written under another name, put on disk, and renamed; the one before it stays until the
next is whole. There is no random state to keep: windows, dropout and samples are pure functions of
seed and iteration. A state whose sums do not match is named and passed over for the one before.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shakegpt.checkpoint import io as checkpoint
from shakegpt.files import flush_to_disk, sha256, write_atomically
from shakegpt.model import GPT
from shakegpt.nn import lora
from shakegpt.resource_errors import writing
from shakegpt.train.optimizer import AdamW, read

KEPT = 2
"""States on disk: the newest, and the one to fall back to if a disk error spoils it."""

_NAME = re.compile(r"\d{6,}")
_SPOILED = ".spoiled"
_WEIGHTS, _OPTIMIZER, _MANIFEST = "weights.safetensors", "optimizer.safetensors", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run stands, besides its weights and moments."""

    iteration: int
    loss_scale: float | None = None
    """Of float16 training, else None."""
    base: str | None = None
    """With LoRA, the fingerprint of the frozen model: the state holds what is beside it alone."""


def save(folder: Path, model: GPT, optimizer: AdamW, position: Position) -> Path:
    """Write a state into `folder` (state/ of a run) and drop those that are too old."""
    with writing(folder.parent, sum(12 * p.numel() for p in optimizer.named.values())):
        return _save(folder, model, optimizer, position)


def _save(folder: Path, model: GPT, optimizer: AdamW, position: Position) -> Path:
    folder.mkdir(exist_ok=True)
    final = folder / f"{position.iteration:06d}"
    part = folder / f".{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    optimizer.write(optimizer.named, part / _WEIGHTS)
    optimizer.save(part / _OPTIMIZER)
    sums = {name: sha256(part / name) for name in (_WEIGHTS, _OPTIMIZER)}
    position = replace(position, base=lora.fingerprint(model))
    told = {"position": asdict(position), "sha256": sums}
    manifest = json.dumps(told | {"of_these": _sum_of(told)}, indent=2)
    write_atomically(part / _MANIFEST, manifest.encode())
    for path in (part / _WEIGHTS, part / _OPTIMIZER, part):
        flush_to_disk(path)
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    for names in (folder, folder.parent):
        flush_to_disk(names)
    _prune(folder)
    return final


def size(folder: Path) -> int:
    """Bytes of a saved state."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _prune(folder: Path) -> None:
    for spoiled in folder.glob(f"*{_SPOILED}"):
        shutil.rmtree(spoiled)
    _clear(folder)


def _clear(folder: Path) -> None:
    """Delete states that are too old, and what a kill left; half a state is never named as one."""
    for old in saved(folder)[KEPT:]:
        old.rename(old.with_name(f".{old.name}.part"))
    for left in folder.glob(".*.part"):
        shutil.rmtree(left)


def saved(folder: Path) -> list[Path]:
    """The states in `folder`, newest first; [] when there is none."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if _NAME.fullmatch(path.name) and _is_ours(path))
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def _is_ours(path: Path) -> bool:
    """Whether it can be a state: a file or a link of such a name is left alone."""
    return path.is_dir() and not path.is_symlink()


def newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest state whose sums match, or None; and a sentence for each that was passed over."""
    complaints: list[str] = []
    for path in saved(folder):
        complaint = _complaint(path)
        if complaint is None:
            return path, complaints
        complaints.append(complaint)
    return None, complaints


def set_aside(folder: Path, found: Path | None) -> None:
    """Take the states that `newest_whole` passed over out of the count; the next save deletes them.

    Else they would stand before the states of the run that goes on behind them.
    """
    for path in saved(folder):
        if found is None or int(path.name) > int(found.name):
            spoiled = path.with_name(path.name + _SPOILED)
            shutil.rmtree(spoiled, ignore_errors=True)  # an earlier one, of which a kill left this
            path.rename(spoiled)
    _clear(folder)


def _complaint(path: Path) -> str | None:
    try:
        told = json.loads((path / _MANIFEST).read_text("utf-8"))
        spoiled = [_MANIFEST] if told.pop("of_these") != _sum_of(told) else []
        spoiled += [n for n in (_WEIGHTS, _OPTIMIZER) if sha256(path / n) != told["sha256"][n]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"{path} is not whole ({error}): passed over"
    return f"{path / spoiled[0]} does not match its sha256: passed over" if spoiled else None


def _sum_of(told: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def position(path: Path) -> Position:
    """Where the run stood that left the state at `path`."""
    return Position(**json.loads((path / _MANIFEST).read_text("utf-8"))["position"])


def load(path: Path, optimizer: AdamW) -> Position:
    """Put the moments of a state that `newest_whole` found into `optimizer`.

    Its weights come before there is one: see `assign_weights` and `take_adapters`.
    """
    found = position(path)
    optimizer.load(path / _OPTIMIZER, found.iteration)
    return found


def assign_weights(path: Path, model: GPT) -> None:
    """Give `model` the weights of the state at `path`, mapped, not copied."""
    checkpoint.assign(model, path, [path / _WEIGHTS])


def take_adapters(path: Path, model: GPT) -> None:
    """Give an adapted `model` the adapters of the state at `path`. Raises ShakegptError."""
    lora.take(model, read(path / _WEIGHTS), position(path).base)
