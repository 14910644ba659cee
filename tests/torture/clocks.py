"""A clock that is set in the middle of a run, back or ahead: nothing breaks, nothing is lost."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from shakegpt.runlog.history import load
from shakegpt.runlog.status import run_state
from tests.torture.cut_logs import draw, light_readers, sentence_or_done
from tests.torture.kills import opens, told_once
from tests.torture.lab import Lab, result, same
from tests.torture.tally import Tally
from tests.torture.tiny import flags

YEAR = 365 * 86_400.0
SHIFTS = {
    "back a second": -1.0,
    "back an hour, as for winter": -3600.0,
    "back a year": -YEAR,
    "back before 1970": -60 * YEAR,
    "ahead an hour": 3600.0,
    "ahead beyond 2038": 20 * YEAR,
    "ahead beyond 2106": 90 * YEAR,
}


def clocks(
    lab: Lab, tally: Tally, rounds: int, names: Iterable[str] = tuple(SHIFTS), seed: int = 0
) -> None:
    """Each of `SHIFTS` in each round, at a random moment; what was set comes right for a resume."""
    give, run = random.Random(seed), lab.folder / "clock"
    for number in range(rounds):
        for name in names:
            seconds = SHIFTS[name]
            after = give.uniform(0, lab.seconds)
            with tally.case(f"{name} after {after:.2f} s, seed {seed}, round {number}"):
                stopped = 6 if number % 2 else 3  # at its end, or half way: then it is gone on with
                words = ["finetune", *flags(lab.text, run, max_iters=stopped)]
                with _never_dead(run, seconds):
                    ended = lab(words, clock=[(after, seconds)])
                assert ended.code == 0, ended
                opens(run)
                light_readers(run)
                if stopped == 6:
                    sentence_or_done(lambda: draw(run))
                _goes_on(lab, run, stopped)
            shutil.rmtree(run, ignore_errors=True)


def _goes_on(lab: Lab, run: Path, stopped: int) -> None:
    if stopped == 6:
        for path in [*run.glob("*.svg"), run / "run.json"]:
            path.unlink()
        same(result(run), lab.unhurt)
    else:
        ended = lab.begin(run)
        assert ended.code == 0, ended
        found, unhurt = result(run), lab.unhurt
        same(
            {k: found[k] for k in ("steps", "progress")},
            {k: unhurt[k] for k in ("steps", "progress")},
        )
    told_once(run)


@contextmanager
def _never_dead(run: Path, seconds: float) -> Iterator[None]:
    """Fail when a reader, its clock set or not, takes the trainer for dead while it lives."""
    over, wrong = Event(), list[str]()

    def look() -> None:
        while not over.wait(0.01):
            told = load(run)[0]
            if told.heartbeat is None or told.end is not None:
                continue
            states = {run_state(told, time.time()), run_state(told, time.time() + seconds)}
            if "crashed" in states and load(run)[0].end is None and not over.is_set():
                wrong.append(f"{sorted(states)} at {told.iteration}")

    watcher = Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert not wrong, wrong[:3]
