"""The process that samples from the model of a run that has ended: `shakegpt.cli.sample_server`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import Likelihood, Passage, SampleRequest
from shakegpt.runlog.schema import Event
from shakegpt.sanitize import one_line

Answer = Event | Likelihood | Passage
IDLE = 600
"""Seconds without a request after which the process ends; the next request starts another."""


class Sampler:
    """A sample server. It ends when this process does, however that ends: its stdin closes."""

    def __init__(self, idle: float = IDLE) -> None:
        """Raises ShakegptError when it cannot start."""
        self._last_words = ""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        # what it leaves there is deleted, also when it is killed
        self._scratch = tempfile.TemporaryDirectory(prefix="shakegpt-", ignore_cleanup_errors=True)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "shakegpt.cli.sample_server", str(idle)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,
                env=os.environ | {"TMPDIR": self._scratch.name},
            )
        except OSError as error:
            self._scratch.cleanup()
            raise ShakegptError(f"cannot start sampling: {error}", exit_code=1) from None

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it can take requests."""
        return self._process.poll() is None

    def send(self, request: SampleRequest) -> None:
        """Send a request. Raises OSError when the process has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
        except ValueError:  # closed by `records` in its thread
            raise BrokenPipeError from None

    def answers(self) -> Iterator[list[Answer]]:
        """What it writes, as many records as there are at a time, until it ends; blocks, for a
        thread only.
        """
        assert self._process.stdout is not None
        decode = msgspec.json.Decoder(Answer).decode
        pending = b""
        with self._scratch, self._errors, self._process:
            while data := self._process.stdout.read(1 << 16):
                *lines, pending = (pending + data).split(b"\n")
                if lines:
                    yield [decode(line) for line in lines]
            self._errors.seek(0)
            words = self._errors.read().decode("utf-8", "replace").split("\n")
            self._last_words = next((word for word in reversed(words) if word.strip()), "")

    def close(self) -> None:
        """End it at once; it has nothing to save."""
        self._process.kill()
        self._process.wait()
        self._scratch.cleanup()

    def failure(self) -> str:
        """Why it ended, in a sentence."""
        code = self._process.poll()
        if code is not None and code < 0:
            memory = "; memory may be short" if code == -signal.SIGKILL else ""
            name = signal.Signals(-code).name
            return f"the sampling process was killed by {name}{memory}: s starts another"
        words = one_line(self._last_words, 200) or "it wrote nothing"
        return f"the sampling process ended with exit code {code}: {words}"
