"""The list of runs with their state, losses and age: sort, filter, open, delete."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from shakegpt.errors import ShakegptError
from shakegpt.runlog import runs
from shakegpt.sanitize import one_line, printable
from shakegpt_tui.home.listing import ORDERS, arrange, columns_for, row_of
from shakegpt_tui.processes.trainer import last_words
from shakegpt_tui.screens.dialogs import Choice, Way
from shakegpt_tui.widgets.field import Field
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.run_preview import RunPreview
from shakegpt_tui.widgets.run_table import RunTable

NONE_YET = (
    "No runs yet.\n\nF5 starts the run on the form. As it stands that takes a minute or two and no "
    "network: a small GPT-2 learns Shakespeare's plays, and you watch.\n\n"
    "Every run is kept under runs/ and is listed here."
)
NO_SUCH = "No run has these words. Escape lists all runs again."
PREVIEW_FROM = 18
"""Rows from which on the list previews the run under the cursor."""
EVERY = 2.0
"""Seconds between looks at the directory of runs."""


class NoRuns(Static, can_focus=True):
    """Stands in place of the table while there is no run to list, and has the focus for it."""


class RunList(Vertical):
    """The runs of a directory, kept up to date."""

    DEFAULT_CSS = """
    RunList {
        & > #filter { display: none; margin-bottom: 1; background: $panel; }
        &.-filter > #filter { display: block; }
        & > #none { height: auto; color: $foreground 60%; padding: 1 0; display: none; }
        &.-none > #none { display: block; }
        &.-none > DataTable, &.-none > #order { display: none; }
        & > #order { height: auto; max-height: 2; color: $foreground 60%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "replay", "Replay", False, tooltip="Play this run again from its start"),
        Binding("s", "sort", "Sort", tooltip="By age, val loss, model or state"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Only runs with these words"),
        Binding("d,delete", "delete", "Delete", key_display="d", tooltip="Delete this run"),
        Binding("u", "undelete", "Undo", False, tooltip="Bring back the run deleted last"),
        Binding("escape", "unfilter", "All runs", show=False),
    ]

    class Open(Message):
        """A run was chosen, to be shown or played again."""

        def __init__(self, path: Path, replay: bool = False) -> None:
            super().__init__()
            self.path, self.replay = path, replay

    class Sorted(Message):
        """The runs are sorted by something else."""

        def __init__(self, order: str) -> None:
            super().__init__()
            self.order = order

    class Refreshed(Message):
        """The runs were read again."""

        def __init__(self, summaries: list[runs.RunSummary]) -> None:
            super().__init__()
            self.summaries = summaries

    def __init__(
        self, base: Path = runs.RUNS, order: str = ORDERS[0], *, classes: str | None = None
    ) -> None:
        super().__init__(classes=classes)
        self.index = runs.RunIndex(base)
        self._in_turn = threading.Lock()
        self.summaries: list[runs.RunSummary] = []
        self.order = order if order in ORDERS else ORDERS[0]

    def compose(self) -> ComposeResult:
        """Filter, table, what to say without runs, the order."""
        yield Field(placeholder="words of name, model, text or state", id="filter", compact=True)
        yield RunTable(id="runs")
        yield NoRuns(id="none", markup=False)
        yield Quiet(id="order")
        yield RunPreview()

    def on_mount(self) -> None:
        """Look now and every few seconds; another theme has other colours for what is there."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.query_one(RunTable).refill())
        self.set_interval(EVERY, self._look_again)
        self.look()

    @work(thread=True, group="runs", exit_on_error=False)
    def look(self) -> None:
        """Read what is new in the directory of runs."""
        self._refresh_summaries()

    def _look_again(self) -> None:
        """Look, unless a slow disk has not answered yet."""
        if not self._in_turn.locked():
            self.look()

    def _refresh_summaries(self) -> None:
        with self._in_turn:  # a thread cannot be cancelled, and the index is for one at a time
            summaries = self.index.refresh()
        self.post_message(self.Refreshed(summaries))

    def on_run_list_refreshed(self, event: Refreshed) -> None:
        """Show it."""
        self.summaries = event.summaries
        self._show()

    def on_resize(self) -> None:
        """Another width may have room for other columns, another height for a preview."""
        self.query_one(RunPreview).display = self.size.height >= PREVIEW_FROM
        self._show()

    @property
    def front(self) -> Widget:
        """The table, or what stands in its place: where the keys go."""
        table = self.query_one(RunTable)
        return table if table.display else self.query_one(NoRuns)

    @property
    def chosen(self) -> Path | None:
        """The run under the cursor."""
        return self.query_one(RunTable).chosen

    def _show(self, *, top: bool = False) -> None:
        """Show what there is now; the cursor stays with its run, or goes to the `top`."""
        words = self.query_one("#filter", Input).value
        now = clock.time()
        rows = [row_of(run, now) for run in arrange(self.summaries, self.order, words)]
        table = self.query_one(RunTable)
        if table.show(rows, columns_for(table.size.width or self.size.width)):
            self.query_one(NoRuns).update(NO_SUCH if self.summaries else NONE_YET)
            self.set_class(not rows, "-none")
        if top:
            table.move_cursor(row=0)
        self._say()

    @on(DataTable.RowHighlighted)
    def _say(self) -> None:
        """How many runs in which order, and what the columns leave out of the chosen one."""
        shown, total = len(self.query_one(RunTable).rows_shown), len(self.summaries)
        runs_in_all = f"{total} run{'' if total == 1 else 's'}"
        count = runs_in_all if shown == total else f"{shown} of {runs_in_all}"
        run = next((run for run in self.summaries if run.path == self.chosen), None)
        text = _about(run) if run is not None else ""
        said = Content(f"{count}, by {self.order}  ·  {printable(text)}")
        self.query_one("#order", Quiet).say(said, layout=True)
        if run is not None:
            self.query_one(RunPreview).show(run.path, run.updated)

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self._show(top=True)

    @on(Input.Submitted, "#filter")
    def _to_list(self, event: Input.Submitted) -> None:
        event.stop()
        self.front.focus()

    @on(DataTable.RowSelected)
    def _open(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_open()

    def action_open(self) -> None:
        """Open the run under the cursor."""
        if self.chosen is not None:
            self.post_message(self.Open(self.chosen))

    def action_replay(self) -> None:
        """Play the run under the cursor again."""
        if self.chosen is not None:
            self.post_message(self.Open(self.chosen, replay=True))

    def action_sort(self) -> None:
        """Sort by the next thing, and go to what comes first by it."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.post_message(self.Sorted(self.order))
        self._show(top=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Read-only, no run is deleted or brought back."""
        return not (getattr(self.app, "read_only", False) and action in ("delete", "undelete"))

    def action_filter(self) -> None:
        """Type words to see only the runs that have them."""
        self.add_class("-filter")
        self.query_one("#filter", Input).focus()

    def action_unfilter(self) -> None:
        """See all runs again."""
        self.query_one("#filter", Input).value = ""
        self.remove_class("-filter")
        self.front.focus()

    def action_delete(self) -> None:
        """Ask, then delete the run under the cursor."""
        run = next((run for run in self.summaries if run.path == self.chosen), None)
        if run is None:
            return
        if run.state.at_work:
            self.app.notify(f"{one_line(run.name)} is being trained: stop it first", markup=False)
            return
        what = f"{one_line(run.name)} moves to {one_line(str(run.path.parent / runs.TRASH))}."
        ways = [Way("y", "delete", "delete", "error")]
        self.app.push_screen(Choice("Delete this run?", what, ways), self._deleter(run.path))

    def _deleter(self, path: Path) -> Callable[[str | None], None]:
        def answered(answer: str | None) -> None:
            if answer == "delete":
                self._delete(path)

        return answered

    @work(thread=True, group="delete", exit_on_error=False)
    def _delete(self, path: Path) -> None:
        self._move(lambda: f"moved to {runs.delete_run(path)}; u brings it back")

    @work(thread=True, group="delete", exit_on_error=False)
    def action_undelete(self) -> None:
        """Bring back the run that was deleted last."""
        self._move(lambda: f"brought back: {runs.restore_run(self.index.base)}")

    def _move(self, move: Callable[[], str]) -> None:
        """Say what `move` did, or why it could not, and look at the runs again."""
        severity: Literal["information", "error"] = "information"
        try:
            message = move()
        except ShakegptError as error:
            message, severity = str(error), "error"
        self.app.call_later(self.app.notify, one_line(message), severity=severity, markup=False)
        self._refresh_summaries()


def _about(run: runs.RunSummary) -> str:
    """Its name and text, and what is wrong; of one that never began, its trainer's last word."""
    words = [] if run.model or run.state.at_work else last_words(run.path, 1)
    problem = run.problem or "".join(words)
    return f"{one_line(run.name)} on {one_line(run.dataset) or '–'}\n{problem}"
