"""`shakegpt figures --watch`: wait for a run, follow it, and redraw what a record changed.

Figures and numbers change together, so that a deck never shows two runs. Until a new run has all
that the deck shows, the deck keeps the run before and is marked as stale. A trainer that died is
reported and waited for: resuming it continues the same log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from shakegpt.config import FiguresConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.metrics import featured_sample
from shakegpt.runlog.runs import RUNS, find_runs
from shakegpt.runlog.status import RunState, current_state, current_state_text, state_text
from shakegpt_figures import data, inside_words, words
from shakegpt_figures.excerpt import clean
from shakegpt_figures.make import Content, best_first, places, possible, put, rendered
from shakegpt_figures.save import stamp
from shakegpt_figures.source import Source

POLL = 0.1
"""Seconds between looks at the log: an evaluation is on the slide within one second."""
SEARCH = 1.0
"""Seconds between looks for a run that has not begun."""
CHANGES = ("training", "generation", "architecture", "samples", "inside")
"""Curves first: they are what a room waits for."""

BETWEEN = 5.0
"""Seconds after which new steps alone are worth a new picture."""


class Screen:
    """What is on the slides now, and which messages were printed."""

    def __init__(self, config: FiguresConfig, out: Path, numbers: Path | None) -> None:
        self._config, self._out, self._numbers = config, out, numbers
        self._shown: dict[str, object] = {}
        self._ready: dict[str, list[Content]] = {}
        self._said: set[str] = set()
        self._when = -BETWEEN

    def show(self, sources: Sequence[Source]) -> None:
        """Draw each figure whose content differs from the one shown, and write all of one log."""
        try:
            sources = best_first(sources)
        except ShakegptError as error:
            self.say(f"not yet: {error}")
            return
        histories = [source.history for source in sources]
        names = [name for name in self._names() if possible(name, histories[0])]
        states = {n: (histories[0].run, self._state(n, histories)) for n in names}
        changed = [name for name in states if states[name] != self._shown.get(name)]
        digests = [data.sha256(source.log) for source in sources] if changed else []
        for name in changed:
            self._shown[name] = states[name]
            try:
                formats = self._config.format
                self._ready[name] = rendered([name], histories, self._out, formats, digests)
            except ShakegptError as error:
                self.say(f"not yet: {error}")
        if changed:
            self._write(sources[0], digests)

    def _names(self) -> list[str]:
        """The figures to draw: those of the command, and those that the deck has."""
        there = (name for name in CHANGES if (self._out / f"{name}.svg").exists())
        wanted = {*self._config.only, *there}
        return [name for name in CHANGES if name in wanted]

    def _state(self, name: str, histories: Sequence[History]) -> object:
        """What a figure depends on, as far as it is worth drawing again."""
        if name == "architecture":  # with the attention of the sample that the deck shows
            sample = featured_sample(histories[0])
            attended = sample is not None and sample.inspection is not None
            number = None if sample is None else sample.start.sample
            return words.header(histories[0]).model, number, attended
        if name in ("generation", "samples"):
            sample = featured_sample(histories[0])
            copies = sample is not None and sample.copies is not None
            return sample and (sample.start.sample, sample.end is not None, copies)
        if name == "inside":
            inspected = inside_words.inspected(histories[0])
            return inspected and inspected.start.sample
        evals = [(sorted(h.evals), len(h.resumes), h.end is not None) for h in histories]
        now, steps = time.monotonic(), [history.iteration for history in histories]
        before = self._shown.get(name)
        if isinstance(before, tuple) and before[0] == histories[0].run and before[1]:
            seen = before[1]
            if seen[0] == evals and now - self._when < BETWEEN:
                return seen
        self._when = now
        return evals, steps

    def _write(self, source: Source, digests: Sequence[str]) -> None:
        """Put figures and numbers in place, when together they leave nothing of another run."""
        other = [n for n in self._names() if n not in self._ready]
        began = not source.history.progress and source.history.end is None
        for name in [name for name in other if not possible(name, source.history)]:
            if name == "inside" and began:
                continue  # its record follows the sample: no slide goes, only to come again
            other.remove(name)
            (self._out / f"{name}.svg").unlink(missing_ok=True)
        numbers: list[Content] = []
        if self._numbers is not None:
            try:
                deck_data = data.run_data(source.history, source.log, digests[0])
                numbers = [(self._numbers, data.encoded(deck_data))]
            except ShakegptError as error:
                self.say(f"not yet: {error}")
                other += ["run.json"] if self._numbers.exists() else []
        if any((self._out / f"{name}.svg").exists() for name in other) or "run.json" in other:
            self.mark_stale(f"run {words.header(source.history).run_id} has too few records yet")
            return
        figures = [content for ready in self._ready.values() for content in ready]
        stamped = [
            (path, stamp(content, digests if path.stem == "training" else digests[:1]))
            if path.suffix == ".svg"
            else (path, content)
            for path, content in figures
        ]
        put([*stamped, *numbers])
        now = state_text(source.history) or "finished"
        print(f"{self._out} ({now})", flush=True)

    def mark_stale(self, why: str) -> None:
        """Have the deck say that what it shows is not the run being followed; "" takes it back."""
        if self._numbers is None or not self._numbers.exists():
            return
        try:
            deck_data = data.read(self._numbers)
        except ShakegptError:
            return
        if deck_data.run.stale != clean(why):
            run = msgspec.structs.replace(deck_data.run, stale=clean(why))
            marked = msgspec.structs.replace(deck_data, run=run)
            put([(self._numbers, data.encoded(marked))])

    def require(self, source: Source) -> None:
        """Raise ShakegptError when a log was deleted: there is nothing left to follow."""
        if not source.log.exists():
            raise ShakegptError(f"{source.log} was deleted: the figures stay", exit_code=1)

    def report_silence(self, source: Source) -> None:
        """Print that nothing comes because the trainer is gone."""
        self.require(source)
        run, history = source.log.parent, source.history
        if history.run is not None and current_state(run, history) is RunState.CRASHED:
            now = current_state_text(run, history)
            self.say(f"{run} {now}; continue with `shakegpt finetune --resume {run}`")

    def say(self, sentence: str) -> None:
        """Print a sentence once: what a live log lacks now, it will have later."""
        if sentence not in self._said:
            self._said.add(sentence)
            print(sentence, file=sys.stderr, flush=True)


def watch(config: FiguresConfig) -> int:
    """Redraw until all the runs have ended or a person stops it (Ctrl-C is a clean end)."""
    screen = None
    try:
        runs = _wait(config)
        sources = [Source(path) for path in runs]
        screen = Screen(config, *places(config, sources[0]))
        follow(screen, sources)
    except KeyboardInterrupt:
        if screen is not None:
            screen.mark_stale("")
    return 0


def _wait(config: FiguresConfig) -> list[Path]:
    """The runs to follow, when all have a log; by default the newest that trains."""
    screen = Screen(config, *places(config, None))
    paths = [Path(name) for name in config.runs]
    paths = [path.parent if path.name == LOG_NAME else path for path in paths]
    wanted = ", ".join(map(str, paths)) or f"a run in {RUNS}/"
    try:
        while True:
            if paths and all((path / LOG_NAME).is_file() for path in paths):
                return paths
            live = [r.path for r in find_runs(RUNS) if not r.problem and r.state.at_work]
            if not paths and live:
                return live[:1]
            screen.say(f"waiting for {wanted} to begin")
            screen.mark_stale(f"waiting for {wanted} to begin")
            time.sleep(SEARCH)
    except KeyboardInterrupt:
        screen.mark_stale("")
        raise


def follow(screen: Screen, sources: Sequence[Source]) -> None:
    """Show the runs until all have ended. Raises ShakegptError when a log was deleted."""
    while True:
        for source in sources:
            screen.require(source)
        if all(source.history.run is not None for source in sources):
            screen.show(sources)
        if all(source.history.end is not None for source in sources):
            return
        while not any([source.refresh() for source in sources]):
            for source in sources:
                screen.report_silence(source)
            time.sleep(POLL)
