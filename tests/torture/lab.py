"""Where cases are tried: tiny runs in forked processes, and what a run that was never hurt gave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shakegpt.runlog import history
from shakegpt.runlog.log import LOG_NAME
from tests.commands import PATHS
from tests.fingerprint import fingerprint
from tests.tiny import play
from tests.torture.tiny import USUAL, flags

LIMIT = 120.0
"""Seconds after which a command counts as hung, and is ended by SIGABRT."""


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code, negative for a signal, and what it said."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass(frozen=True)
class Kind:
    """A kind of run: the flags that make it one, and what it comes to when it is not hurt."""

    changes: dict[str, object]
    unhurt: dict[str, Any]
    seconds: float


Meanwhile = Callable[[int], object]
"""Takes the process number of a command that runs; what it does is the torture."""


class Lab:
    """A directory, a text, a fork server, and the measure of an unhurt run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.text = folder / "play.txt"
        self.text.write_text(play(), "utf-8")
        self._streams = [folder / name for name in ("out", "err")]
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", "--warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ
            | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
            | {"SHAKEGPT_CACHE": str(folder / "cache")},
        )
        assert self._hear()["ready"]
        self.usual = self.kind("unhurt")
        self.seconds, self.unhurt = self.usual.seconds, self.usual.unhurt

    def kind(self, name: str, **changes: object) -> Kind:
        """Measure a run with `changes` that is not hurt, in the directory `name`."""
        ended = self.begin(self.folder / name, **changes)
        assert ended.code == 0, ended
        return Kind(changes, result(self.folder / name), ended.seconds)

    def begin(self, run: Path, meanwhile: Meanwhile | None = None, /, **changes: object) -> Ended:
        """Start a run, or go on with it when it has begun: as a person would."""
        if history.load(run)[0].run is None:
            return self(["finetune", *flags(self.text, run, **changes)], meanwhile)
        limit = str(changes.get("max_iters", USUAL["max_iters"]))
        words = ["finetune", "--resume", str(run), "--max-iters", limit, "--no-tui"]
        return self(words, meanwhile)

    def __call__(
        self,
        argv: list[str],
        meanwhile: Meanwhile | None = None,
        *,
        gate: bool = False,
        env: dict[str, str] | None = None,
        clock: Sequence[tuple[float, float]] = (),
    ) -> Ended:
        """Run `shakegpt argv` to its end; `meanwhile` is called as soon as it lives.

        With `gate` it does nothing before `meanwhile` has returned. `clock`: after how many seconds
        its clock is set by how many.
        """
        pipe, began = self.folder / "gate", time.monotonic()
        for path in self._streams:
            path.write_bytes(b"")
        if gate and not pipe.exists():
            os.mkfifo(pipe)
        streams = dict(zip(("out", "err"), map(str, self._streams), strict=True))
        request = {
            "argv": argv,
            "cwd": str(self.folder),
            "env": env or {},
            "clock": clock,
        } | streams
        self._tell(request | {"gate": str(pipe) if gate else ""})
        pid = self._hear()["pid"]
        opened = os.open(pipe, os.O_WRONLY) if gate else -1
        if meanwhile is not None:
            meanwhile(pid)
        if gate:
            os.write(opened, b"!")
            os.close(opened)
        limit = threading.Timer(LIMIT, os.kill, (pid, signal.SIGABRT))
        limit.start()
        code = self._hear()["code"]
        limit.cancel()
        out, err = (path.read_text("utf-8", "replace") for path in self._streams)
        return Ended(code, out, err, time.monotonic() - began)

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(what) + "\n")
        self._server.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        heard: dict[str, Any] = json.loads(self._server.stdout.readline())
        return heard

    def close(self) -> None:
        """End the fork server."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(20)
        self._server.stdout.close()


def result(run: Path) -> dict[str, Any]:
    """All that must be equal, the files' names too."""
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
    return fingerprint(run) | {"names": names}


def same(found: dict[str, Any], unhurt: dict[str, Any]) -> None:
    """Fail with the name of what differs."""
    different = [key for key in unhurt if found[key] != unhurt[key]]
    assert not different, "; ".join(f"{k}: {found[k]} for {unhurt[k]}" for k in different)


def log_bytes(run: Path) -> bytes:
    """The log as it stands."""
    return (run / LOG_NAME).read_bytes()
