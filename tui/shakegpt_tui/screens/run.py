"""The run screen: watch a run learn and drive it. Its parts are `run_reading` and `run_driving`."""

from __future__ import annotations

import time as clock
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, WorkerState, get_current_worker

from shakegpt.errors import ShakegptError
from shakegpt.notify.result import Result
from shakegpt.runlog.schema import Heartbeat, Progress
from shakegpt.runlog.status import is_local
from shakegpt.sanitize import one_line
from shakegpt_tui.keys import RUN_KEYS
from shakegpt_tui.processes.trainer import Trainer
from shakegpt_tui.run import curves
from shakegpt_tui.run.facts import Facts
from shakegpt_tui.run.feed import Batch, Feed
from shakegpt_tui.run.narrator import Narrator
from shakegpt_tui.screens.banner import banner, last_words_of
from shakegpt_tui.screens.end_card import end_card
from shakegpt_tui.screens.run_driving import Driving
from shakegpt_tui.screens.run_reading import Reading
from shakegpt_tui.widgets.activity import Activity, messages, ticker
from shakegpt_tui.widgets.candidates import Candidates
from shakegpt_tui.widgets.footer import FittingFooter
from shakegpt_tui.widgets.machine_line import MachineLine
from shakegpt_tui.widgets.multiples import Multiples
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.sample_pane import SamplePane
from shakegpt_tui.widgets.search_bar import SearchBar
from shakegpt_tui.widgets.sparkline import LossSparkline
from shakegpt_tui.widgets.status import Status
from shakegpt_tui.widgets.too_small import TooSmall

FRAME = 0.1
"""Seconds between redraws while records come: ten a second read as a stream of text."""
CALM_FRAME = 1.0
"""The same when only a micro-step or a beat came: who trains here needs the processor more."""
CURVE_FRAME = 0.25
"""Seconds between redraws of curves."""
MANY_STEPS = 10_000
"""Steps beyond which curves are drawn the less often the more there are."""
MOST_WAITING = 8
"""Batches that may wait for the screen before the reader waits for it."""
MOST_COMMANDS = 50


class RunScreen(Driving, Reading):
    """Shows what its feed brings. Between batches it does nothing but look at the clock."""

    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*RUN_KEYS]

    @dataclass
    class Arrived(Message, bubble=False):
        """Records came."""

        batch: Batch

    @dataclass
    class Refused(Message):
        """The log cannot be read at all, for this reason."""

        error: ShakegptError

    def __init__(self, feed: Feed, trainer: Trainer | None = None) -> None:
        super().__init__(feed, trainer)
        self._was_at_work = False
        self.narrator = Narrator()

    _redraw_at: Timer | None = None
    _redraw_due = 0.0
    _last_redraw = 0.0
    _last_curve = 0.0
    _curve_key: tuple[int, ...] = ()
    _shape: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Status(id="status")
        yield Quiet(id="banner")
        with Horizontal(id="curves"):
            yield LossSparkline(id="curve")
            with Vertical(id="measured"):
                yield Multiples(id="multiples")
                yield MachineLine(id="meters")
        with Horizontal(id="stage"):
            with Horizontal(id="samples"):
                yield SamplePane(id="beside")
                yield SamplePane(id="shown")
            with Vertical(id="side"):
                yield Candidates(id="candidates")
                yield Activity(id="activity")
        yield Quiet(id="ticker")
        yield FittingFooter()
        yield TooSmall("the run goes on")

    def on_mount(self) -> None:
        self.query_one(Candidates).border_title = "candidates"
        self.follow()
        self.set_interval(1.0, self._tick)
        self.redraw()

    @work(thread=True, exclusive=True, group="feed", exit_on_error=False)
    def follow(self) -> None:
        """Read in a thread; the screen gets batches and is never overrun by them."""
        stop = get_current_worker().cancelled_event
        try:
            for batch in self.feed.batches(stop):
                while self.message_queue_size > MOST_WAITING and not stop.wait(0.02):
                    pass
                if stop.is_set() or not self.post_message(self.Arrived(batch)):
                    return
        except ShakegptError as error:
            self.post_message(self.Refused(error))

    @on(Worker.StateChanged)
    def _reader_broke(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.group == "feed":
            text = f"reading {self.run} failed: {event.worker.error!r}"
            self.post_message(self.Refused(ShakegptError(text, exit_code=1)))

    @on(Arrived)
    def _arrived(self, event: Arrived) -> None:
        batch = event.batch
        if batch.restarted:
            self.restart_history()
            self._curve_key = ()
        self.history.extend(batch.events)
        self.problems += batch.problems
        if batch.caught_up:
            self.caught_up = True
            self.redraw()
        elif self.caught_up:
            calm = all(isinstance(event, Progress | Heartbeat) for event in batch.events)
            self._redraw_within(CALM_FRAME if calm and not batch.problems else FRAME)

    def redraw_soon(self) -> None:
        """Redraw, at most ten times a second."""
        self._redraw_within(FRAME)

    @on(Refused)
    def _refused(self, event: Refused) -> None:
        self.refused, self.caught_up = event.error, True
        self.redraw()

    @on(SearchBar.Changed)
    def _searched(self, event: SearchBar.Changed) -> None:
        self.search(event.needle)

    def _redraw_within(self, frame: float) -> None:
        """Redraw so long after the last time, or at once when that is past."""
        due = self._last_redraw + frame
        if due <= clock.monotonic():
            self.redraw()
        else:
            self._redraw_by(due)

    def _redraw_by(self, due: float) -> None:
        """Redraw at that time of the monotonic clock, unless that is to happen earlier."""
        if self._redraw_at is not None:
            if self._redraw_due <= due:
                return
            self._redraw_at.stop()
        self._redraw_at = self.set_timer(max(0.0, due - clock.monotonic()), self.redraw)
        self._redraw_due = due

    def _tick(self) -> None:
        if self.leaving and self.caught_up and not self.facts().moving:
            self.leave()
        elif clock.monotonic() - self._last_redraw > 0.9 * CALM_FRAME:
            self.redraw()  # for what changes with the clock alone

    def redraw(self) -> None:
        """Show everything as it is now; what has not changed is not painted."""
        if not self.is_mounted:
            return
        if self._redraw_at is not None:
            self._redraw_at.stop()
            self._redraw_at = None
        self._last_redraw = clock.monotonic()
        now = self.facts()
        self.moving = now.moving
        with self.app.batch_update():
            self.query_one(Status).show(now, self.name_of_run)
            self._show_words(now)
            busy = self.follows and now.moving and is_local(self.history)
            self.query_one(MachineLine).active = busy
            self.show_samples()
        self._show_curves()
        self._shape_to(now)
        self._announce(now)
        self.shakegpt.refresh_plot()

    def _show_words(self, now: Facts) -> None:
        text = banner(self, now)
        line = self.query_one("#banner", Quiet)
        line.display = bool(text)
        line.say(text, layout=True)
        commands = self.driver.lines(self.history, self.feed.now(), MOST_COMMANDS)
        story = self.narrator.said(self.history)
        said = messages(self.history, story, self.problems, now, last_words_of(self, now))
        self.query_one(Activity).show(end_card(self, now), commands, said)
        self.query_one("#ticker", Quiet).say(ticker(commands, said))

    def _show_curves(self) -> None:
        history = self.history
        key = (
            *(len(history.steps), len(history.evals), len(history.resumes)),
            *(len(history.progress), len(history.samples), history.max_iters),
            self.has_class("-broad"),
        )
        frame = CURVE_FRAME * max(1.0, len(history.steps) / MANY_STEPS)
        due, now = self._last_curve + frame, clock.monotonic()
        if key == self._curve_key:
            return
        if now < due:
            self._redraw_by(due)
            return
        self._curve_key, self._last_curve = key, now
        self.query_one(LossSparkline).show(
            curves.of_history(history), history.max_iters, curves.marks(history)
        )
        if self.has_class("-broad"):
            self.query_one(Multiples).show(curves.metrics(history), history.max_iters)

    def _announce(self, now: Facts) -> None:
        """Notify the terminal once when a run that was seen at work no longer is."""
        if not (self.follows and self.caught_up):
            return
        if self._was_at_work and not now.state.at_work:
            losses = (now.first_val, now.best_val, now.val_loss)
            at = (now.iteration, now.max_iters)
            self.shakegpt.notify_terminal(
                Result(self.run, now.state, None, "", *at, *losses).message
            )
        self._was_at_work = now.state.at_work

    def _shape_to(self, now: Facts) -> None:
        """Let the footer follow the state: only keys that do something now are there."""
        browser = self.browser.token is None, bool(self.browser.needle)
        shape = (now.state, self.launching, self.history.run is None, bool(self.waiting), browser)
        if shape != self._shape:
            self._shape = shape
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Which keys do something at the moment; the others are not offered."""
        at_token = self.browser.token is not None
        match action:
            case "write":
                return not self.shakegpt.read_only
            case "replay":
                return self.follows and bool(self.history.evals or self.history.steps)
            case "hold" | "faster" | "slower" | "jump":
                return self.replay is not None
            case "jump_to":  # at a token the key looks inside the model
                return self.replay is not None and not at_token
            case "inside":
                return at_token
            case "limit":
                return self.live and self.history.run is not None and not at_token
            case "resume":
                return self.live and not self.facts().moving and bool(self.history.checkpoints)
            case "pause" | "go_on":
                paused = self.facts().word in ("paused", "pausing")
                return self.live and self.facts().moving and paused == (action == "go_on")
            case "sample" | "edit":
                return self.live and (self.facts().moving or self.can_draw("best"))
            case "before" | "last_state":
                return self.live and not self.facts().moving and self.can_draw(action)
            case "stop":
                return self.live and (self.facts().moving or bool(self.waiting))
            case "seek":
                return bool(self.browser.needle)
            case "evaluate" | "save":
                return self.live and self.facts().moving
        return True

    def action_plain(self) -> None:
        """Stop the sample that is drawn here; else leave tokens, search and messages."""
        if self.over_run and self.browser.token is None and not self.browser.needle:
            self.dismiss()
        elif not self.stop_drawing():
            super().action_plain()

    def action_plot(self) -> None:
        """The large plot, with this run and others to lay over it."""
        from shakegpt_tui.screens.plot import PlotScreen

        app = self.shakegpt
        app.push_screen(PlotScreen(self.history, [self.run], app.settings, app.keep))

    def action_present(self) -> None:
        from shakegpt_tui.screens.presenter import PresenterScreen

        self.app.push_screen(PresenterScreen(self))

    @property
    def name_of_run(self) -> str:
        """The name of its directory."""
        return one_line(self.run.absolute().name, 60)

    def on_screen_resume(self) -> None:
        """Name the run in the terminal's title. The plot may have chosen other symbols."""
        self.app.title = f"{self.name_of_run} · {self.app.TITLE}"
        for curve in self.query(LossSparkline):
            curve.draw_with(self.shakegpt.settings.symbols)
        for multiples in self.query(Multiples):
            multiples.draw_with(self.shakegpt.settings.symbols)
