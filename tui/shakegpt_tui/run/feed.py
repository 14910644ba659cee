"""Where a run screen's records come from: a log that grows, or one up to a moment.

A feed's `batches` runs in a thread and yields what has come, at most about ten times a second;
it never touches a widget. `now` is the time by which ages and the run's state are judged: the
clock for a live log, the log's own time for a replay.
"""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shakegpt.runlog.log import CHUNK, LOG_NAME, Follower, Problem, read
from shakegpt.runlog.schema import End, Event, Sample, Token

STREAM_POLL = 0.1
"""Seconds between looks at a log while a sample comes: ten a second read as a stream."""
POLL = 0.25
"""The same while it trains, which needs the processor more."""
IDLE_POLL = 0.5
"""The same after the log's end: only a resume from elsewhere can come."""


@dataclass(frozen=True)
class Batch:
    """What came at once. `restarted`: the log was replaced, what came before is void."""

    events: list[Event] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    restarted: bool = False
    caught_up: bool = False
    """The feed has delivered all that was there when it was opened."""


class Feed(Protocol):
    """A source of a run's records."""

    run: Path

    def now(self) -> float:
        """Seconds since 1970, by which to judge ages."""
        ...

    def batches(self, stop: threading.Event) -> Iterator[Batch]:
        """Batches as they come, until `stop` is set; blocks, for a thread only.

        Raises ShakegptError for a log of a newer version.
        """
        ...


class LiveFeed:
    """Follows the log of `run`, which need not exist yet."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def now(self) -> float:
        """The clock's time."""
        return clock.time()

    def batches(self, stop: threading.Event) -> Iterator[Batch]:
        """What is there in pieces, then what comes."""
        follower, reported, caught_up, pause = Follower(self.run / LOG_NAME), 0, False, POLL
        while not stop.is_set():
            events = follower.poll(CHUNK)
            reported = 0 if follower.restarted else reported
            problems = follower.problems[reported:]
            reported = len(follower.problems)
            if events or problems or follower.restarted:
                pause = _pause(events[-1]) if events else POLL
                yield Batch(events, problems, follower.restarted)
            elif not caught_up:
                caught_up = True
                yield Batch(caught_up=True)
            else:
                stop.wait(pause)


def _pause(latest: Event) -> float:
    match latest:
        case End():
            return IDLE_POLL
        case Sample() | Token():
            return STREAM_POLL
        case _:
            return POLL


class Still:
    """A log up to one iteration, all at once, at its own time: for pictures."""

    def __init__(self, run: Path, until: int | None = None) -> None:
        self.run = run
        self._until = until
        self._now = 0.0

    def now(self) -> float:
        """The time of the last record shown."""
        return self._now

    def batches(self, stop: threading.Event) -> Iterator[Batch]:
        """One batch: the records up to the first that belongs to a later iteration."""
        events, problems = read(self.run / LOG_NAME)
        if (until := self._until) is not None:
            late = (n for n, event in enumerate(events) if getattr(event, "iteration", 0) > until)
            events = events[: next(late, len(events))]
        self._now = events[-1].time if events else 0.0
        yield Batch(events, problems, caught_up=True)
        stop.wait()
