"""The rows of the list of runs: what each column says, in which order, after which filter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shakegpt import format
from shakegpt.runlog.runs import RunSummary
from shakegpt.runlog.status import RunState
from shakegpt.sanitize import one_line
from shakegpt_tui.plot.bars import bars

CURVE_WIDTH, SMALL_CURVE = 8, 6
COLUMNS = {
    82: ("run", "state", "model", "val loss", "curve", "done", "age"),
    57: ("state", "model", "val loss", "curve", "age"),
    0: ("state", "model", "val", "trend", "for"),
}
"""Cells that a set of columns takes, widest first."""
HEADINGS = {"val": "val loss", "trend": "curve", "for": "age"}
"""Of the columns that are short forms of others."""
Cell = tuple[str, str]
"""(text, role): a role is a theme colour's name, "dim" or ""."""

STATES: dict[RunState, tuple[str, str]] = {
    RunState.STARTING: ("◌", "secondary"),
    RunState.TRAINING: ("●", "success"),
    RunState.PAUSED: ("‖", "warning"),
    RunState.STALLED: ("●", "warning"),
    RunState.CRASHED: ("✕", "error"),
    RunState.FINISHED: ("✓", "dim"),
    RunState.STOPPED: ("■", "dim"),
    RunState.FAILED: ("✕", "error"),
}
"""A mark beside the word of each state, and a colour: never colour alone."""

_KEYS: dict[str, Callable[[RunSummary], Any]] = {
    "newest": lambda run: -run.started,
    "val loss": lambda run: math.inf if run.best_val is None else run.best_val,
    "model": lambda run: run.model.lower(),
    "state": lambda run: list(STATES).index(run.state),
}
ORDERS = tuple(_KEYS)


@dataclass(frozen=True)
class Row:
    """A run as the list shows it: its cells by column."""

    path: Path
    cells: dict[str, Cell]


def arrange(runs: Sequence[RunSummary], order: str, words: str) -> list[RunSummary]:
    """The runs that have all `words` somewhere, sorted; newest first among equals."""
    wanted = words.casefold().split()
    matching = [run for run in runs if all(word in _searchable(run) for word in wanted)]
    return sorted(sorted(matching, key=_KEYS["newest"]), key=_KEYS[order])


def _searchable(run: RunSummary) -> str:
    return f"{run.name} {run.model} {run.dataset} {run.state}".casefold()


def row_of(run: RunSummary, now: float) -> Row:
    """What the list says of `run` at `now`, seconds since 1970."""
    first, best = run.first_val, run.best_val
    losses = "–" if best is None else f"{format.loss(first, 3)} → {format.loss(best, 3)}"
    mark, colour = STATES[run.state]
    done = f"{run.iteration}/{run.max_iters}" if run.max_iters else "–"
    cells: dict[str, Cell] = {
        "run": (one_line(run.name, 34), ""),
        "state": (f"{mark} {run.state}", colour),
        "model": (one_line(run.model, 12) or "–", ""),
        "val loss": (losses, "primary"),
        "curve": (bars([y for _, y in run.val_curve], CURVE_WIDTH), "primary"),
        "done": (done, ""),
        "val": ("–" if best is None else f"{_short(first)}→{_short(best)}", "primary"),
        "trend": (bars([y for _, y in run.val_curve], SMALL_CURVE), "primary"),
        "for": (_brief(now - run.started), "dim"),
        "age": (format.ago(now - run.started).removesuffix(" ago"), "dim"),
    }
    if run.state is RunState.CRASHED and not run.model:
        cells["state"] = ("✕ no start", "error")
    if run.problem:
        cells["state"] = ("! unreadable", "error")
    return Row(run.path, cells)


def columns_for(width: int) -> tuple[str, ...]:
    """The columns that fit into `width` cells."""
    return next(columns for room, columns in COLUMNS.items() if width >= room)


def _short(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.2f}" if abs(loss) < 100 else format.loss(loss, 3)


def _brief(seconds: float) -> str:
    """An age in a few characters: 7s, 50m, 3h, 12d."""
    number, unit, *_ = format.ago(seconds).split()
    return f"{number}{unit[0]}"
