"""A terminal of our own, with a command in it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress

from tests.commands import PATHS

SCREEN = [sys.executable, "-c", "import sys; from shakegpt_tui.main import main; sys.exit(main())"]
TRAINER = [sys.executable, "-m", "shakegpt"]


class Terminal:
    """A process on a pseudo-terminal of 100 by 30; what it says is kept."""

    def __init__(self, words: list[str], cwd: str | None = None, **env: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        usual = {"PYTHONPATH": PATHS, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | usual | env,
            cwd=cwd,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = bytearray()

    def read(self, seconds: float) -> bool:
        """Take what comes within `seconds`; False when nobody is there to say anything more."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            if select.select([self._ours], [], [], left)[0]:
                try:
                    self.said += os.read(self._ours, 1 << 16)
                except OSError:  # closed at the other end
                    return False
        return True

    def until(self, seen: Callable[[bytes], bool], seconds: float = 60) -> None:
        """Read until what was said satisfies `seen`; fails after `seconds`."""
        limit = time.monotonic() + seconds
        while not seen(bytes(self.said)):
            assert time.monotonic() < limit, f"not after {seconds} s: {self.said[-300:]!r}"
            if not self.read(0.1):
                assert seen(bytes(self.said)), f"it left first: {self.said[-300:]!r}"

    def type(self, keys: bytes) -> None:
        """Type."""
        os.write(self._ours, keys)

    def close(self) -> None:
        """Close the terminal: the process gets a hang-up, as from a lost line."""
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1

    def quit(self, seconds: float = 60) -> int:
        """Type q until it has left: a slow reader may take the first for a part of an escape."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < limit:
            with suppress(OSError):
                self.type(b"q")
            self.read(1.0)
        return self.leave(1.0)

    def leave(self, seconds: float = 60) -> int:
        """The exit code, when it has left by itself; killed and a failure after `seconds`."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < limit:
            if self._ours < 0 or not self.read(0.1):
                time.sleep(0.05)
        left = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.close()
        assert left is not None, f"no end after {seconds} s"
        return left
