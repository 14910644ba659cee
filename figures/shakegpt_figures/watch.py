"""`shakegpt figures --watch`: follow a run and redraw what an evaluation or a sample changed.

A trainer that died is said so, and waited for: resuming it goes on with the same log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from shakegpt.config import FiguresConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import shown_sample
from shakegpt.runlog.status import RunState, current_state, standing, standing_now
from shakegpt_figures import data, words
from shakegpt_figures.make import draw
from shakegpt_figures.source import Source

POLL = 0.1
"""Seconds between looks at the log: an evaluation is on the slide within one second."""
CHANGES = ("training", "generation", "architecture")
"""Curves first: they are what a room waits for."""

BETWEEN = 5.0
"""Seconds after which new steps alone are worth a new picture."""


class Screen:
    """What is on the slides now, and what has been said about it."""

    def __init__(self, config: FiguresConfig, out: Path, numbers: Path) -> None:
        self._config, self._out, self._numbers = config, out, numbers
        self._shown: dict[str, object] = {}
        self._said: set[str] = set()
        self._when = -BETWEEN

    def show(self, sources: Sequence[Source]) -> None:
        """Write the numbers, then draw each figure whose content is another than the one shown."""
        histories = [source.history for source in sources]
        states = {
            name: self._state(name, histories) for name in CHANGES if name in self._config.only
        }
        stale = [name for name, state in states.items() if state != self._shown.get(name)]
        if stale:  # numbers take milliseconds, a picture a fifth of a second
            self._write(sources[0])
        for name in stale:
            self._shown[name] = states[name]
            self._draw(name, histories)

    def _state(self, name: str, histories: Sequence[History]) -> object:
        """What a figure depends on, as far as it is worth drawing again."""
        if name == "architecture":
            return [words.header(history).model for history in histories]
        if name == "generation":
            sample = shown_sample(histories[0])
            return sample and (sample.start.sample, len(sample.tokens[:3]), sample.end is not None)
        evals = [(sorted(h.evals), len(h.resumes), h.end is not None) for h in histories]
        now, steps = time.monotonic(), [history.iteration for history in histories]
        before = self._shown.get(name)
        if isinstance(before, tuple) and before[0] == evals and now - self._when < BETWEEN:
            return before
        self._when = now
        return evals, steps

    def _draw(self, name: str, histories: Sequence[History]) -> None:
        try:
            for path in draw([name], histories, self._out, self._config.format):
                print(f"{path} ({standing(histories[0]) or 'finished'})", flush=True)
        except ShakegptError as error:
            self._say(f"not yet: {error}")

    def _write(self, source: Source) -> None:
        try:
            data.write(source.history, source.log, self._numbers)
        except ShakegptError as error:
            self._say(f"not yet: {error}")

    def tell_silence(self, source: Source) -> None:
        """Say that nothing comes because the trainer is gone.

        Raises ShakegptError when the run itself is: there is nothing left to follow.
        """
        if not source.log.exists():
            raise ShakegptError(f"{source.log} is gone: the figures stay as they were", exit_code=1)
        run, history = source.log.parent, source.history
        if history.run is not None and current_state(run, history) is RunState.CRASHED:
            now = standing_now(run, history)
            self._say(f"{run} {now}; continue with `shakegpt finetune --resume {run}`")

    def _say(self, sentence: str) -> None:
        """A sentence once: what a live log lacks now, it will have later."""
        if sentence not in self._said:
            self._said.add(sentence)
            print(sentence, file=sys.stderr, flush=True)


def watch(sources: Sequence[Source], config: FiguresConfig, out: Path, numbers: Path) -> int:
    """Redraw until all the runs have ended or a person stops it (Ctrl-C is a clean end)."""
    screen = Screen(config, out, numbers)
    try:
        while True:
            if all(source.history.run is not None for source in sources):
                screen.show(sources)
            if all(source.history.end is not None for source in sources):
                return 0
            while not any([source.refresh() for source in sources]):
                for source in sources:
                    screen.tell_silence(source)
                time.sleep(POLL)
    except KeyboardInterrupt:
        return 0
