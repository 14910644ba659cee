"""A disk that is full, read-only, failing or slow, at any moment of a run.

The rule that is held: a run that cannot write stops with exit code 1 and a sentence that says what
the disk refused, what room it has and what is needed; what was saved before is whole; `--resume`
goes on, once there is room, to the end of a run that was never hurt.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from shakegpt.runlog.history import load
from tests.torture.kills import calls_of, opens, told_once, tracer
from tests.torture.lab import Ended, Kind, Lab, result, same
from tests.torture.tally import Tally
from tests.torture.tiny import flags

WRITES = {"write", "pwrite64", "ftruncate", "fsync", "mkdir", "rename", "renameat", "openat"}
WRITES |= {"unlinkat", "chmod"}
WORDS = {
    "ENOSPC": "is full",
    "EDQUOT": "your quota is used up",
    "EIO": "gave an input/output error",
    "EROFS": "is read-only",
}


def failing_calls(lab: Lab, tally: Tally, most: int | None = None) -> None:
    """Each call that writes to the run fails once, in each way; then the run goes on."""
    run = lab.folder / "failing"
    calls = [call for call in calls_of(lab, run) if call[0] in WRITES]
    chosen = calls if most is None else calls[:: max(1, -(-len(calls) // most))]
    ends = Counter[int]()
    ways = [way for number, call in enumerate(chosen) for way in _errors(number, call, most)]
    for (name, ordinal), error in ways:
        with tally.case(f"{error} at {name} number {ordinal}"):
            how = ("-e", f"trace={name}", "-e", f"inject={name}:error={error}:when={ordinal}")
            ended = lab(
                ["finetune", *flags(lab.text, run)],
                tracer(*how),
                gate=True,
            )
            ends[ended.code] += 1
            _refused_and_resumed(lab, run, ended)
        shutil.rmtree(run, ignore_errors=True)
    tally.note(
        f"{len(calls)} calls that write; exit codes: "
        + ", ".join(f"{code} {count} times" for code, count in sorted(ends.items()))
    )


def _errors(
    number: int, call: tuple[str, int], most: int | None
) -> list[tuple[tuple[str, int], str]]:
    """An input/output error at every call, and one of the others in turn; in the short form one."""
    others = [error for error in WORDS if error != "EIO"]
    chosen = ["EIO", others[number % len(others)]]
    return [(call, error) for error in (chosen if most is None else chosen[number % 2 :][:1])]


def _refused_and_resumed(
    lab: Lab, run: Path, ended: Ended, words: str = "", kind: Kind | None = None
) -> None:
    """It stopped by the rule, or what failed did no harm; and then it goes on as if unhurt."""
    kind = kind or lab.usual
    assert ended.code in (0, 1, 2), ended
    if ended.code:
        sentence(ended)
        assert words in ended.err, ended.err
        if load(run)[0].run is not None:
            opens(run)
        again = lab.begin(run, **kind.changes)
        assert again.code == 0, again
    same(result(run), kind.unhurt)
    told_once(run)


def sentence(ended: Ended) -> None:
    """One line on stderr that is no traceback."""
    assert "Traceback" not in ended.err, ended.err
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    assert ended.err.startswith("shakegpt: "), ended.err


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory of its own size at `folder`; for root on Linux only."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)],
        check=True,
        capture_output=True,
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    """Change a small disk that nobody writes to: `size=64k`, `ro`, `rw`."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether small disks can be made here."""
    try:
        with small_disk(folder / "probe", "64k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def small_disks(lab: Lab, tally: Tally, cases: int, kind: Kind | None = None) -> None:
    """A disk that fills up while a run is at work on it, that has no room, that is read-only."""
    kind = kind or lab.usual
    if not can_mount(lab.folder):
        tally.note("no file system can be mounted here (root only): small disks were left out")
        return
    for number in range(cases):
        left = 4096 * (1 + number * 160 // cases)
        with tally.case(f"{left:,} bytes left"), small_disk(lab.folder / "disk", "16m") as disk:
            run, ballast = disk / "run", disk / "ballast"
            ended = lab.begin(run, partial(_fill, ballast, run, left), **kind.changes)
            ballast.unlink()
            _refused_and_resumed(lab, run, ended, "is full" if ended.code else "", kind)
    if kind is lab.usual:
        _before_the_start(lab, tally)


def _wait_for_header(run: Path) -> None:
    limit = time.monotonic() + 30
    while load(run)[0].run is None and time.monotonic() < limit:
        time.sleep(0.002)


def _fill(ballast: Path, run: Path, left: int, _: int) -> None:
    """Leave `left` bytes of the disk; tried again when the run has taken some meanwhile."""
    _wait_for_header(run)
    with open(ballast, "wb") as file:
        for _ in range(9):
            with contextlib.suppress(OSError):
                free = shutil.disk_usage(ballast.parent).free
                return os.posix_fallocate(file.fileno(), 0, free - left)


def _before_the_start(lab: Lab, tally: Tally) -> None:
    """A disk without room for the run: refused before anything is written, at a resume as well."""
    with tally.case("no room at the start"), small_disk(lab.folder / "disk", "256k") as disk:
        ended = lab.begin(disk / "run")
        assert ended.code == 2 and re.search(r"has .* free and the run needs", ended.err), ended
        assert not list((disk / "run").iterdir())
        remount(disk, "size=16m")
        assert lab.begin(disk / "run").code == 0
        same(result(disk / "run"), lab.unhurt)
    with tally.case("no room at a resume"), small_disk(lab.folder / "disk", "16m") as disk:
        assert lab.begin(disk / "run", max_iters=3).code == 0
        with open(disk / "ballast", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - 4096)
        ended = lab.begin(disk / "run")
        assert ended.code == 2 and "free and the run needs" in ended.err, ended
        (disk / "ballast").unlink()
        assert lab.begin(disk / "run").code == 0
    with tally.case("read-only at a resume"), small_disk(lab.folder / "disk", "16m") as disk:
        assert lab.begin(disk / "run", max_iters=3).code == 0
        remount(disk, "ro")
        ended = lab.begin(disk / "run")
        assert ended.code == 1 and "is read-only" in ended.err, ended
        sentence(ended)
        remount(disk, "rw")
        assert lab.begin(disk / "run").code == 0
    with tally.case("read-only at the start"), small_disk(lab.folder / "disk", "16m") as disk:
        remount(disk, "ro")
        ended = lab.begin(disk / "run")
        assert ended.code == 2 and os.strerror(errno.EROFS) in ended.err, ended


def slow_disks(lab: Lab, tally: Tally, cases: int) -> None:
    """Each write to disk takes its time: the same numbers come out, and a stop still saves."""
    run = lab.folder / "slow"
    how = ("-e", "trace=fsync", "-e", "inject=fsync:delay_enter=100000")
    for _ in range(cases):
        with tally.case("every fsync takes 0.1 s"):
            words = ["finetune", *flags(lab.text, run)]
            ended = lab(words, tracer(*how), gate=True)
            _refused_and_resumed(lab, run, ended)
        shutil.rmtree(run, ignore_errors=True)
