"""A program on a real pseudo-terminal: keys in, bytes out, size, signals, exit code."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
"""Into the alternate screen, and back out of it."""
MOUSE_OFF = b"\x1b[?1000l"
CURSOR_ON = b"\x1b[?25h"
ROOT = Path(__file__).parents[2]


class Terminal:
    """`shakegpt-tui` with `arguments` on a terminal of its own; leave the `with` to clean up."""

    def __init__(
        self, arguments: list[str], home: Path, *, rows: int = 24, columns: int = 80, **env: str
    ) -> None:
        self.seen = b""
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shakegpt_tui.main", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            cwd=home,
            env=environment(home, **env),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._slave)
        if self._master >= 0:
            os.close(self._master)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size; the kernel tells the program."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def hang_up(self) -> None:
        """Close our end, as a dropped line does."""
        os.close(self._master)
        self._master = -1

    def read(self, seconds: float, most: int = 65536) -> bytes:
        """What comes within `seconds`, at most `most` bytes at once."""
        if not select.select([self._master], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self._master, most)
        except OSError:
            return b""
        self.seen += data
        return data

    def until(self, wanted: str, seconds: float = 40) -> None:
        """Read until a text has come; spaces may have been skipped by cursor moves."""
        end = time.monotonic() + seconds
        while wanted not in self.plain:
            assert time.monotonic() < end, f"{wanted!r} did not come:\n{self.plain[-3000:]}"
            assert self.read(0.2) or self.process.poll() is None, self.plain[-3000:]

    def forget(self) -> None:
        """Look only at what comes from now on."""
        while self.read(0.3):
            pass
        self.seen = b""

    def wait(self, seconds: float = 20) -> int:
        """Read to the end; the exit code, as a shell would say it."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end:\n{self.plain[-3000:]}"
            if self._master >= 0:
                self.read(0.1)
            else:
                time.sleep(0.05)
        while self._master >= 0 and self.read(0.1):
            pass
        code = self.process.returncode
        return code if code >= 0 else 128 - code

    @property
    def plain(self) -> str:
        """What came, without escape sequences."""
        text = re.sub(rb"\x1b\][^\x07\x1b]*(\x07|\x1b\\)", b"", self.seen)
        return re.sub(rb"\x1b[\[P][0-?]*[ -/]*[@-~]", b"", text).decode("utf-8", "replace")

    def is_restored(self) -> bool:
        """Whether the program gave the terminal back as it got it."""
        left = self.seen.rfind(LEAVE) > self.seen.rfind(ENTER)
        quiet = self.seen.rfind(MOUSE_OFF) >= 0 and self.seen.rfind(CURSOR_ON) >= 0
        return left and quiet and termios.tcgetattr(self._slave)[:4] == self.before[:4]


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment without the settings and colours of whoever runs the tests."""
    settings = home / "config" / "shakegpt" / "tui.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    if not settings.exists():
        settings.write_text("{}")  # it is not the first time, which begins with the tour
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    paths = os.pathsep.join(str(ROOT / part) for part in ("", "tui", "figures"))
    usual = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    return kept | usual | {"PYTHONPATH": paths} | more


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal."""
    process.send_signal(number)
