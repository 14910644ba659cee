"""Result rows of a benchmark, printed and kept between two marks of docs/measurements.md."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measurements.md"
BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"


@dataclass(frozen=True)
class Row:
    """A figure, what the project aims at, and whether it is reached; None where it aims at none."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None

    def cells(self) -> str:
        """As a line of a Markdown table."""
        verdict = {None: "", True: "met", False: "not met"}[self.met]
        return f"| {self.what} | {self.figure} | {self.target} | {verdict} |"


def machine() -> str:
    """The machine in words, and how busy others keep it."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{model}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, load {load:.1f}"
    )


def written(text: str, rows: list[Row]) -> str:
    """`text` with `rows` in its table: those that it has are replaced, new ones come at its end."""
    head, found, rest = text.partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not found or not end:
        raise SystemExit(f"docs/measurements.md has no {BEGIN} … {END}")
    lines = {line.split("|")[1].strip(): line for line in old.splitlines() if line[:2] == "| "}
    lines.pop("what", None)
    lines |= {row.what: row.cells() for row in rows}
    table = ["| what | figure | aim | |", "|---|---|---|---|", *lines.values()]
    return head + BEGIN + "\n" + "\n".join(table) + "\n" + END + tail


def update(rows: list[Row]) -> None:
    """Put the rows into docs/measurements.md."""
    PAGE.write_text(written(PAGE.read_text("utf-8"), rows), "utf-8")
