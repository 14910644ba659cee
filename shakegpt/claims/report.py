"""The command `shakegpt claims`: check a run's log and print the rows: text, Markdown or JSON."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import msgspec

from shakegpt.claims.checks import check
from shakegpt.claims.evidence import BEYOND, Evidence, Row
from shakegpt.config import ClaimsConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.default_run import named, newest
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, Follower
from shakegpt.runlog.schema import End, Eval, Event, Inspection, Run, Sample
from shakegpt.runlog.status import current_state_text
from shakegpt.sanitize import one_line


class DeckCheck(Protocol):
    """Checks the slides on screen (`shakegpt_figures.deck_check`)."""

    def log(self) -> Path | None:
        """The log that the slides were made from; None if it does not exist."""

    def number(self, slide: int | None) -> int | None:
        """The deck's slide for a slide of the talk; for None, that on the inside of the model."""

    def rows(self, history: History, log: Path) -> list[tuple[int, str, str, str, bool]]:
        """(slide, what it shows, result, records, whether it holds) of each check."""


VERDICTS = {"holds": "green", "differs": "bold red", "not measured": "yellow", "measured": "cyan"}
"""Colours of the verdicts."""


def run(config: ClaimsConfig, deck: DeckCheck | None = None) -> int:
    """Print the talk's claims with what the run shows, and with `deck` those of the slides.

    Returns 1 with `strict` unless every claim holds or has other settings. Raises ShakegptError for
    a path that is no run, or a log of a newer version.
    """
    deck_log = deck.log() if deck is not None and config.run is None else None
    log = deck_log or (named(config.run) if config.run else newest()) / LOG_NAME
    seen = evidence(log)
    rows = check(seen)
    if deck is not None:
        rows = [replace(row, slide=deck.number(row.slide)) for row in rows]
        rows += [
            Row("holds" if holds else "differs", slide, what, shows, records)
            for slide, what, shows, records, holds in deck.rows(seen.history, log)
        ]
        rows.sort(key=lambda row: row.slide or math.inf)
    if config.json:
        print(msgspec.json.format(msgspec.json.encode([asdict(row) for row in rows])).decode())
    elif config.markdown:
        print(_markdown(rows, summary(rows, seen, log)))
    elif sys.stdout.isatty():
        _blocks(rows, summary(rows, seen, log))
    else:
        _lines(rows, summary(rows, seen, log))
    failed = any(row.verdict in ("differs", "not measured") for row in rows)
    return int(config.strict and failed)


def evidence(log: Path) -> Evidence:
    """The history in a log, with its lines.

    Raises ShakegptError when it is not a run's log, cannot be read, or is of a newer version.
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
    """The key of a record in `Evidence`; None for records that no claim is based on."""
    match record:
        case Run():
            return "run", 0
        case End():
            return "end", 0
        case Eval():
            return "eval", record.iteration
        case Sample():
            return "sample", record.sample
        case Inspection():
            return "inspection", record.sample
    return None


def summary(rows: list[Row], seen: Evidence, log: Path) -> list[str]:
    """The log, the number of rows with each verdict, and the settings that differ."""
    counts = Counter(row.verdict for row in rows if row.verdict not in BEYOND)
    verb = "holds" if counts["holds"] == 1 else "hold"
    parts = [f"{counts['holds']} of {counts.total()} claims {verb}"]
    if counts["differs"]:
        parts.append(f"{counts['differs']} {'differs' if counts['differs'] == 1 else 'differ'}")
    if counts["not measured"]:
        parts.append(f"{counts['not measured']} not measured")
    if beyond := len(rows) - counts.total():
        parts.append(f"{beyond} more questions")
    if counts["other settings"]:
        parts.append(f"{counts['other settings']} not comparable")
    now = current_state_text(log.parent, seen.history)
    lines = [f"{log}: {', '.join(parts)}" + (f"; {now}" if now else "")]
    if others := dict.fromkeys(other for row in rows for other in row.others):
        lines.append(f"Not the talk’s settings in this run: {', '.join(others)}")
    return [one_line(line) for line in lines]


def _lines(rows: list[Row], summary: list[str]) -> None:
    """One tab-separated line per row, for pipes and plain terminals."""
    for row in rows:
        fields = (row.verdict, str(row.slide or "–"), row.claim, row.shows, row.records)
        print("\t".join(one_line(field) for field in fields))
    print("\n".join(summary), file=sys.stderr)


def _markdown(rows: list[Row], summary: list[str]) -> str:
    """A Markdown table."""

    def cell(text: str) -> str:
        return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", one_line(text))

    lines = ["| verdict | slide | claim | this run shows | records |", "|---|---|---|---|---|"]
    for row in rows:
        verdict = f"**{row.verdict}**" if row.verdict == "differs" else row.verdict
        cells = (cell(row.claim), cell(row.shows), cell(row.records))
        lines.append(f"| {verdict} | {row.slide or '–'} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(cell(line) + "  " for line in summary)])


def _blocks(rows: list[Row], summary: list[str]) -> None:
    """For a terminal of any width: verdict, claim, and below it what the run shows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    for row in rows:
        text = Text.assemble(
            (one_line(row.claim), "bold"),
            f"\n{one_line(row.shows)}",
            (f"\n{one_line(row.records)}" if row.records else "", "dim"),
        )
        verdict = Text(row.verdict, VERDICTS.get(row.verdict, "dim"))
        table.add_row(verdict, f"slide {row.slide}" if row.slide else "", text)
    console = Console()
    console.print(table)
    console.print(Text("\n" + "\n".join(summary)))
