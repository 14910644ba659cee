"""Try to lose a run: kills, full disks, flipped bits, hostile input; print what was survived.

python -m tests.torture                       everything, in full: hours, one of them fuzzing
python -m tests.torture --short               a minute
python -m tests.torture kills small-disks     some of LISTS
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.torture import (
    clocks,
    corruption,
    cut_logs,
    disk,
    escapes,
    hostile,
    kills,
    kinds,
    long_run,
    network,
    odd_logs,
    pipes,
    stops,
    teams,
    terminals,
)
from tests.torture.fuzz import fuzz
from tests.torture.lab import Lab
from tests.torture.suite import DECK, NUMBERS, SIGNALS, suite
from tests.torture.tally import Tally, table


@dataclass(frozen=True)
class Torture:
    """A list: what its full form does, and its short one; None where the suite has it already."""

    full: Callable[[Lab, Tally], object]
    short: Callable[[Lab, Tally], object] | None


LISTS: dict[str, Torture] = {
    "kills": Torture(
        lambda lab, t: kills.random_kills(lab, t, 300), lambda lab, t: kills.random_kills(lab, t, 4)
    ),
    "kills-at-calls": Torture(
        lambda lab, t: kills.kills_at_calls(lab, t), lambda lab, t: kills.kills_at_calls(lab, t, 4)
    ),
    "kinds": Torture(
        lambda lab, t: kinds.kinds(lab, t, 60, 12),
        lambda lab, t: kinds.kinds(lab, t, 4, 2, ("lowest",)),
    ),
    "rivals": Torture(lambda lab, t: teams.rivals(lab, t, 40), None),
    "lost-processes": Torture(lambda lab, t: teams.lost_processes(lab, t, 16), None),
    "small-disks": Torture(
        lambda lab, t: disk.small_disks(lab, t, 40), lambda lab, t: disk.small_disks(lab, t, 1)
    ),
    "failing-calls": Torture(
        lambda lab, t: disk.failing_calls(lab, t), lambda lab, t: disk.failing_calls(lab, t, 4)
    ),
    "slow-disks": Torture(
        lambda lab, t: disk.slow_disks(lab, t, 5), lambda lab, t: disk.slow_disks(lab, t, 1)
    ),
    "corruption": Torture(
        lambda lab, t: corruption.corruption(lab, t, 10_000, 100),
        lambda lab, t: corruption.corruption(lab, t, 100, 1),
    ),
    "cut-logs": Torture(
        lambda lab, t: cut_logs.cut_logs(lab, t, 1, 60),
        lambda lab, t: cut_logs.cut_logs(lab, t, 1999, 1),
    ),
    "odd-logs": Torture(
        lambda lab, t: odd_logs.odd_logs(lab, t, 1, 12),
        lambda lab, t: odd_logs.odd_logs(lab, t, 613, 100),
    ),
    "flipped-logs": Torture(
        lambda lab, t: odd_logs.flipped_logs(lab, t, 500, 10),
        lambda lab, t: odd_logs.flipped_logs(lab, t, 3, 100),
    ),
    "clocks": Torture(
        lambda lab, t: clocks.clocks(lab, t, 8),
        lambda lab, t: clocks.clocks(lab, t, 1, ("back a year",)),
    ),
    "stops": Torture(lambda lab, t: stops.stops(lab, t, 12), None),
    "terminals": Torture(lambda lab, t: terminals.terminals(lab, t, 2), None),
    "pipes": Torture(
        lambda lab, t: pipes.pipes(lab, t), lambda lab, t: pipes.pipes(lab, t, short=True)
    ),
    "signals": Torture(lambda _, t: suite(t, SIGNALS), None),
    "numbers": Torture(lambda _, t: suite(t, NUMBERS), None),
    "hostile": Torture(hostile.hostile, None),
    "escapes": Torture(
        lambda lab, t: escapes.escapes(lab, t), lambda lab, t: escapes.escapes(lab, t, short=True)
    ),
    "deck": Torture(lambda _, t: suite(t, DECK), None),
    "network": Torture(network.network, None),
    "long-run": Torture(
        lambda lab, t: long_run.long_run(lab.folder, t),
        lambda lab, t: long_run.long_run(lab.folder, t, 200),
    ),
    "fuzzer": Torture(lambda _, t: fuzz(t, 3600), lambda _, t: fuzz(t, 2, ("control",))),
}


def main() -> int:
    """Run what was asked for; 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("lists", nargs="*", metavar="LIST", help=", ".join(LISTS))
    parser.add_argument("--short", action="store_true", help="the form that takes a minute")
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` had it ignored
    tallies = []
    with laboratory() as lab:
        for name in asked.lists or LISTS:
            job = LISTS[name].short if asked.short else LISTS[name].full
            if job is not None:
                tallies.append(tried(name, job, lab))
                print(table(tallies[-1:]).split("\n", 1)[1], flush=True)
    print("\n" + machine() + "\n\n" + table(tallies))
    return 1 if any(t.losses for t in tallies) else 0


def tried(name: str, job: Callable[[Lab, Tally], object], lab: Lab) -> Tally:
    """Run one list, and count the time; what breaks the list itself is a loss too."""
    tally, began = Tally(name), time.monotonic()
    try:
        job(lab, tally)
    except Exception as error:
        tally.tried += 1
        tally.losses.append(f"the list {name} broke off: {type(error).__name__}: {error}")
    tally.seconds = time.monotonic() - began
    return tally


@contextlib.contextmanager
def laboratory() -> Iterator[Lab]:
    """A lab in a directory of its own, which goes afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="shakegpt-torture-"))
    lab = Lab(folder)
    try:
        yield lab
    finally:
        lab.close()
        shutil.rmtree(folder, ignore_errors=True)


def machine() -> str:
    """Where and when this was."""
    memory = psutil.virtual_memory().total / 2**30
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{when}; {system}, {psutil.cpu_count()} threads, {memory:.0f} GiB of memory"


if __name__ == "__main__":
    raise SystemExit(main())
