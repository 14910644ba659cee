"""Resolve a model's name: the pocket, a directory, a run, the hub. Imports no torch."""

from __future__ import annotations

import reprlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shakegpt.checkpoint.hints import holds_model, no_file
from shakegpt.checkpoint.hub import HUB_NAMES, fetch
from shakegpt.errors import ShakegptError
from shakegpt.files import WEIGHTS

POCKET = Path(__file__).parents[1] / "pocket"


@dataclass(frozen=True)
class Source:
    """A model's name in the log, and its directory."""

    name: str
    folder: Path


def absolute(name: str) -> str:
    """`name`, or the full path if it is a directory, so that it is valid from anywhere."""
    with suppress(OSError):  # a name too long for a path is an error in `find`
        path = Path(name)
        if path.is_dir() and name != "pocket" and (name not in HUB_NAMES or holds_model(path)):
            return str(path.absolute())
    return name


def find(name: str) -> Source:
    """The directory for `name`: pocket, a directory, a run, or a name on the hub.

    Local files and the hub's cache are preferred to the network. Raises ShakegptError.
    """
    if name == "pocket":
        return Source(name, POCKET)
    path = Path(name)
    if name in HUB_NAMES and path.is_dir() and not holds_model(path):
        return Source(name, fetch(name))  # a directory that happens to have this name
    with suppress(OSError):  # a name too long for a path is an error below
        if name and path.is_dir():
            is_run = (path / "log.jsonl").exists()
            return Source(path.resolve().name, _model_of_run(path) if is_run else path)
        if name and path.exists():
            raise ShakegptError(no_file(path))
    if not is_on_hub(name):
        known = ", ".join(["pocket", *HUB_NAMES])
        raise ShakegptError(
            f"there is no model {reprlib.repr(name)}: give {known}, owner/name on the Hugging Face "
            "hub, a checkpoint directory, a run, or scratch"
        )
    return Source(name, fetch(name))


def is_on_hub(name: str) -> bool:
    """Whether `name` is looked up on the hub: not a local checkpoint, and a valid name there."""
    with suppress(OSError, ValueError):
        if Path(name).is_dir():
            return name in HUB_NAMES and not holds_model(Path(name))
    return name in HUB_NAMES or (name.count("/") == 1 and not name.startswith((".", "/", "~")))


def _model_of_run(run: Path) -> Path:
    if not (run / "model" / WEIGHTS).exists():
        raise ShakegptError(
            f"{run} has no model yet: it saves one when the val loss first improves; wait for that"
        )
    return run / "model"
