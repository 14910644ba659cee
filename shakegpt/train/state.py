"""Saved states, from which a run is resumed, written so that a crash at any time loses nothing.

    state/000010/weights.safetensors     the model after 10 updates
    state/000010/optimizer.safetensors   AdamW's two moments of every weight
    state/000010/manifest.json           position, checksums of both files, and of the manifest

A state is written under another name, synced to disk, and renamed; earlier ones are deleted after
that. There is no random state to save: windows, dropout and samples are pure functions of seed and
iteration. A state whose checksums do not match is reported, and an earlier one used instead.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shakegpt.checkpoint import io as checkpoint
from shakegpt.files import checksum, flush_to_disk, sha256, write_atomically
from shakegpt.hardware.resource_errors import writing
from shakegpt.model import GPT
from shakegpt.nn import lora
from shakegpt.train.optimizer import AdamW, read

WORKING = "out-of-core"
"""Directory of a run with the files of `--memory lowest`; useless once its process has ended."""

_NAME = re.compile(r"\d{6,}")
_DAMAGED = ".damaged"
_WEIGHTS, _OPTIMIZER, _MANIFEST = "weights.safetensors", "optimizer.safetensors", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Position:
    """The position of a run in its training."""

    iteration: int
    loss_scale: float | None = None
    """In float16 training, else None."""
    base: str | None = None
    """With LoRA, the fingerprint of the frozen model; the state contains only the adapters."""


def save(folder: Path, model: GPT, optimizer: AdamW, position: Position, keep: int) -> Path:
    """Write a state into `folder`, state/ of a run, and delete all but the newest `keep`."""
    with writing(folder.parent, sum(12 * p.numel() for p in optimizer.named.values())):
        return _save(folder, model, optimizer, position, keep)


def _save(folder: Path, model: GPT, optimizer: AdamW, position: Position, keep: int) -> Path:
    folder.mkdir(exist_ok=True)
    final = folder / f"{position.iteration:06d}"
    part = folder / f".{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    sums = {
        _WEIGHTS: optimizer.write(optimizer.named, part / _WEIGHTS),
        _OPTIMIZER: optimizer.save(part / _OPTIMIZER),
    }
    position = replace(position, base=lora.fingerprint(model))
    content = {"position": asdict(position), "sha256": sums}
    manifest = json.dumps(content | {"of_these": checksum(content)}, indent=2)
    write_atomically(part / _MANIFEST, manifest.encode())
    flush_to_disk(part)
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    for directory in (folder, folder.parent):
        flush_to_disk(directory)
    for damaged in folder.glob(f"*{_DAMAGED}"):
        shutil.rmtree(damaged)
    _delete_old(folder, keep)
    return final


def size(folder: Path) -> int:
    """Bytes of a saved state."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _delete_old(folder: Path, keep: int) -> None:
    """Delete all but the newest states, and leftovers of a kill; renamed first, so that an
    interrupted deletion leaves nothing that looks like a state.
    """
    for old in saved(folder)[keep:]:
        old.rename(old.with_name(f".{old.name}.part"))
    for leftover in folder.glob(".*.part"):
        shutil.rmtree(leftover)


def saved(folder: Path) -> list[Path]:
    """The states in `folder`, newest first."""
    if not folder.is_dir():
        return []
    states = (
        path
        for path in folder.iterdir()
        if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )
    return sorted(states, key=lambda path: int(path.name), reverse=True)


def newest_intact(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest state with matching checksums, or None; and a message for each newer one."""
    problems: list[str] = []
    for path in saved(folder):
        problem = _problem(path)
        if problem is None:
            return path, problems
        problems.append(problem)
    return None, problems


def set_aside(folder: Path, intact: Path | None, keep: int) -> None:
    """Rename the states that are newer than `intact`; the next save deletes them.

    Otherwise they would count as newer than the states of the resumed run, of which only `keep`
    stay.
    """
    for path in saved(folder):
        if intact is None or int(path.name) > int(intact.name):
            damaged = path.with_name(path.name + _DAMAGED)
            shutil.rmtree(damaged, ignore_errors=True)  # of an earlier resume that was killed
            path.rename(damaged)
    _delete_old(folder, keep)


def _problem(path: Path) -> str | None:
    try:
        manifest = json.loads((path / _MANIFEST).read_text("utf-8"))
        bad = [_MANIFEST] if manifest.pop("of_these") != checksum(manifest) else []
        bad += [n for n in (_WEIGHTS, _OPTIMIZER) if sha256(path / n) != manifest["sha256"][n]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"{path} is incomplete ({error}): skipped"
    return f"{path / bad[0]} does not match its sha256: skipped" if bad else None


def working_folder(run: Path) -> Path:
    """The directory for the files of `--memory lowest`; those of a killed process are deleted."""
    folder = run / WORKING
    if folder.exists():
        shutil.rmtree(folder)
    return folder


def weights_file(path: Path) -> Path:
    """The file of the weights in the state at `path`."""
    return path / _WEIGHTS


def position(path: Path) -> Position:
    """The position in the state at `path`."""
    return Position(**json.loads((path / _MANIFEST).read_text("utf-8"))["position"])


def load(path: Path, optimizer: AdamW) -> Position:
    """Restore the moments of `optimizer` from the state at `path`.

    The weights are restored before, by `assign_weights` or `restore_adapters`.
    """
    saved_position = position(path)
    optimizer.load(path / _OPTIMIZER, saved_position.iteration)
    return saved_position


def assign_weights(path: Path, model: GPT) -> None:
    """Assign the weights of the state at `path` to `model`, memory-mapped."""
    checkpoint.assign(model, path, [weights_file(path)])


def restore_adapters(path: Path, model: GPT) -> None:
    """Restore the adapters of `model` from the state at `path`. Raises ShakegptError."""
    lora.restore(model, read(weights_file(path)), position(path).base)
