"""The Textual app: which screen is shown, what is remembered, what signals do."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time as clock
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.actions import parse
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.screen import Screen
from textual.widget import Widget

from shakegpt.errors import ShakegptError
from shakegpt.sanitize import one_line
from shakegpt_tui import internals
from shakegpt_tui import settings as memory
from shakegpt_tui.base_app import BaseApp, Pane
from shakegpt_tui.keys import APP_KEYS
from shakegpt_tui.palette import Commands
from shakegpt_tui.processes import trainer as trainers
from shakegpt_tui.processes.trainer import Trainer
from shakegpt_tui.run.feed import Feed, LiveFeed
from shakegpt_tui.run.replay_feed import ReplayFeed
from shakegpt_tui.terminal import capabilities
from shakegpt_tui.themes import CYCLE, DEFAULTS, OWN, WITHOUT_COLOUR, is_theme
from shakegpt_tui.widgets.too_small import NEEDED

if TYPE_CHECKING:
    from shakegpt_tui.home.form import Filled
    from shakegpt_tui.screens.home import HomeScreen
    from shakegpt_tui.screens.run_list import RunList

HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)
"""Of a closed terminal; Windows has none."""
SIGNALS = (signal.SIGTERM, HANGUP, signal.SIGINT)
"""Signals that end the app with the terminal restored and exit code 128 + n."""


class ShakegptApp(BaseApp):
    """Home, or one run when a feed is given. Its result is a last word for the terminal."""

    TITLE = "shakegpt"
    COMMANDS: ClassVar[set[Any]] = {Commands}
    CSS = """
    Toast { width: auto; max-width: 42; padding: 0 1; margin-top: 0; }
    .-narrow Toast, .-slim Toast { max-width: 100%; }
    .-toured { outline: heavy $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*APP_KEYS]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-too-narrow"),
        (NEEDED[0], "-slim"),
        (70, "-narrow"),
        (110, "-wide"),
        (160, "-broad"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-too-low"),
        (NEEDED[1], "-low"),
        (20, "-short"),
        (34, "-tall"),
        (46, "-high"),
    ]

    def __init__(
        self, feed: Feed | None = None, trainer: Trainer | None = None, config: Path | None = None
    ) -> None:
        """`config`: file of the settings; None: the user's."""
        super().__init__(config)
        self._filled_form: Filled | None = None
        self._feed = feed
        if trainer is not None:
            self.started(trainer)

    def on_load(self) -> None:
        """Before the terminal is taken: the look, and signals that give it back."""
        for theme in OWN:
            self.register_theme(theme)
        wanted = WITHOUT_COLOUR if self.no_color else self.settings.theme
        self.theme = wanted if is_theme(wanted) else CYCLE[0]
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            with suppress(NotImplementedError):  # on Windows
                for number in SIGNALS:
                    loop.add_signal_handler(number, self.exit, None, 128 + number)

    def get_driver_class(self) -> type[Driver]:
        """Textual's own but on a Unix terminal, where ours is safe for SIGSTOP."""
        driver = super().get_driver_class()
        if driver.__name__ != "LinuxDriver":
            return driver
        from shakegpt_tui.terminal.sigstop import SigstopDriver

        return SigstopDriver

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for themes that lack them."""
        return DEFAULTS

    def on_mount(self) -> None:
        """Show the first screen, and notice a terminal that went away without a signal."""
        # Textual leaves a terminal that it has taken again blank until something changes
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        if self._feed is None:
            self.open_home()
        else:
            self.open_run(self._feed)
        if not (self.is_headless or capabilities.in_browser()):
            self.set_interval(2.0, self._leave_a_dead_terminal)
            if self._is_first_time() and isinstance(self._feed, LiveFeed | None):
                self.call_after_refresh(self.action_tour)

    def _is_first_time(self) -> bool:
        """Whether there were no settings before, and are now: else each time would be the first."""
        before = self.config.exists()
        if not before:
            memory.save(self.settings, self.config)
        return not before and self.config.exists()

    def action_tour(self) -> None:
        """The tour."""
        from shakegpt_tui.screens.tour import Tour

        self.push_screen(Tour())

    def _leave_a_dead_terminal(self) -> None:
        """A hang-up that was ignored (nohup) would leave the app spinning on a closed terminal."""
        if not os.isatty(0):
            self.exit(return_code=128 + HANGUP)

    def save_runs(self) -> None:
        """After the screen is gone: save what was started here if the system ends this process.

        As process 1 (of a container) all others end with it, so that trainers are stopped and
        waited for. On SIGTERM otherwise they save and go on.
        """
        alone = os.getpid() == 1
        if alone or self.return_code == 128 + signal.SIGTERM:
            by_signal = bool(self.return_code and self.return_code > 128)
            trainers.save_all(self.trainers.values(), stop=alone, hurry=by_signal)

    def watch_title(self, title: str) -> None:
        """Show it as the title of the terminal's window or tab (OSC 2)."""
        if not self.is_headless:
            internals.write(self, f"\x1b]2;{one_line(title, 80)}\x07")

    def open_run(self, feed: Feed) -> None:
        """Show a run over what is shown."""
        from shakegpt_tui.screens.run import RunScreen  # home is there without its 40 ms

        trainer = self.trainers.get(feed.run) if isinstance(feed, LiveFeed) else None
        self.push_screen(RunScreen(feed, trainer))

    def open_home(self, pane: Pane = "form") -> None:
        """Show the start form and the list of runs in place of what is shown, the keys at one."""
        from shakegpt_tui.screens.home import HomeScreen

        pane = "runs" if self.read_only else pane
        while len(self.screen_stack) > 1:
            self.pop_screen()
        home = HomeScreen(order=self.settings.order, pane=pane, filled_form=self._filled_form)
        home.set_class(self.read_only, "-read-only")
        self.push_screen(home, partial(self._chosen, home))

    def on_run_list_sorted(self, event: RunList.Sorted) -> None:
        """Remember how the list of runs is sorted."""
        self.settings.order = event.order
        self.keep(self.settings)

    def _chosen(self, home: HomeScreen, choice: tuple[str, Any] | None) -> None:
        self._filled_form = home.filled_form  # the next is filled as this one was
        if choice is None:
            self.exit()
            return
        verb, what = choice
        if verb == "start" and self.read_only:
            self.open_home("runs")
            self.notify("read-only: no run can be started here", severity="error")
            return
        if verb == "replay":
            self.open_run(ReplayFeed(Path(what)))
            return
        try:
            run = self.started(trainers.start(what)).run if verb == "start" else Path(what)
        except ShakegptError as error:
            self.open_home()
            self.notify(one_line(str(error)), severity="error", timeout=10, markup=False)
            return
        self.open_run(LiveFeed(run))

    def watch_theme(self, theme: str) -> None:
        """Remember the look, unless NO_COLOR chose it."""
        if self.is_running and not self.no_color and theme != self.settings.theme:
            self.settings.theme = theme
            self.keep(self.settings)

    def action_cycle_theme(self) -> None:
        """The next of the own themes; under NO_COLOR there is only one."""
        if self.no_color:
            self.notify("NO_COLOR is set: there is one theme without colour", markup=False)
            return
        place = CYCLE.index(self.theme) if self.theme in CYCLE else -1
        self.theme = CYCLE[(place + 1) % len(CYCLE)]
        self.notify(self.theme, timeout=1.5, markup=False)

    def action_picture(self) -> None:
        """Write the screen as SVG into the working directory."""
        file = self.here / f"shakegpt-{clock.strftime('%Y-%m-%dT%H-%M-%S')}.svg"
        try:
            file.write_text(self.picture(), encoding="utf-8")
        except OSError as error:
            why = one_line(f"cannot write {file}: {error.strerror}")
            self.notify(why, severity="error", markup=False)
        else:
            self.notify(one_line(f"written to {file}"), markup=False)

    def picture(self) -> str:
        """The screen as SVG that fetches nothing: fonts of the reader's machine only."""
        svg = self.export_screenshot(title=self.TITLE)
        svg = re.sub(r",?\s*url\([^)]*\)\s*format\([^)]*\)", "", svg)
        return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"

    def action_help_keys(self) -> None:
        """What each key does on the screen that is shown, and what the numbers of a run are."""
        from shakegpt_tui.screens.help import KeyHelp

        shown = self.screen
        bindings = (b for _, b in internals.bindings_of(shown))
        own = [b for b in bindings if shown.check_action(*parse(b.action)[1:])]
        focused = [b.binding for b in shown.active_bindings.values() if _is_ours(b.node, shown)]
        from shakegpt_tui.screens.run_base import RunBase

        explained = shown.explanations() if isinstance(shown, RunBase) else ()
        of_app = [b for _, b in internals.bindings_of(self)]
        self.push_screen(KeyHelp([*own, *focused, *of_app], explained))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Read-only, the app writes no pictures and gives no shell."""
        return not (self.read_only and action in ("picture", "suspend_process"))

    async def action_quit(self) -> None:
        """As q does, which asks on a run; over anything else, leave at once."""
        from shakegpt_tui.screens.run_base import RunBase

        runs = [screen for screen in self.screen_stack if isinstance(screen, RunBase)]
        if self.screen in runs:
            await self.screen.run_action("leave")
        elif runs:
            runs[-1].leave()
        else:
            self.exit()


def _is_ours(node: DOMNode, screen: Screen[object]) -> bool:
    """Whether keys belong to a widget of this project, not to the screen, the app or Textual."""
    inside = isinstance(node, Widget) and node is not screen
    return inside and type(node).__module__.startswith("shakegpt_tui.")
