"""The records of a finished run, each at its time: a feed that holds, jumps and loops."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from shakegpt.runlog.log import LOG_NAME, Follower
from shakegpt.runlog.schema import End, Eval, Event, Progress, Step
from shakegpt_tui.run.feed import Batch

LONGEST_GAP = 8.0
"""Seconds of a log without records that a replay plays: heartbeats come every 4, so a longer gap
is a time without a trainer, which nobody wants to sit through."""
LONGEST = 60.0
"""Seconds that a replay without a given speed takes at most."""
LOOP_PAUSE = 5.0
"""Seconds that the end stays on screen before a replay that loops begins again."""


class ReplayFeed:
    """Plays the log of `run` from its start, `speed` times as fast as it was written.

    Attributes may be set and `seek` called from another thread than that of `batches`.
    """

    TICK = 0.05
    ENDED_TICK = 0.2

    def __init__(self, run: Path, speed: float | None = None, *, loop: bool = False) -> None:
        """`speed` None: so fast that the whole takes a minute at most."""
        self.run = run
        self.chosen_speed = speed
        self.loop = loop
        self.paused = False
        self.ended = False
        self.iteration = 0
        """The last update that was played."""
        self._goal: int | None = None
        self._now = 0.0

    @property
    def speed(self) -> float:
        """How many times as fast as it was."""
        return self.chosen_speed or 1.0

    def now(self) -> float:
        """The moment of the log that is being played; the clock's time once all is played."""
        return clock.time() if self.ended else self._now

    def seek(self, iteration: int) -> None:
        """Go to the moment after that update; 0 is the moment before the first evaluation."""
        self._goal = self.iteration = max(iteration, 0)

    def batches(self, stop: threading.Event) -> Iterator[Batch]:
        """The records, each when its time has come; then those that a trainer still adds."""
        follower = Follower(self.run / LOG_NAME)
        events = follower.poll()
        yield Batch(problems=follower.problems[:], caught_up=True)
        offsets = record_gaps([event.time for event in events], LONGEST_GAP)
        if self.chosen_speed is None:
            self.chosen_speed = _round_speed(offsets[-1] / LONGEST) if offsets else 1.0
        position, sent, before, ended_at = 0.0, 0, clock.monotonic(), 0.0
        while not stop.wait(self.ENDED_TICK if self.ended else self.TICK):
            before, elapsed = clock.monotonic(), clock.monotonic() - before
            if (goal := self._goal) is not None:
                self._goal, self.ended = None, False
                sent = moment_after(events, goal)
                position = offsets[sent - 1] if sent else 0.0
                self._now = events[sent - 1].time if sent else 0.0
                yield Batch(events[:sent], restarted=True, caught_up=True)
            elif sent == len(events):
                if new := follower.poll():  # of a trainer that was at work when this began
                    events += new
                    offsets = record_gaps([event.time for event in events], LONGEST_GAP)
                    position = offsets[-1] if self.ended else position
                elif not self.ended:
                    self.ended, ended_at = True, clock.monotonic()
                    yield Batch()
                elif self.loop and not self.paused and clock.monotonic() - ended_at > LOOP_PAUSE:
                    self.seek(0)
            else:
                position += 0.0 if self.paused else elapsed * self.speed
                due = sent
                while due < len(events) and offsets[due] <= position:
                    due += 1
                if due:
                    self._now = events[due - 1].time + position - offsets[due - 1]
                if due > sent:
                    batch = events[sent:due]
                    steps = (e.iteration for e in batch if isinstance(e, Step | Eval))
                    self.iteration = max(steps, default=self.iteration)
                    sent = due
                    yield Batch(batch)


def moment_after(events: list[Event], iteration: int) -> int:
    """How many of `events` had been written when that update was just made.

    Where there is none such: when the next one was being worked on; all, beyond the last.
    """
    for number, event in enumerate(events):
        match event:
            case Step(iteration=made) if made == iteration:
                return number + 1
            case Step(iteration=made) | Progress(iteration=made) if made > iteration:
                return number
            case Eval(iteration=0) if iteration == 0:
                return number
            case End() if number == len(events) - 1:
                return number
    return len(events)


def _round_speed(factor: float) -> float:
    """The power of two from there on, 1 at least."""
    speed = 1.0
    while speed < factor:
        speed *= 2
    return speed


def record_gaps(times: list[float], longest: float) -> list[float]:
    """Offsets from the first of `times`, with every gap cut to `longest` and none negative.

    >>> record_gaps([10.0, 11.0, 500.0, 499.0], 5.0)
    [0.0, 1.0, 6.0, 6.0]
    """
    offsets = [0.0] if times else []
    for before, after in pairwise(times):
        offsets.append(offsets[-1] + min(max(after - before, 0.0), longest))
    return offsets
