"""The deck, installed and built in a process of its own while other tests run.

Installing 25,000 small files and building take half a minute that nobody has to wait for: what
needs the deck is tested last (`conftest.pytest_collection_modifyitems`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds for installing or building on a busy machine."""


def tools() -> bool:
    """Whether Node is here to do it."""
    return bool(shutil.which("node") and shutil.which("npm"))


class Build:
    """slides/node_modules as the lock file has it (again only when that changed), then the deck."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="deck-build-"))
        self.deck = self._folder / "dist"
        self._log = self._folder / "log.txt"
        self._installed = self._folder / "installed"
        install = f"make slides/node_modules/.package-lock.json && touch {self._installed}"
        build = f"cd slides && npm run build -- --out {self.deck}"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", f"{install} && {build}"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def modules(self) -> Path:
        """The installed packages, when they are there.

        Raises AssertionError with what npm said when they cannot be installed.
        """
        while not self._installed.exists() and self._process.poll() is None:
            time.sleep(0.1)
        assert self._installed.exists(), self._said()
        return ROOT / "slides" / "node_modules"

    def built(self) -> Path:
        """The built deck, when it is there; AssertionError with what was said when it failed."""
        assert self._process.wait(PATIENCE) == 0, self._said()
        return self.deck

    def _said(self) -> str:
        return self._log.read_text("utf-8")[-4000:]

    def close(self) -> None:
        """End what still runs, and forget the built deck."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
