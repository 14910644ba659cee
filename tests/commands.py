"""The real command line, run often: one process imports what is heavy, and forks for each command.

A forked command has its own working directory, environment, streams and session; it runs
`shakegpt.cli.main.main` and leaves with its exit code, as the installed script does.
"""

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
PATIENCE = 120.0
"""Seconds until a process that should have answered or ended fails the test; it is ended then."""
NURSERY = """
import json, os, sys
sys.path[:0] = {paths!r}
import torch, huggingface_hub  # noqa
import shakegpt.cli.main, shakegpt.cli.finetune, shakegpt.session, shakegpt.cli.sample  # noqa
import shakegpt.cli.evaluate, shakegpt.train.evaluate, shakegpt.cli.console  # noqa
for line in sys.stdin:
    told = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        for number, path, flags in ((0, told["stdin"], os.O_RDONLY), (1, told["out"], os.O_RDWR),
                                    (2, told["err"], os.O_RDWR)):
            os.dup2(os.open(path, flags), number)
        os.chdir(told["cwd"])
        os.environ.update(told["env"])
        sys.argv = ["shakegpt", *told["argv"]]
        code = 70
        try:
            code = shakegpt.cli.main.main()
        except SystemExit as left:
            code = left.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


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
        paths = [str(ROOT), str(ROOT / "tui"), str(ROOT / "figures")]
        self._nursery = subprocess.Popen(
            [sys.executable, "-c", NURSERY.format(paths=paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def __call__(self, *argv: str, cwd: Path, stdin: bytes = b"", **env: str) -> Done:
        """Run `shakegpt argv` to its end."""
        self._count += 1
        source, out, err = (self._folder / f"{self._count}.{name}" for name in ("in", "out", "err"))
        for path in (source, out, err):
            path.write_bytes(stdin if path == source else b"")
        told = {"argv": argv, "cwd": str(cwd), "env": env}
        told |= {"stdin": str(source), "out": str(out), "err": str(err)}
        code = self._ask(json.dumps(told))
        return Done(code, out.read_text("utf-8", "replace"), err.read_text("utf-8"))

    def _ask(self, line: str) -> int:
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(line + "\n")
        self._nursery.stdin.flush()
        return int(self._nursery.stdout.readline())

    def close(self) -> None:
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait(10)
        self._nursery.stdout.close()


def start(*argv: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start `python -m shakegpt argv` as a process of its own, its streams piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "shakegpt", *argv],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tui'}:{ROOT / 'figures'}"} | env,
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
