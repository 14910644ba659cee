"""The full-screen plot: a readout line, the plot, the keys; other runs laid over on request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Static

from shakegpt.runlog.history import History
from shakegpt.runlog.runs import is_run
from shakegpt.sanitize import one_line
from shakegpt_tui.plot.series import Series
from shakegpt_tui.run import curves
from shakegpt_tui.run.readout import readout
from shakegpt_tui.screens.base_screen import BaseScreen
from shakegpt_tui.screens.plot_picker import PlotPicker
from shakegpt_tui.settings import Settings
from shakegpt_tui.widgets.loss_plot import LossPlot
from shakegpt_tui.widgets.too_small import NEEDED, TooSmall


class PlotScreen(BaseScreen[None]):
    """Train and val loss of a run, large. Closing it returns nothing."""

    HORIZONTAL_BREAKPOINTS = [(0, "-too-narrow"), (NEEDED[0], "-slim")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-too-low"), (NEEDED[1], "-low")]  # noqa: RUF012
    DEFAULT_CSS = """
    PlotScreen {
        layout: vertical;
        #readout { height: 1; padding: 0 1; background: $panel; }
        #settings { height: 1; padding: 0 1; color: $foreground 60%; }
        #readout, #settings { text-wrap: nowrap; text-overflow: ellipsis; }
        LossPlot { padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # Their names are not those of the run screen's actions: the help would take its headings.
        Binding("escape", "retreat", "Back", tooltip="Take the cursor away, then close"),
        Binding("q", "dismiss", "Close", show=False, tooltip="Close the plot"),
        Binding("c", "lay_over", "Compare", tooltip="Lay other runs over this one"),
    ]

    @dataclass
    class Loaded(Message):
        """The curves of other runs were read."""

        others: Mapping[str, Sequence[Series]]

    def __init__(
        self,
        history: History,
        runs: Sequence[Path] = (),
        kept: Settings | None = None,
        keep: Callable[[Settings], None] = lambda settings: None,
    ) -> None:
        """Plot `history`, which may grow (`refresh_history`).

        `runs` are run directories: first the history's own, then those to lay over it at once.
        Any other run beside the first can be picked on the screen. It is drawn as `kept` says, and
        `keep` gets the settings when a key changes that.
        """
        super().__init__()
        self.kept, self._keep = kept or Settings(), keep
        self.history = history
        self.own = runs[0] if runs else None
        self.chosen = list(runs[1:])
        self._seen: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="readout", markup=False)
        yield LossPlot(id="plot")
        yield Static(id="settings", markup=False)
        yield Footer(compact=True, show_command_palette=False)
        yield TooSmall("the run goes on")

    def on_mount(self) -> None:
        plot = self.query_one(LossPlot)
        plot.draw_with(self.kept.symbols, self.kept.smoothing, self.kept.log)
        plot.focus()
        self.refresh_history()
        if self.chosen:
            self._load(self.chosen)

    def refresh_history(self) -> None:
        """Show what came to the history since; costs nothing when no loss did."""
        history = self.history
        mark = (len(history.steps), len(history.evals), history.iteration, len(history.resumes),
                len(history.samples))  # fmt: skip
        if mark != self._seen and (plot := self.query(LossPlot)):
            self._seen = mark
            plot.first().show(curves.of_history(history), curves.marks(history))

    def on_loss_plot_changed(self, event: LossPlot.Changed) -> None:
        plot, run = event.plot, self.history.run
        line = readout(plot.at, plot.readings(), plot.other_readings(), run.time if run else None)
        self.query_one("#readout", Static).update(line)
        self.query_one("#settings", Static).update(_settings(plot))
        self._remember(plot)

    def _remember(self, plot: LossPlot) -> None:
        drawn = {"symbols": plot.look.symbols.name, "smoothing": plot.curves.weight,
                 "log": plot.look.log}  # fmt: skip
        if drawn != {name: getattr(self.kept, name) for name in drawn}:
            self.kept = msgspec.structs.replace(self.kept, **drawn)
            self._keep(self.kept)

    def action_retreat(self) -> None:
        """Take the cursor away if there is one, else close."""
        plot = self.query_one(LossPlot)
        if plot.cursor is None:
            self.dismiss()
        else:
            plot.put_cursor(None)

    def action_lay_over(self) -> None:
        others = [] if self.own is None else neighbours(self.own)
        if not others:
            self.notify("There is no other run to compare with.", severity="warning")
            return
        self.app.push_screen(PlotPicker(others, self.chosen), self._picked)

    def _picked(self, chosen: list[Path] | None) -> None:
        if chosen is not None:
            self.chosen = chosen
            self._load(chosen)

    @work(thread=True, exclusive=True, group="compare")
    def _load(self, chosen: list[Path]) -> None:
        self.post_message(self.Loaded({_name(run): curves.of_run(run) for run in chosen}))

    def on_plot_screen_loaded(self, event: Loaded) -> None:
        self.query_one(LossPlot).compare(event.others)


def neighbours(run: Path) -> list[Path]:
    """The other runs in the directory of `run`."""
    try:
        beside = [path for path in run.resolve().parent.iterdir() if path.name != run.name]
    except OSError:
        return []
    return [path for path in beside if is_run(path)]


def _name(run: Path) -> str:
    """A run's name without the day, which its neighbours share."""
    return one_line(re.sub(r"^\d{4}-\d\d-\d\dT(\d\d)-(\d\d)-\d\d-", r"\1:\2 ", run.name))


def _settings(plot: LossPlot) -> Content:
    """How the plot is drawn, each with the key that changes it; 50 columns hold all of that."""
    smoothing = f"smoothed {plot.curves.smoothing:g}" if plot.curves.smoothing else "not smoothed"
    drawn = (
        ("l", "log" if plot.look.log else "linear"),
        ("+-", smoothing),
        ("b", plot.look.symbols.name),
    )
    keys = [Content.assemble((key, "bold $accent"), f" {how}") for key, how in drawn]
    return Content("  ").join([*keys, Content(_window(plot))])


def _window(plot: LossPlot) -> str:
    if plot.view.span is None:
        return "whole run"
    lo, hi = plot.view.window(plot.extent)
    return f"{lo:.0f} to {hi:.0f}{', following' if plot.view.follows else ''}"
