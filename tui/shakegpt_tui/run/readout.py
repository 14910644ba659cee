"""The plot's readout line: what the curves say at one iteration, and when that was."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence

from textual.content import Content

from shakegpt import format
from shakegpt_tui.plot.series import Reading

COLOURS = {"train": "$secondary", "smooth": "$secondary", "val": "$primary"}
NO_LOSS = "no loss yet: the first evaluation gives the first point"


def readout(
    at: float | None, own: Sequence[Reading], others: Mapping[str, Reading], started: float | None
) -> Content:
    """`iteration 12 · val 2.951 at 10 · train 3.020 · 1:23 after the start, 15:52:07`.

    The most wanted first: 50 columns have room for what is before the time of day.
    `own` are the run's readings at x = `at`, `others` those of val loss of other runs by name,
    `started` when the run began, seconds since 1970.
    """
    if at is None or not own:
        return Content(NO_LOSS)
    parts = [Content.styled(f"iteration {at:g}", "bold")]
    parts += [_loss(reading, at) for reading in own if reading.series.kind == "val"]
    parts += [_loss(reading, at) for reading in own if reading.series.kind == "train"]
    parts += [Content(_when(own, at, started))]
    parts += [_loss(reading, at) for reading in own if reading.series.kind == "smooth"]
    parts += [Content(f"{name} {_value(reading, at)}") for name, reading in others.items()]
    return Content(" · ").join(part for part in parts if part.plain)


def _loss(reading: Reading, at: float) -> Content:
    kind = reading.series.kind
    faint = " 70%" if kind == "smooth" else ""
    return Content.styled(f"{kind} {_value(reading, at)}", COLOURS[kind] + faint)


def _value(reading: Reading, at: float) -> str:
    place = "" if reading.x == at else f" at {reading.x:g}"
    return format.loss(reading.y, 3) + place


def _when(own: Sequence[Reading], at: float, started: float | None) -> str:
    """How far into the run the point came, and the time of day."""
    times = [r.time for r in own if r.time is not None and r.x == at]
    if not times:
        return ""
    try:
        moment = clock.strftime("%H:%M:%S", clock.localtime(min(times)))
    except (OverflowError, ValueError, OSError):  # a time that no calendar has, from a damaged log
        return ""
    return (
        moment
        if started is None
        else f"{format.duration(min(times) - started)} after the start, {moment}"
    )
