"""Which other runs to lay over a plot: a list to tick, read from their logs in the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Footer, SelectionList, Static
from textual.widgets.selection_list import Selection

from shakegpt import format
from shakegpt.runlog import runs
from shakegpt.sanitize import one_line
from shakegpt_tui.internals import gutter_width
from shakegpt_tui.screens.base_screen import Dialog

NAME_WIDTH = 34


class RunTicks(SelectionList[Path]):
    """Textual's own shows an X on every row; ticked ones differ by colour alone."""

    def render_line(self, y: int) -> Strip:
        """A row, with an X where it is ticked."""
        strip = super().render_line(y)
        index = self.scroll_offset.y + y
        if index >= self.option_count or self.get_option_at_index(index).value in self.selected:
            return strip
        gutter = gutter_width(self)
        return Strip([Segment(" " * gutter, self.rich_style), *strip.crop(gutter)])


class PlotPicker(Dialog[list[Path] | None]):
    """Returns the runs that are ticked, or None when the choice is left as it was."""

    DEFAULT_CSS = """
    PlotPicker {
        align: center middle;
        & > Vertical {
            width: 90%; max-width: 90; height: auto; max-height: 90%;
            border: round $primary; background: $surface; padding: 0 1;
        }
        SelectionList, SelectionList:focus {
            height: auto; max-height: 1fr; border: none; padding: 0; background: $surface;
        }
        Static { height: 1; color: $foreground 60%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # All with priority, so that one typed after the other is obeyed after it: keys with and
        # without are kept in different queues, and a slow line delivers several at once.
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("space", "tick", "Tick", priority=True),
        Binding("enter", "done", "Compare", priority=True),
        Binding("escape", "dismiss(None)", "Cancel"),
    ]

    @dataclass
    class Summarized(Message):
        """The runs' logs were read."""

        summaries: list[runs.RunSummary]

    def __init__(self, offered: Sequence[Path], chosen: Sequence[Path]) -> None:
        super().__init__()
        self.offered, self.chosen = list(offered), set(chosen)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Compare with"
            yield RunTicks()
            yield Static("space: tick several  enter: compare  escape: back", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(SelectionList).loading = True
        self._summarize()

    @work(thread=True, exclusive=True)
    def _summarize(self) -> None:
        summaries = [runs.summarize(run) for run in self.offered]
        summaries.sort(key=lambda summary: summary.started, reverse=True)
        self.post_message(self.Summarized(summaries))

    def on_plot_picker_summarized(self, event: Summarized) -> None:
        chooser = self.query_one(SelectionList)
        chooser.loading = False
        chooser.add_options(
            [Selection(_line(run), run.path, run.path in self.chosen) for run in event.summaries]
        )
        chooser.highlighted = 0
        chooser.focus()

    def action_tick(self) -> None:
        chooser: SelectionList[Path] = self.query_one(SelectionList)
        if chooser.highlighted is not None:
            chooser.toggle(chooser.get_option_at_index(chooser.highlighted))

    def action_move(self, by: int) -> None:
        chooser = self.query_one(SelectionList)
        chooser.action_cursor_up() if by < 0 else chooser.action_cursor_down()

    def action_done(self) -> None:
        """Return the ticked runs; with no tick, now or before, the one under the cursor."""
        chooser: SelectionList[Path] = self.query_one(SelectionList)
        ticked = list(chooser.selected)
        if not ticked and not self.chosen and chooser.highlighted is not None:
            ticked = [chooser.get_option_at_index(chooser.highlighted).value]
        self.dismiss(ticked)


def _line(run: runs.RunSummary) -> Content:
    """Attributes, no colours: the ground of the row under the cursor is a colour of the theme."""
    losses = f"{format.loss(run.first_val, 3):>6} → {format.loss(run.best_val, 3):<6}"
    name = one_line(run.name, NAME_WIDTH).ljust(NAME_WIDTH)
    return Content.assemble(name, "  ", (losses, "bold"), "  ", (run.state, "dim"))
