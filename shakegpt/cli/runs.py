"""`shakegpt runs`: the runs of a directory, one per line."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from shakegpt.cli.arguments import parse
from shakegpt.config.bounds import Text, setting
from shakegpt.format import duration, loss
from shakegpt.runlog.runs import RunSummary, find_runs
from shakegpt.sanitize import printable

ABOUT = "List the runs and how they went, newest first."
HEADINGS = ("run", "state", "model", "iterations", "val loss", "age")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    # fmt: off
    directory: str = setting("runs", Text("DIR", path=True),
        "Directory whose runs to list. Default: runs.", positional=True)
    # fmt: on


def main(words: list[str]) -> int:
    """Print the runs, in a terminal as a table, else tab-separated; returns the exit code."""
    directory = Path(parse(Arguments, "shakegpt runs", words, ABOUT).directory)
    rows = [_row(run) for run in find_runs(directory)]
    if not rows:
        print(f"no runs in {printable(str(directory))}: `shakegpt finetune` makes one")
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        print(*("\t".join(row) for row in [HEADINGS, *rows]), sep="\n")
    return 0


def _row(run: RunSummary) -> tuple[str, ...]:
    values = "" if run.first_val is None else f"{loss(run.first_val)} -> {loss(run.best_val)}"
    return (
        printable(str(run.path)),
        run.state,
        printable(run.model),
        f"{run.iteration}/{run.max_iters}",
        values,
        duration(max(0.0, time.time() - run.updated)),
    )


def _print_table(rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading == "run")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)
