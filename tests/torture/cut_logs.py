"""A log cut at every byte, or with bad lines in it: its readers go on with what is whole."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable
from pathlib import Path

from shakegpt.claims import report
from shakegpt.config import ClaimsConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog import history, runs
from shakegpt.runlog.default_run import recorded
from shakegpt.runlog.log import LOG_NAME, read
from shakegpt.runlog.status import run_state
from tests.torture.lab import Lab
from tests.torture.tally import Tally

BAD_LINES = (
    b"nonsense",
    b"",
    b"[1,2]",
    b'{"event":"party","time":1.0}',
    b'{"event":"step","time":1.0,"iteration":"x"}',
    b'{"event":"step","time":"now"}',
    b"\xff\xfe\0\0",
    b"[" * 5000,
    b'{"event":"end","time":1e400}',
    b'{"event":"eval","time":-1e300,"iteration":-5,"val_loss":1e308,"tokens":0,"seconds":-1,'
    b'"best":true}',
)


def cut_logs(lab: Lab, tally: Tally, step: int, drawn: int) -> None:
    """Cut a log at every `step`-th byte for the light readers, `drawn` times for the figures."""
    run = lab.folder / "cut"
    run.mkdir(exist_ok=True)
    data = (lab.folder / "unhurt" / LOG_NAME).read_bytes()
    whole = read(lab.folder / "unhurt" / LOG_NAME)[0]
    for size in range(0, len(data) + 1, step):
        with tally.case(f"cut at byte {size}"):
            (run / LOG_NAME).write_bytes(data[:size])
            records, problems = read(run / LOG_NAME)
            assert not problems and records == whole[: data.count(b"\n", 0, size)]
            light_readers(run)
    heavy = (recorded() / LOG_NAME).read_bytes()
    for number in range(drawn):
        size = len(heavy) * (number + 1) // (drawn + 1)
        with tally.case(f"recorded run cut at byte {size}, in figures"):
            (run / LOG_NAME).write_bytes(heavy[:size])
            sentence_or_done(lambda: draw(run))
    _bad_lines(tally, run, data)


def _bad_lines(tally: Tally, run: Path, data: bytes) -> None:
    lines = data.split(b"\n")
    for bad in BAD_LINES:
        for place in (0, 1, len(lines) // 2, len(lines) - 1):
            with tally.case(f"{bad[:20]!r} as line {place + 1}"):
                (run / LOG_NAME).write_bytes(b"\n".join([*lines[:place], bad, *lines[place:]]))
                problems = read(run / LOG_NAME)[1]
                assert not problems or [p.line for p in problems] == [place + 1], problems
                light_readers(run)


def light_readers(run: Path) -> None:
    """History, list of runs, curves, claims, and the feeds of the screen."""
    told = history.load(run)[0]
    run_state(told, told.last_time + 1)
    runs.summarize(run)
    history.losses(run)
    sentence_or_done(lambda: _claims(run))
    _feeds(run)


def _claims(run: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        report.run(ClaimsConfig(run=str(run)))


def _feeds(run: Path) -> None:
    from shakegpt_tui.run.facts import details, facts, headline, loss_line
    from shakegpt_tui.run.feed import LiveFeed, Still

    for feed in (LiveFeed(run), Still(run)):
        stop, told = threading.Event(), history.History()
        for batch in feed.batches(stop):
            told.extend(batch.events)
            if batch.caught_up:
                stop.set()
        now = facts(told, feed.now())
        assert [headline(now), loss_line(now), *details(now)]


def draw(run: Path) -> None:
    """All figures, and the deck's data."""
    from shakegpt_figures import data
    from shakegpt_figures.make import FIGURES, rendered

    told = history.load(run)[0]
    rendered(FIGURES, [told], run, ("svg",), ["0" * 64])
    data.encoded(data.run_data(told, run / LOG_NAME))


def sentence_or_done(job: Callable[[], object]) -> None:
    """Do it; a sentence that says what is missing will do, anything else raised will not."""
    try:
        job()
    except ShakegptError as error:
        assert str(error).strip() and "\n" not in str(error)
