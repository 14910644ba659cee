"""The table that `make bench` keeps in docs/measurements.md."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def report() -> Any:
    return importlib.import_module("tests.bench.report")


def test_rows_are_replaced_and_the_others_stay(report: Any) -> None:
    text = f"before\n{report.BEGIN}\n{report.END}\nafter\n"
    text = report.written(text, [report.Row("a", "1 s"), report.Row("b", "2", "3 ×", False)])
    again = report.written(text, [report.Row("a", "9 s", "10 s", True)])
    assert again.splitlines() == [
        "before",
        report.BEGIN,
        "| what | figure | aim | |",
        "|---|---|---|---|",
        "| a | 9 s | 10 s | met |",
        "| b | 2 | 3 × | not met |",
        report.END,
        "after",
    ]
    with pytest.raises(SystemExit, match="no <!--"):
        report.written("nothing", [])


def test_the_page_has_a_place_for_it(report: Any) -> None:
    report.written(report.PAGE.read_text("utf-8"), [])


def test_a_part_that_does_not_exist_is_told() -> None:
    command = [sys.executable, "-m", "tests.bench", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "no such part: nonsense" in done.stderr
