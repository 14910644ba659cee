"""The passages that a sample of a run copied from the run's training text, as lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from shakegpt.errors import ShakegptError
from shakegpt.runlog import history
from shakegpt.sanitize import one_line

if TYPE_CHECKING:
    from shakegpt.data.copies import CopyFinder

MOST = 3
"""Number of passages that are printed, the longest first."""


def finder(model: str) -> CopyFinder:
    """The finder for the training part of the text of the run `model`.

    Raises ShakegptError if that is no run, or if its text is missing or has changed.
    """
    from shakegpt.data.copies import CopyFinder
    from shakegpt.data.dataset import VAL_FRACTION, split_place
    from shakegpt.data.sources import load_text

    past = history.losses(Path(model))
    run, latest = past.run, past.latest
    if run is None or latest is None:
        raise ShakegptError(f"cannot look for copies: {model} is no run, so its text is unknown")
    config = latest.config
    try:
        names = tuple(map(str, config.get("dataset") or ()))
        separate = bool(config.get("separate_documents"))
        text = load_text(names, config.get("text_field"), separate)
    except ShakegptError as error:
        raise ShakegptError(f"cannot look for copies: {error}") from None
    if text.sha256 != run.dataset.sha256:
        raise ShakegptError(
            f"cannot look for copies: the text {run.dataset.name} has changed since the run"
        )
    whole = bool(config.get("val_dataset"))
    fraction = config.get("val_fraction") or VAL_FRACTION
    end = len(text.content) if whole else split_place(text, fraction)
    return CopyFinder(text.content[:end])


def lines(finder: CopyFinder, text: str) -> Iterator[str]:
    """The longest passages of `text` that are in the training text, or that there are none."""
    from shakegpt.data.copies import SHORTEST

    copies = sorted(finder.copies(text), key=lambda copy: -copy.words)
    if not copies:
        yield f"no {SHORTEST} words of it in a row stand in the training text"
        return
    yield f"the longest copy from the training text is {copies[0].words} words:"
    for copy in copies[:MOST]:
        yield f"  {copy.words} words: {one_line(text[copy.begin : copy.end], 100)}"
