"""The verb `shakegpt claims`: check a run's log and print the rows, as a table or as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import msgspec

from shakegpt.claims.checks import check
from shakegpt.claims.evidence import Evidence, Row
from shakegpt.config import ClaimsConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.default_run import named, newest
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, Follower
from shakegpt.runlog.schema import End, Eval, Event, Run, Sample
from shakegpt.runlog.status import standing_now
from shakegpt.sanitize import one_line

VERDICTS = {"holds": "green", "differs": "bold red", "not measured": "yellow"}
"""Colours of the verdicts; the words say it all without them."""


def run(config: ClaimsConfig) -> int:
    """Print what the talk says beside what the run shows; 1 with `strict` unless all is well.

    Raises ShakegptError for what is no run, or a log of a newer version.
    """
    log = (named(config.run) if config.run else newest()) / LOG_NAME
    seen = evidence(log)
    rows = check(seen)
    if config.json:
        print(msgspec.json.format(msgspec.json.encode([asdict(row) for row in rows])).decode())
    elif sys.stdout.isatty():
        _table(rows, _sum(rows, seen, log))
    else:
        _lines(rows, _sum(rows, seen, log))
    failed = any(row.verdict in ("differs", "not measured") for row in rows)
    return int(config.strict and failed)


def evidence(log: Path) -> Evidence:
    """What a log holds, and on which lines.

    Raises ShakegptError when it is not that of a run, cannot be read, or is of a newer version.
    """
    follower = Follower(log)
    try:
        entries = follower.entries()
    except OSError as error:
        raise ShakegptError(f"{log} cannot be read: {error.strerror}") from error
    history = History().extend(entry.record for entry in entries)
    if history.run is None:
        problem = next(iter(follower.problems), None)
        where = f" (line {problem.line}: {problem.message})" if problem else ""
        raise ShakegptError(
            f"{log} does not begin with the header of a run{where}: "
            "give the directory of a run that shakegpt wrote"
        )
    keyed = ((_key(entry.record), entry.line) for entry in entries)
    return Evidence(history, {key: line for key, line in keyed if key is not None})


def _key(record: Event) -> tuple[str, int] | None:
    """By which `Evidence` looks a record up; None for those that no claim rests on."""
    match record:
        case Run():
            return "run", 0
        case End():
            return "end", 0
        case Eval():
            return "eval", record.iteration
        case Sample():
            return "sample", record.sample
    return None


def _sum(rows: list[Row], seen: Evidence, log: Path) -> str:
    """Which log this was, how often each verdict was given, and how far the run is."""
    counts = Counter(row.verdict for row in rows)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    now = standing_now(log.parent, seen.history)
    return one_line(f"{log}: {counted}" + (f"; {now}" if now else ""))


def _lines(rows: list[Row], summary: str) -> None:
    """One line a row, with tabs between its fields: for pipes and for plain terminals."""
    for row in rows:
        fields = (row.verdict, row.claim, row.shows, row.records)
        print("\t".join(one_line(field) for field in fields))
    print(summary, file=sys.stderr)


def _table(rows: list[Row], summary: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    for name in ("the talk says", "this run shows", "verdict", "records"):
        table.add_column(name)
    for row in rows:
        verdict = Text(row.verdict, VERDICTS.get(row.verdict, "dim"))
        says, shows, where = (Text(one_line(t)) for t in (row.claim, row.shows, row.records))
        table.add_row(says, shows, verdict, Text.assemble((where.plain, "dim")))
    console = Console()
    console.print(table)
    console.print(Text(summary))
