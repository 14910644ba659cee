"""The list of runs with their state, losses and age: sort, filter, open, delete."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from shakegpt import runs
from shakegpt.errors import ShakegptError
from shakegpt_tui.listing import HEADINGS, ORDERS, Row, arrange, columns_for, row_of
from shakegpt_tui.printable import printable
from shakegpt_tui.screens.dialogs import Choice, Way

NONE_YET = (
    "No runs yet.\n\nF5 starts the run on the form. As it stands that takes a minute or two and no "
    "network: a small GPT-2 learns Shakespeare's plays, and you watch.\n\n"
    "Every run is kept under runs/ and is listed here."
)
NO_SUCH = "No run has these words. Escape lists all runs again."
EVERY = 2.0
"""Seconds between looks at the directory of runs."""


class RunTable(DataTable[Text]):
    """The table, whose enter key opens a run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", tooltip="Watch this run, or look back at it"),
    ]


class RunList(Vertical):
    """The runs of a directory, kept up to date."""

    DEFAULT_CSS = """
    RunList {
        & > #filter { display: none; margin-bottom: 1; background: $panel; }
        &.-filter > #filter { display: block; }
        & > DataTable { height: 1fr; background: transparent; overflow-x: hidden; }
        & > DataTable { scrollbar-size-vertical: 1; }
        & > #none { height: auto; color: $foreground 60%; padding: 1 0; display: none; }
        &.-none > #none { display: block; }
        &.-none > DataTable, &.-none > #order { display: none; }
        & > #order { height: auto; max-height: 2; color: $foreground 60%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", tooltip="By age, val loss, model or state"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Only runs with these words"),
        Binding("d,delete", "delete", "Delete", key_display="d", tooltip="Delete this run"),
        Binding("escape", "unfilter", "All runs", show=False),
    ]

    class Open(Message):
        """A run was chosen."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    class Sorted(Message):
        """The runs are sorted by something else."""

        def __init__(self, order: str) -> None:
            super().__init__()
            self.order = order

    class Found(Message):
        """The directory of runs was looked at."""

        def __init__(self, found: list[runs.RunSummary]) -> None:
            super().__init__()
            self.found = found

    def __init__(
        self, base: Path = runs.RUNS, order: str = ORDERS[0], *, classes: str | None = None
    ) -> None:
        super().__init__(classes=classes)
        self.index = runs.RunIndex(base)
        self.found: list[runs.RunSummary] = []
        self.order = order if order in ORDERS else ORDERS[0]
        self._shown: list[Row] = []
        self._columns: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Filter, table, what to say without runs, the order."""
        yield Input(placeholder="words of name, model, text or state", id="filter", compact=True)
        yield RunTable(cursor_type="row", zebra_stripes=False, id="runs")
        yield Static(id="none", markup=False)
        yield Static(id="order", markup=False)

    def on_mount(self) -> None:
        """Look now and every few seconds."""
        self.set_interval(EVERY, self.look)
        self.look()

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False)
    def look(self) -> None:
        """Read what is new in the directory of runs."""
        self.post_message(self.Found(self.index.refresh()))

    def on_run_list_found(self, event: Found) -> None:
        """Show it."""
        self.found = event.found
        self._show()

    def on_resize(self) -> None:
        """Another width may have room for other columns."""
        self._show()

    @property
    def chosen(self) -> Path | None:
        """The run under the cursor."""
        row = self.query_one(RunTable).cursor_row
        return self._shown[row].path if 0 <= row < len(self._shown) else None

    def _show(self) -> None:
        words = self.query_one("#filter", Input).value
        now = clock.time()
        rows = [row_of(run, now) for run in arrange(self.found, self.order, words)]
        columns = columns_for(self.query_one(RunTable).size.width or self.size.width)
        if rows == self._shown and columns == self._columns:
            return
        chosen = self.chosen
        self._shown, self._columns = rows, columns
        self._fill(chosen)
        self.query_one("#none", Static).update(NO_SUCH if self.found else NONE_YET)
        self.set_class(not rows, "-none")
        self._say()

    @on(DataTable.RowHighlighted)
    def _say(self) -> None:
        """How many runs in which order, and what the columns leave out of the chosen one."""
        shown, total = len(self._shown), len(self.found)
        runs_in_all = f"{total} run{'' if total == 1 else 's'}"
        count = runs_in_all if shown == total else f"{shown} of {runs_in_all}"
        run = next((run for run in self.found if run.path == self.chosen), None)
        text = f"{run.name} on {run.dataset or '–'}\n{run.problem}" if run is not None else ""
        self.query_one("#order", Static).update(f"{count}, by {self.order}  ·  {printable(text)}")

    def _fill(self, chosen: Path | None) -> None:
        table = self.query_one(RunTable)
        table.clear(columns=True)
        for column in self._columns:
            table.add_column(HEADINGS.get(column, column))
        for row in self._shown:
            cells = [row.cells[column] for column in self._columns]
            table.add_row(*(Text(text, self._style(role)) for text, role in cells))
        paths = [row.path for row in self._shown]
        if chosen in paths:
            table.move_cursor(row=paths.index(chosen), animate=False)

    def _style(self, role: str) -> str:
        """A theme colour as Rich, which the table takes, knows it."""
        value = self.app.theme_variables.get(role, "")
        return "dim" if role == "dim" else value.removeprefix("ansi_")

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self._show()

    @on(Input.Submitted, "#filter")
    def _to_list(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(RunTable).focus()

    @on(DataTable.RowSelected)
    def _open(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_open()

    def action_open(self) -> None:
        """Open the run under the cursor."""
        if self.chosen is not None:
            self.post_message(self.Open(self.chosen))

    def action_sort(self) -> None:
        """Sort by the next thing."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.post_message(self.Sorted(self.order))
        self._show()
        self._say()

    def action_filter(self) -> None:
        """Type words to see only the runs that have them."""
        self.add_class("-filter")
        self.query_one("#filter", Input).focus()

    def action_unfilter(self) -> None:
        """See all runs again."""
        self.query_one("#filter", Input).value = ""
        self.remove_class("-filter")
        self.query_one(RunTable).focus()

    def action_delete(self) -> None:
        """Ask, then delete the run under the cursor."""
        run = next((run for run in self.found if run.path == self.chosen), None)
        if run is None:
            return
        if run.state in runs.LIVE:
            self.app.notify(f"{run.name} is being trained: stop it first", markup=False)
            return
        what = f"{run.name} with its model and its log will be gone for good."
        ways = [Way("d", "delete", "delete", "error")]
        self.app.push_screen(Choice("Delete this run?", what, ways), self._deleter(run.path))

    def _deleter(self, path: Path) -> Callable[[str | None], None]:
        def answered(answer: str | None) -> None:
            if answer == "delete":
                self._delete(path)

        return answered

    @work(thread=True, group="delete", exit_on_error=False)
    def _delete(self, path: Path) -> None:
        try:
            runs.delete_run(path)
        except (ShakegptError, OSError) as error:
            message = str(error)
            self.app.call_later(self.app.notify, message, severity="error", markup=False)
        self.post_message(self.Found(self.index.refresh()))
