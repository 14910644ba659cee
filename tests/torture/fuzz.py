"""The fuzzer on all its targets in turn: atheris, guided by the coverage of shakegpt's own code."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.torture.fuzz_targets import TARGETS
from tests.torture.tally import Tally

FLAGS = (
    *("-keep_seed=1", "-len_control=0", "-timeout=60", "-rss_limit_mb=4096"),
    "-print_final_stats=1",
)
"""A case may take a minute and 4 GiB: more is a find, as any exception is."""
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERAGE = re.compile(r"cov: (\d+)")


def fuzz(tally: Tally, seconds: int, targets: tuple[str, ...] = tuple(TARGETS)) -> None:
    """Feed each of `targets` for its share of `seconds`; a find is a loss, its input kept."""
    if importlib.util.find_spec("atheris") is None:
        tally.note("atheris is not installed (pip install '.[torture]'): nothing was fuzzed")
        return
    for name in targets:
        with tempfile.TemporaryDirectory() as scratch:
            _one(tally, name, seconds // len(targets), Path(scratch))


def _one(tally: Tally, name: str, seconds: int, folder: Path) -> None:
    finds = Path(tempfile.gettempdir()) / f"shakegpt-find-{name}-"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.torture.fuzz_one", name, str(folder / "corpus")),
            *(*FLAGS, f"-max_total_time={seconds}", f"-artifact_prefix={finds}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    executed, coverage = _DONE.findall(done.stdout), _COVERAGE.findall(done.stdout)
    tally.tried += int(executed[-1]) if executed else 0
    tally.note(
        f"{name}: {executed[-1] if executed else 'no'} inputs in {seconds} s, "
        f"{coverage[0] if coverage else 0} branches with the seeds, "
        f"{coverage[-1] if coverage else 0} at the end"
    )
    if done.returncode != 0 or not executed:
        tally.tried += 1
        tally.losses.append(f"{name}: {_what_was_raised(done.stdout)} (input at {finds}*)")


def _what_was_raised(output: str) -> str:
    lines = output.splitlines()
    at = next((n for n, line in enumerate(lines) if "Uncaught Python exception" in line), None)
    told = lines[-1:] if at is None else [*lines[at + 1 : at + 2], *_places(lines[at:])]
    return " | ".join(told)


def _places(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.lstrip().startswith("File ")][-3:]
