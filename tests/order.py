"""Which tests stay together in one of several workers, and which of them begin first.

What shares a costly fixture stays together: a file, the deck's tests, those that run commands.
Long ones begin first, so that no worker waits for another at the end; the deck comes when it is
built. The hook is used because xdist's own groups do nothing under pytest 9.2, without a word
(pytest-dev/pytest-xdist#1386): every fixture was made in each worker.
"""

from __future__ import annotations

from typing import Any

import pytest

COMMANDS = ("tests/cli/test_bad_input.py", "tests/cli/test_cli.py", "tests/deck/test_commands.py")
"""Files that run the command line in one shared process: see `tests.commands`."""
LONGEST = (
    "tests/tui/test_walks.py",
    "tests/distributed/test_distributed.py",
    "tests/torture/test_short.py",
    "tests/tui/test_watch_terminal.py",
    "tests/train/test_signals.py",
    "tests/cli/test_places.py",
    "commands",
    "tests/tui/test_watch_screen.py",
    "tests/train/test_resume.py",
    "tests/figures/test_verb.py",
    "deck",
)
"""Groups by the time they take (`pytest --durations=0`); all others are shorter."""


def group(nodeid: str) -> str:
    """The name of what a test stays together with."""
    file = nodeid.partition("::")[0]
    if file in COMMANDS:
        return "commands"
    return "deck" if file.startswith("tests/deck/") else file


def place(item: pytest.Item) -> int:
    """Where the test's group stands."""
    name = group(item.nodeid)
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long groups first."""
    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """xdist's scheduler by scopes, where a scope is a group."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log) if config.getoption("dist") == "loadscope" else None
