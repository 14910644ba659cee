"""The real command line, run often by a fork server (`tests.fork_server`), or as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = os.pathsep.join(map(str, (ROOT, ROOT / "tui", ROOT / "figures")))
PATIENCE = 120.0
"""Seconds until a process that should have answered or ended fails the test; it is ended then."""


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, and what it said."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line on stderr of a command that was refused; fails for anything else."""
        assert self.code == 2, self
        assert "Traceback" not in self.err, self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("shakegpt: "), self.err
        return lines[0]


class Commands:
    """Runs commands of the real command line; `close` when done."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._count = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": PATHS} | environment,
        )

    def __call__(self, *argv: str, cwd: Path, stdin: bytes = b"", **env: str) -> Done:
        """Run `shakegpt argv` to its end."""
        self._count += 1
        source, out, err = (self._folder / f"{self._count}.{name}" for name in ("in", "out", "err"))
        for path in (source, out, err):
            path.write_bytes(stdin if path == source else b"")
        request = {"argv": argv, "cwd": str(cwd), "env": env}
        request |= {"stdin": str(source), "out": str(out), "err": str(err)}
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        self._server.stdout.readline()  # its process number
        code = json.loads(self._server.stdout.readline())["code"]
        return Done(code, out.read_text("utf-8", "replace"), err.read_text("utf-8"))

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(10)
        self._server.stdout.close()


def start(*argv: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start `python -m shakegpt argv` as a process of its own, its streams piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "shakegpt", *argv],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": PATHS} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, word: str, seconds: float = PATIENCE) -> None:
    """Return when the file at `path` contains `word`."""
    limit = time.monotonic() + seconds
    while not (path.exists() and word in path.read_text("utf-8")):
        assert time.monotonic() < limit, f"{path} has no {word!r} after {seconds} s"
        time.sleep(0.02)


def finish(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[int, str, str]:
    """Exit code, output and errors of a process; it is killed when it takes too long."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"no end after {seconds} s: {out}{err}") from None
    return process.returncode, out, err
