"""What all tests share: no network, a cache of their own, one small run to look at.

Nothing here imports PyTorch before a test asks: the master of several workers never needs it.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.commands import Commands

pytest_plugins = ["tests.deck.ahead", "tests.order"]

# One thread: tiny tensors gain nothing from more, and tests run side by side.
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
for name in ("FORCE_COLOR", "CI", "GITHUB_ACTIONS", "GITLAB_CI", "JPY_PARENT_PID"):
    os.environ.pop(name, None)  # tests set those that they are about
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")  # Hypothesis takes its own one for CI by a name removed above
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell gives it to what runs behind
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare the garbage collector what is imported, which stays, and have it look less often.

    It took a third of the processor time of collecting, and a fifth of that of the screens' tests.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache directory of the tests' own, so that a user's is neither used nor filled."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SHAKEGPT_CACHE"] = str(folder)
    os.environ["HF_HUB_CACHE"] = os.environ["HF_HOME"] = str(folder / "hub")
    yield folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small play that is quickly learned."""
    from tests.tiny import play

    path = tmp_path_factory.mktemp("text") / "play.txt"
    path.write_text(play(), "utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A finished run that nobody changes: 6 iterations of 2 micro-steps, evaluated at 0, 3, 6."""
    from shakegpt.session import finetune
    from tests.tiny import tiny_config

    return finetune(tiny_config(text_file, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="session")
def shakegpt(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Commands]:
    """The command line; see `commands`."""
    commands = Commands(tmp_path_factory.mktemp("streams"), {"SHAKEGPT_CACHE": str(cache)})
    yield commands
    commands.close()
