"""Signals at random moments, one or two of them, while saving as well: then the run goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from shakegpt.runlog.history import load
from shakegpt.train import state
from tests.torture.kills import attach, opens, resumes, told_once
from tests.torture.lab import Lab, result, same
from tests.torture.tally import Tally
from tests.torture.tiny import flags

ENDS = {
    (signal.SIGINT,): {0, 130},
    (signal.SIGTERM,): {0, 143},
    (signal.SIGHUP,): {0},
    (signal.SIGPIPE,): {0},
    (signal.SIGSTOP, signal.SIGCONT): {0},
    (signal.SIGTSTP, signal.SIGCONT): {0},
    (signal.SIGINT, signal.SIGINT): {0, 130},
    (signal.SIGTERM, signal.SIGINT): {0, 130, 143},
    (signal.SIGHUP, signal.SIGTERM): {0, 143},
}
"""What is sent, and the exit codes that are right: 0 when it came after the end."""
SLOW = ("-e", "trace=fsync", "-e", "inject=fsync:delay_enter=50000")
BETWEEN = 0.02
"""Seconds between two signals."""


def stops(lab: Lab, tally: Tally, rounds: int, seed: int = 0) -> None:
    """Each of `ENDS` in each round, every other one on a disk that is slow to save."""
    draw, run, number = random.Random(seed), lab.folder / "stopped", 0
    for _ in range(rounds):
        for sent, codes in ENDS.items():
            number += 1
            delay = draw.uniform(0.2, 1) * lab.seconds
            names = " ".join(s.name for s in sent)
            with tally.case(f"{names} after {delay:.2f} s, seed {seed}, number {number}"):
                ended = _struck(lab, run, sent, delay, slow=number % 2 == 0)
                assert ended in codes or load(run)[0].run is None, ended
                _keeps_the_last_iteration(run)
                if load(run)[0].run is None or load(run)[0].end is None or ended:
                    opens(run)
                    resumes(lab, run)
                same(_ranked(result(run)), _ranked(lab.unhurt))
                told_once(run)
            shutil.rmtree(run, ignore_errors=True)


def _keeps_the_last_iteration(run: Path) -> None:
    """A run that says it was stopped has the state of the iteration it says it came to."""
    end, whole = load(run)[0].end, state.newest_intact(run / "state")[0]
    if end is not None and end.status == "stopped":
        assert (0 if whole is None else int(whole.name)) == end.iteration, (whole, end)


def _ranked(found: dict[str, Any]) -> dict[str, Any]:
    """The two states by their age: a stop in the last interval saved one of its own iteration."""
    names: list[str] = found["names"]
    numbers = sorted({name.split("/")[1] for name in names if name.startswith("state/")})
    ages = {f"state/{number}": f"state/-{age}" for age, number in enumerate(reversed(numbers))}
    return found | {"names": sorted(ages.get(n[:12], n[:12]) + n[12:] for n in names)}


def _struck(lab: Lab, run: Path, sent: tuple[signal.Signals, ...], delay: float, slow: bool) -> int:
    def strike(pid: int) -> None:
        limit = time.monotonic() + 60
        while load(run)[0].heartbeat is None and time.monotonic() < limit:
            time.sleep(0.002)  # before that it has not begun, and a signal ends it as any program
        time.sleep(delay / 3)
        for number in sent:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            time.sleep(BETWEEN)

    words = ["finetune", *flags(lab.text, run)]
    if not slow:
        return lab(words, strike).code

    def slowly(pid: int) -> None:
        attach(pid, *SLOW)
        strike(pid)

    return lab(words, slowly).code
