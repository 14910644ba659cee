"""Two trainers at once: rivals, where the second is refused; together, where one is killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

from shakegpt.runlog.history import load
from tests.torture.kills import opens, told_once
from tests.torture.lab import Ended, Lab, result, same
from tests.torture.tally import Tally
from tests.torture.tiny import flags

TOGETHER = 2


def rivals(lab: Lab, tally: Tally, cases: int, seed: int = 0) -> None:
    """Two starts, or two resumes, of one run within moments: one trains, the other is refused."""
    give, run = random.Random(seed), lab.folder / "contested"
    other = Lab(lab.folder / "rival")
    try:
        for number in range(cases):
            begun = number % 2 == 1
            apart = give.uniform(0, 0.3) * lab.seconds
            what = "resumes" if begun else "starts"
            with tally.case(f"two {what} {apart:.2f} s apart, seed {seed}, number {number}"):
                if begun:
                    assert lab.begin(run, max_iters=3).code == 0
                words = ["finetune", "--resume", str(run), "--max-iters", "6", "--no-tui"]
                words = words if begun else ["finetune", *flags(lab.text, run)]
                ends = at_once([lab, other], [words, words], apart)
                assert sorted(e.code for e in ends) == [0, 2], ends
                refused = next(e for e in ends if e.code == 2)
                assert len(refused.err.strip().splitlines()) == 1, refused
                told_once(run)
                if not begun:
                    same(result(run), lab.unhurt)
                assert sorted(load(run)[0].steps) == list(range(1, 7))
            shutil.rmtree(run, ignore_errors=True)
    finally:
        other.close()


def lost_processes(lab: Lab, tally: Tally, cases: int, seed: int = 0) -> None:
    """Two processes train one run, and one of them is killed: the other tells; the run goes on."""
    give, other = random.Random(seed), Lab(lab.folder / "second")
    try:
        unhurt = lab.folder / "unhurt-together"
        ends = together([lab, other], ["finetune", *flags(lab.text, unhurt)])
        assert [e.code for e in ends] == [0, 0], ends
        seconds, measure = ends[0].seconds, result(unhurt)
        for number in range(cases):
            run, rank = lab.folder / "team", number % TOGETHER
            after = give.uniform(0, 1) * seconds
            with tally.case(f"process {rank} killed after {after:.2f} s, seed {seed}, {number}"):
                words = ["finetune", *flags(lab.text, run)]
                ends = together([lab, other], words, (rank, after, run))
                left = ends[1 - rank]
                assert ends[rank].code in (-signal.SIGKILL, 0), ends
                assert left.code in (0, 1), ends
                assert "Traceback" not in left.err, left.err
                opens(run)
                _go_on(lab, other, run)
                same(result(run), measure)
                told_once(run)
            shutil.rmtree(run, ignore_errors=True)
    finally:
        other.close()


def _go_on(lab: Lab, other: Lab, run: Path) -> None:
    told = load(run)[0]
    if told.end is not None and told.end.status == "finished":
        return
    words = ["finetune", *flags(lab.text, run)]
    if told.run is not None:
        words = ["finetune", "--resume", str(run), "--max-iters", "6", "--no-tui"]
    ends = together([lab, other], words)
    assert [e.code for e in ends] == [0, 0], ends


def together(
    labs: list[Lab], words: list[str], kill: tuple[int, float, Path] | None = None
) -> list[Ended]:
    """The same command in two processes that meet; `kill`: a rank, seconds after the run begins."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(TOGETHER)}
    envs = [where | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(TOGETHER)]
    return at_once(labs, [words] * TOGETHER, 0.0, envs, kill)


def _wait_for(run: Path) -> None:
    """Return when they have begun: who meets nobody is waited for by the launcher's rule."""
    limit = time.monotonic() + 60
    while load(run)[0].run is None and time.monotonic() < limit:
        time.sleep(0.002)


def at_once(
    labs: list[Lab],
    commands: list[list[str]],
    apart: float,
    envs: list[dict[str, str]] | None = None,
    kill: tuple[int, float, Path] | None = None,
) -> list[Ended]:
    """Commands in labs of their own, `apart` seconds one after the other; how each ended."""
    ends: dict[int, Ended] = {}

    def go(rank: int) -> None:
        def strike(pid: int) -> None:
            if kill is not None and kill[0] == rank:
                _wait_for(kill[2])
                time.sleep(kill[1])
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        ends[rank] = labs[rank](commands[rank], strike, env=envs[rank] if envs else None)

    threads = [Thread(target=go, args=(rank,)) for rank in range(len(labs))]
    for thread in threads:
        thread.start()
        time.sleep(apart)
    for thread in threads:
        thread.join()
    return [ends[rank] for rank in range(len(labs))]
