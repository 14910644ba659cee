"""How far a run is: what its log says for good, and what can be said of it at this moment."""

from __future__ import annotations

import time as clock

from shakegpt.runlog.history import History, State

WORDS: dict[State, str] = {
    "starting": "starting",
    "live": "running",
    "paused": "paused",
    "silent": "running, but silent",
    "crashed": "interrupted",
}
"""Of a log without an end. Its trainer is looked for, so these change while the log does not."""


def planned(history: History) -> int:
    """How many iterations were planned, at least those made; 0 when the log does not say."""
    try:
        return max(history.max_iters, history.iteration)
    except (TypeError, ValueError, OverflowError):  # a damaged header's configuration
        return history.iteration


def standing(history: History) -> str:
    """`stopped at iteration 7 of 20`, or "" for a finished run.

    The log alone decides, never the clock or a process: the same log gives the same figures. One
    without an end is `unfinished`, be it that the trainer works on or that it died.
    """
    if history.end is not None and history.end.status == "finished":
        return ""
    return _at(history, history.end.status if history.end else "unfinished")


def standing_now(history: History) -> str:
    """As `standing`, but whether a run without an end is running or interrupted is found out."""
    return standing(history) if history.end is not None else _at(history, WORDS[state_now(history)])


def state_now(history: History) -> State:
    """What the trainer is doing; whatever the log holds, this does not raise."""
    try:
        return history.state(clock.time())
    except OverflowError:  # a damaged header's process number
        return "crashed"


def _at(history: History, word: str) -> str:
    return f"{word} at iteration {history.iteration:,} of {planned(history):,}"
