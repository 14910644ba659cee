"""The UI's remembered settings, in the user's config directory.

Where the file is missing, damaged or of another version, defaults apply. It is written atomically:
a crash leaves the old or the new one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from shakegpt.files import write_atomically

Finite = Annotated[float, msgspec.Meta(ge=0, le=100)]


MOST_PROMPTS = 50
"""Runs whose prompts are remembered."""


class Prompting(msgspec.Struct, kw_only=True, frozen=True):
    """How "sample now" draws from one run. None: the run's own setting."""

    prompt: str = ""
    """Empty: the run's."""
    max_new_tokens: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    temperature: Finite | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] | None = None
    """None: another one each time, so that each sample differs."""


class Settings(msgspec.Struct, kw_only=True):
    """Remembered choices."""

    theme: str = "shakegpt-dark"
    probabilities: bool = False
    """Whether tokens are coloured by probability."""
    compare: bool = False
    """Whether the first sample stands beside the latest."""
    symbols: Literal["braille", "block", "ascii"] = "braille"
    """What curves are drawn with."""
    smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.6
    """Weight of the plot's moving average of train loss."""
    log: bool = False
    """Whether the plot's losses are logarithmic."""
    order: str = "newest"
    """By what the list of runs is sorted."""
    prompts: dict[str, Prompting] = {}
    """By run directory, the latest last."""

    def prompting(self, run: Path) -> Prompting:
        """How to draw samples from `run`."""
        return self.prompts.get(str(run.absolute()), Prompting())

    def remember(self, run: Path, prompting: Prompting) -> None:
        """Draw samples from `run` in this way from now on."""
        self.prompts.pop(str(run.absolute()), None)
        self.prompts[str(run.absolute())] = prompting
        for oldest in list(self.prompts)[:-MOST_PROMPTS]:
            del self.prompts[oldest]


def path() -> Path:
    """Path of the settings; without a home directory, one that cannot exist."""
    from platformdirs import user_config_path

    try:
        return user_config_path("shakegpt", appauthor=False) / "tui.json"
    except RuntimeError:  # no home directory
        return Path(os.devnull) / "tui.json"


def load(file: Path) -> Settings:
    """The settings of `file`, or the defaults; a pipe, say, is not waited for."""
    try:
        if not file.is_file():
            return Settings()
        return msgspec.json.decode(file.read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Settings()


def save(settings: Settings, file: Path) -> None:
    """Write the settings; a config directory that cannot be written is ignored."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
