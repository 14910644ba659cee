"""SIGKILL at any moment: at random times, and at every system call that touches the run."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME, read
from shakegpt.runlog.schema import Checkpoint, Resume, Step
from shakegpt.train import state
from tests.torture.lab import Ended, Kind, Lab, result, same
from tests.torture.tally import Tally
from tests.torture.tiny import flags

LIVES = 60
"""Starts after which a run that is killed again and again is left to finish."""


def random_kills(
    lab: Lab, tally: Tally, kills: int, seed: int = 0, kind: Kind | None = None
) -> None:
    """Kill runs at uniform times over what they still have to do, their resumes too."""
    draw, moments, number = random.Random(seed), Counter[str](), 0
    kind, kills = kind or lab.usual, kills + tally.tried
    while tally.tried < kills:
        run, number = lab.folder / f"killed-{number}", number + 1
        for _ in range(LIVES):
            delay = draw.uniform(0, 1.1 * kind.seconds)
            ended = lab.begin(run, partial(_kill_after, delay), **kind.changes)
            if ended.code != -signal.SIGKILL:
                break
            with tally.case(f"killed {delay:.3f} s after a start"):
                moments[moment(run)] += 1
                opens(run)
        _finish(lab, tally, run, f"seed {seed}, run {number}", kind)
    told = " ".join(str(value) for value in kind.changes) or "usual runs"
    tally.note(f"{told}, killed while: " + ", ".join(f"{m} {n}" for m, n in moments.most_common()))


def _kill_after(seconds: float, pid: int) -> None:
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _finish(lab: Lab, tally: Tally, run: Path, name: str, kind: Kind) -> None:
    """Let a run that was killed go to its end, and hold it to the one that never was."""
    with tally.case(f"the end of {name}"):
        if load(run)[0].end is None:
            resumes(lab, run, **kind.changes)
        same(result(run), kind.unhurt)
        told_once(run)
    shutil.rmtree(run, ignore_errors=True)


def moment(run: Path) -> str:
    """What the trainer was at when it was killed, as far as its log tells."""
    told = load(run)[0]
    if told.run is None:
        return "before the log's first record"
    if list((run / "state").glob(".*.part")):
        return "writing a state"
    if told.heartbeat is None:
        return "starting"
    return "resuming" if told.heartbeat.time < _begun(told.resumes) else told.heartbeat.phase


def _begun(resumes: list[Resume]) -> float:
    return resumes[-1].time if resumes else 0.0


def opens(run: Path) -> None:
    """The killed run can be read; what its log calls saved is on disk, whole."""
    if not run.exists():
        return
    told, problems = load(run)
    assert not problems, problems
    found, complaints = state.newest_intact(run / "state")
    assert not complaints, complaints
    saved = max((c.iteration for c in told.checkpoints if c.kind == "last"), default=0)
    assert (int(found.name) if found is not None else 0) >= saved, (found, saved)


def resumes(lab: Lab, run: Path, **changes: object) -> Ended | None:
    """Go on with the run to its end; nothing that was saved is done again."""
    if (end := load(run)[0].end) is not None and end.status == "finished":
        return None  # killed after its last word
    found, _ = state.newest_intact(run / "state")
    began = load(run)[0].run is not None
    ended = lab.begin(run, **changes)
    assert ended.code == 0, f"{ended.code}: {ended.err}"
    if began:
        again = next(e for e in reversed(read(run / LOG_NAME)[0]) if isinstance(e, Resume))
        assert again.iteration == (int(found.name) if found is not None else 0)
    return ended


def told_once(run: Path) -> None:
    """In the log, less what resumes made void, each update and each save stands once, in order."""
    steps: list[int] = []
    saves: list[int] = []
    for event in read(run / LOG_NAME)[0]:
        match event:
            case Resume():
                steps = [k for k in steps if k <= event.iteration]
                saves = [k for k in saves if k <= event.iteration]
            case Step():
                steps.append(event.iteration)
            case Checkpoint(kind="last"):
                saves.append(event.iteration)
    assert steps == list(range(1, len(steps) + 1)), steps
    assert saves == sorted(set(saves)), saves


_CALL = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)$")
IDLE = {"ioctl", "lseek", "fcntl", "getdents64", "access", "statx"}
"""Calls that change nothing and wait for nothing: a kill there is one at the next call."""


def calls_of(lab: Lab, run: Path, most: int | None = None) -> list[tuple[str, int]]:
    """(name, ordinal in the main thread) of each system call that touches the run directory."""
    out, main = lab.folder / "calls", 0

    def trace(pid: int) -> None:
        nonlocal main
        main = pid
        attach(pid, "-y", "-e", "trace=%file,%desc", "-o", str(out))

    shutil.rmtree(run, ignore_errors=True)
    words = ["finetune", *flags(lab.text, run)]
    ended = lab(words, trace, gate=True)
    assert ended.code == 0, ended
    counts, found = Counter[str](), list[tuple[str, int]]()
    for line in out.read_text("utf-8", "replace").splitlines():
        call = _CALL.match(line)
        if call is None or int(call["pid"]) != main:
            continue
        counts[call["name"]] += 1
        if str(run) in call["rest"] and call["name"] not in IDLE:
            found.append((call["name"], counts[call["name"]]))
    shutil.rmtree(run)
    return found if most is None else found[:: max(1, -(-len(found) // most))]


def attach(pid: int, *how: str) -> None:
    """Put strace on a process and its threads; returns when it holds it."""
    words = ["strace", "-f", "-qq", *how, "-p", str(pid)]
    tracer = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    threading.Thread(target=tracer.wait, daemon=True).start()  # it leaves when the process does
    while "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.002)


def tracer(*how: str) -> Callable[[int], None]:
    """`attach` with `how`, for a lab's `meanwhile`."""
    return lambda pid: attach(pid, *how)


def kills_at_calls(lab: Lab, tally: Tally, most: int | None = None) -> None:
    """SIGKILL at the entry of each call that touches the run; then it must end as if unhurt."""
    run = lab.folder / "struck"
    calls = calls_of(lab, run, most)
    for name, number in calls:
        with tally.case(f"killed at {name} number {number}"):
            how = ("-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}")
            words = ["finetune", *flags(lab.text, run)]
            ended = lab(words, tracer(*how), gate=True)
            assert ended.code in (0, -signal.SIGKILL), ended
            if ended.code:
                opens(run)
                resumes(lab, run)
            same(result(run), lab.unhurt)
            told_once(run)
        shutil.rmtree(run, ignore_errors=True)
    kinds = Counter(name for name, _ in calls)
    tally.note("calls: " + ", ".join(f"{n} {c}" for n, c in kinds.most_common()))
