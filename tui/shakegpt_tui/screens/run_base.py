"""What the parts of the run screen share: the run's history, its feed, its trainer, one redraw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from shakegpt.errors import ShakegptError
from shakegpt.files import WEIGHTS
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.log import Problem
from shakegpt.runlog.status import trainer_alive
from shakegpt_tui.base_app import BaseApp
from shakegpt_tui.processes.trainer import Pulse, Trainer, is_starting, last_words
from shakegpt_tui.run.browse import Browser, Hit
from shakegpt_tui.run.driving import Driver
from shakegpt_tui.run.explain import Explanation, explanations
from shakegpt_tui.run.facts import Facts, facts
from shakegpt_tui.run.feed import Feed, LiveFeed
from shakegpt_tui.run.replay_feed import ReplayFeed
from shakegpt_tui.screens.base_screen import BaseScreen


class RunBase(BaseScreen[None]):
    """State that driving and reading share; `redraw` is the screen's."""

    def __init__(self, feed: Feed, trainer: Trainer | None = None) -> None:
        super().__init__()
        self.feed = feed
        self.trainer = trainer
        self.restart_history()
        self.driver = Driver(feed.run)
        self.pulse = Pulse(feed.run)
        self.lives_before = 0
        """Resumes in the log before `trainer` was started: it is starting until one more comes."""

    @property
    def shakegpt(self) -> BaseApp:
        """The app, typed."""
        return cast("BaseApp", self.app)

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.feed.run

    @property
    def follows(self) -> bool:
        """Whether the log may grow: not in a replay or a picture."""
        return isinstance(self.feed, LiveFeed) and self.refused is None

    @property
    def live(self) -> bool:
        """Whether there may be a trainer to drive, by who may do more than look."""
        return self.follows and not self.shakegpt.read_only

    @property
    def replay(self) -> ReplayFeed | None:
        """The feed, when it is a replay."""
        return self.feed if isinstance(self.feed, ReplayFeed) else None

    @property
    def over_run(self) -> bool:
        """Whether this replay was opened from the screen of a run, to go back to."""
        stack = self.app.screen_stack
        below = stack[stack.index(self) - 1] if self in stack[1:] else None
        return self.replay is not None and isinstance(below, RunBase)

    @property
    def launching(self) -> bool:
        """Whether a trainer was started whose first record has not come yet."""
        if self.trainer is not None and self.trainer.exit_code is None:
            born = len(self.history.resumes) + (self.history.run is not None)
            return born <= self.lives_before
        return self.follows and self.history.run is None and is_starting(self.run)

    def facts(self) -> Facts:
        """The facts of this moment."""
        now = self.feed.now()
        moment = facts(self.history, now, exited=self._exited(), launching=self.launching)
        return moment if self.refused is None else replace(moment, word="unreadable")

    def explanations(self) -> list[Explanation]:
        """What the numbers on the screen are."""
        return explanations(self.facts(), self.history, self.browser.sample)

    def never_began(self) -> bool:
        """Whether its trainer is gone without a first record."""
        return self.history.run is None and self.facts().state == "crashed"

    def leave(self) -> None:
        """End the app with a word on how the run stands and an exit code that says the same."""
        now, run, app = self.facts(), self.run, self.app
        if self.refused is not None:
            app.exit(str(self.refused), self.refused.exit_code)
        elif not self.live:
            app.exit()
        elif now.moving:
            app.exit(f"training goes on; to come back: shakegpt-tui {run}")
        elif now.state in ("failed", "crashed"):
            code = self.trainer.exit_code if self.trainer else None
            words = last_words(run, 1) or [f"the run {now.state}"]
            app.exit(words[-1], code if code is not None and code > 0 else 1)
        else:
            model = (run / "model" / WEIGHTS).exists()
            way = f"; to sample from it: shakegpt sample {run}" if model else ""
            app.exit(f"{now.state} at iteration {now.iteration}: {run}{way}")

    def on_unmount(self) -> None:
        """A run that did not start for a reason that was said is no run to list."""
        if self.trainer is not None and self.history.run is None:
            self.trainer.discard()

    def _exited(self) -> bool:
        """Whether the trainer is known to be gone, be it of this session or another."""
        if self.trainer is not None:  # it takes seconds to open the log, whose writer is gone
            ended = self.trainer.exit_code is not None
            return ended and not trainer_alive(self.run, self.history)  # else another one resumed
        return self.follows and self.caught_up and self.pulse.gone(self.history)

    def restart_history(self) -> None:
        """Begin with an empty history: nothing was read yet, or another log took its place."""
        self.history = History()
        self.problems: list[Problem] = []
        self.browser = Browser(self.history)
        self.hit: Hit | None = None

    caught_up = False
    """All that the log held at first has been folded in."""
    moving = False
    """Whether a trainer was at work when the screen was last drawn."""
    drawing: SampleView | None = None
    """The sample that a process of this screen draws."""
    refused: ShakegptError | None = None
    """Why the log cannot be read at all."""

    def say(self, text: str, *, problem: bool = False) -> None:
        """Show a notification."""
        self.notify(text, severity="warning" if problem else "information", markup=False)

    def complain(self, error: ShakegptError) -> None:
        """Show an error as a notification."""
        self.notify(str(error), severity="error", timeout=10, markup=False)

    def redraw(self) -> None:
        """Show everything as it is now."""
        raise NotImplementedError

    def redraw_soon(self) -> None:
        """Redraw, at most ten times a second."""
        raise NotImplementedError
