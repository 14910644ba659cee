"""The short form of the lists of the torture room: nothing is lost. `make torture` is the long."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.__main__ import LISTS, tried
from tests.torture.lab import Lab
from tests.torture.tally import Tally, table

TRACED = ("kills-at-calls", "failing-calls")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("torture"))
    yield lab
    lab.close()


@pytest.mark.parametrize("name", [name for name, how in LISTS.items() if how.short is not None])
def test_nothing_is_lost(name: str, lab: Lab) -> None:
    if name in TRACED and shutil.which("strace") is None:
        pytest.skip("needs strace")
    if name == "fuzzer" and importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: pip install -e '.[torture]'")
    short = LISTS[name].short
    assert short is not None
    tally = tried(name, short, lab)
    assert not tally.losses, table([tally])
    assert tally.tried or tally.notes


def test_a_loss_is_counted_and_told() -> None:
    tally = Tally("some list")
    with tally.case("a good case"):
        pass
    with tally.case("a bad case"):
        raise ValueError("what went wrong")
    told = table([tally])
    assert (tally.tried, tally.survived) == (2, 1)
    assert "lost: a bad case: ValueError: what went wrong" in told


def test_a_lost_iteration_would_be_found(lab: Lab, tmp_path: Path) -> None:
    """The measure itself is no rubber stamp: another seed's run is not taken for the unhurt one."""
    from tests.torture.lab import result, same

    run = tmp_path / "run"
    assert lab.begin(run, seed=7).code == 0
    with pytest.raises(AssertionError, match="steps"):
        same(result(run), lab.unhurt)
