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


class Forked:
    """A command at work in a forked process, with as much of `subprocess.Popen` as tests need."""

    def __init__(self, pid: int, paths: dict[str, Path]) -> None:
        self.pid, self._paths = pid, paths
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code as soon as it has ended, negative for a signal."""
        if self.returncode is None and self._paths["code"].exists():
            self.returncode = int(self._paths["code"].read_text())
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Wait until it ends; its output and errors."""
        limit = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > limit:
                raise subprocess.TimeoutExpired("shakegpt", timeout)
            time.sleep(0.02)
        out, err = (self._paths[name].read_text("utf-8", "replace") for name in ("out", "err"))
        return out, err


class Commands:
    """Runs commands of the real command line; `close` when done."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._count = folder, 0
        self._started: list[Forked] = []
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": PATHS} | environment,
        )

    def __call__(self, *argv: str, cwd: Path, stdin: bytes = b"", **env: str) -> Done:
        """Run `shakegpt argv` to its end."""
        request, paths = self._request(argv, cwd, stdin, env)
        self._ask(request)
        assert self._server.stdout is not None
        code = json.loads(self._server.stdout.readline())["code"]
        out, err = (paths[name].read_text("utf-8", "replace") for name in ("out", "err"))
        return Done(code, out, err)

    def start(
        self,
        *argv: str,
        cwd: Path,
        ignore: int = 0,
        file_size: int = 0,
        terminal: str = "",
        **env: str,
    ) -> Forked:
        """Start `shakegpt argv`: with a signal ignored, with that limit of a file's size in bytes,
        or at a terminal, the path of a device."""
        request, paths = self._request(argv, cwd, b"", env)
        if terminal:
            request |= dict.fromkeys(("stdin", "out", "err"), terminal)
        more = {"code": str(paths["code"]), "ignore": ignore, "file_size": file_size}
        self._started.append(Forked(self._ask(request | more), paths))
        return self._started[-1]

    def _request(
        self, argv: tuple[str, ...], cwd: Path, stdin: bytes, env: dict[str, str]
    ) -> tuple[dict[str, object], dict[str, Path]]:
        self._count += 1
        names = ("stdin", "out", "err", "code")
        paths = {name: self._folder / f"{self._count}.{name}" for name in names}
        for name in ("stdin", "out", "err"):
            paths[name].write_bytes(stdin if name == "stdin" else b"")
        request: dict[str, object] = {"argv": argv, "cwd": str(cwd), "env": env}
        return request | {name: str(paths[name]) for name in ("stdin", "out", "err")}, paths

    def _ask(self, request: dict[str, object]) -> int:
        """Have the server fork; the number of the process."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        pid: int = json.loads(self._server.stdout.readline())["pid"]
        return pid

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
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


def finish(
    process: subprocess.Popen[str] | Forked, seconds: float = PATIENCE
) -> tuple[int, str, str]:
    """Exit code, output and errors of a process; it is killed when it takes too long."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"no end after {seconds} s: {out}{err}") from None
    assert process.returncode is not None
    return process.returncode, out, err
