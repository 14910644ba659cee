"""Begin to build the deck as soon as it is known that a test will ask for it.

With several workers, their master builds, once, and tells each of them where.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.deck.build import Build, end, tools

BUILD = pytest.StashKey[Build]()
STARTED = pytest.StashKey[subprocess.Popen[bytes]]()
ASKING = ("tests/deck/test_deck.py", "tests/deck/test_live.py")
"""The files whose tests look at a built deck, or present one."""


def pytest_configure(config: pytest.Config) -> None:
    """A worker is told the place; whoever has no master makes one."""
    told = getattr(config, "workerinput", {}).get("deck")
    config.stash[BUILD] = Build(Path(told or tempfile.mkdtemp(prefix="deck-build-")))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker the place."""
    node.workerinput["deck"] = str(node.config.stash[BUILD].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Iterable[str]) -> None:
    """The master: a worker has told which tests there are."""
    _begin(node.config, ids)


def pytest_collection_finish(session: pytest.Session) -> None:
    """A process that runs all tests itself."""
    if not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        _begin(session.config, (item.nodeid for item in session.items))


def _begin(config: pytest.Config, ids: Iterable[str]) -> None:
    if STARTED not in config.stash and tools() and any(i.startswith(ASKING) for i in ids):
        config.stash[STARTED] = config.stash[BUILD].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind, however the session ended."""
    if STARTED in config.stash:
        end(config.stash[STARTED])
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[BUILD].folder, ignore_errors=True)
