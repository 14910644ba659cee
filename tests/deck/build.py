"""The deck, installed and built in a process of its own while other tests run.

Installing 25,000 small files and building take half a minute that nobody has to wait for: what
needs the deck is tested late (`tests.order`), and built once however many workers there are.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "slides" / "node_modules"
PATIENCE = 240.0
"""Seconds for installing or building on a busy machine."""
STEPS = """
{ make --no-print-directory slides/node_modules/.package-lock.json && touch "$0/installed" &&
  cd slides && npm run build -- --out "$0/dist"; }
echo $? > "$0/code" && mv "$0/code" "$0/ended"
"""


def tools() -> bool:
    """Whether Node is here to do it."""
    return bool(shutil.which("node") and shutil.which("npm"))


@dataclass(frozen=True)
class Build:
    """slides/node_modules as the lock file has it (again only when that changed), then the deck.

    `folder` is where one process builds and tells how far it is, and all others look.
    """

    folder: Path

    @property
    def deck(self) -> Path:
        """Where the built deck lies in the end."""
        return self.folder / "dist"

    def start(self) -> subprocess.Popen[bytes]:
        """Begin, in the background; give the process to `end`."""
        with (self.folder / "log.txt").open("w") as log:
            return subprocess.Popen(
                ["sh", "-c", STEPS, self.folder],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def modules(self) -> Path:
        """The installed packages, when they are there; AssertionError with what npm said if not."""
        self._wait("installed")
        return MODULES

    def built(self) -> Path:
        """The built deck, when it is there; AssertionError with what was said when it failed."""
        self._wait("ended")
        assert (self.folder / "ended").read_text().strip() == "0", self._said()
        return self.deck

    def _wait(self, step: str) -> None:
        limit = time.monotonic() + PATIENCE
        while not (self.folder / step).exists():
            assert not (self.folder / "ended").exists(), self._said()
            assert time.monotonic() < limit, f"not {step} in {PATIENCE:.0f} s: {self._said()}"
            time.sleep(0.1)

    def _said(self) -> str:
        return (self.folder / "log.txt").read_text("utf-8")[-4000:]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a build that still runs, and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
