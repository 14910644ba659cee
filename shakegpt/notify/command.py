"""The command of --on-end, run without a shell and with a time limit.

It gets the result in `SHAKEGPT_*` variables, and as a sentence on standard input.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from shakegpt.errors import ShakegptError
from shakegpt.format import duration
from shakegpt.interruption import before_death
from shakegpt.notify.result import Result

TIME_LIMIT = 60.0
"""Seconds after which the command and its children are killed."""


def split(command: str) -> list[str]:
    """The arguments of `command`. Raises ShakegptError when it cannot be split or started."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ShakegptError(f"--on-end {command!r}: {str(error).lower()}") from None
    if not words:
        raise ShakegptError("--on-end needs a command")
    program = os.path.expanduser(words[0])  # noqa: PTH111 (Path raises, no home)
    if (fault := _fault(program)) is not None:
        raise ShakegptError(f"--on-end: {fault}")
    return [program, *words[1:]]


def _fault(program: str) -> str | None:
    """Why `program` cannot be started; None when it can."""
    if (found := shutil.which(program)) is None:
        if os.path.isfile(program):  # noqa: PTH113
            return f"{program} is not executable: chmod +x {shlex.quote(program)}"
        return (
            f"there is no program {program!r}; it is started without a shell: "
            "for pipes and variables give sh -c '...'"
        )
    with suppress(OSError), open(found, "rb") as file:
        start = file.read(256)
        if not start.startswith(b"#!") and b"\0" not in start:  # only a shell runs such a text
            return f"{program} is a script without a first line such as #!/bin/sh"
    return None


def execute(words: Sequence[str], result: Result, limit: float = TIME_LIMIT) -> str | None:
    """Run the command with a result; returns a message when it failed or took too long. It ends
    with this process.
    """
    name = shlex.join(words)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=2,  # standard error: a program may read standard output
            env={**os.environ, **result.environment()},
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except (OSError, ValueError) as error:
        return f"--on-end: cannot start {name}: {error}"
    try:
        with suppress(BrokenPipeError), before_death(lambda: _end(process)):
            process.communicate(result.message + "\n", timeout=limit)
    except subprocess.TimeoutExpired:
        return f"--on-end: {name} was ended after {duration(limit)}"
    finally:
        _end(process)
    if process.returncode:
        return f"--on-end: {name} failed with exit code {process.returncode}"
    return None


def _end(process: subprocess.Popen[str]) -> None:
    """Kill the command, if it still runs, and its children."""
    if process.poll() is None:
        with suppress(OSError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
