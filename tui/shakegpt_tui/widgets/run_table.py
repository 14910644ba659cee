"""The table of runs: a row for each, of which only what has changed is painted again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from shakegpt_tui.home.listing import HEADINGS, Row


class RunTable(DataTable[Text]):
    """The table, whose enter key opens a run."""

    DEFAULT_CSS = """
    RunTable {
        height: 1fr; background: transparent; overflow-x: hidden; scrollbar-size-vertical: 1;
        & > .datatable--header { background: $panel; color: $foreground; text-style: bold; }
        &:ansi > .datatable--header { background: ansi_default; color: ansi_default; }
        &:nocolor > .datatable--cursor { text-style: bold reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", tooltip="Watch this run, or look back at it"),
        Binding("home", "scroll_top", "First", False, tooltip="The first run"),
        Binding("end", "scroll_bottom", "Last", False, tooltip="The last run"),
    ]

    def __init__(self, **named: Any) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, **named)
        self.rows_shown: list[Row] = []
        self._widths: dict[str, int] = {}
        """Cells of each column on show."""

    @property
    def chosen(self) -> Path | None:
        """The run under the cursor."""
        row = self.cursor_row
        return self.rows_shown[row].path if 0 <= row < len(self.rows_shown) else None

    def show(self, rows: list[Row], columns: tuple[str, ...]) -> bool:
        """Show these columns of `rows`; the cursor stays with its run. Paints the cells that
        differ, or all when there are other rows. False when nothing changed.
        """
        if (rows, columns) == (self.rows_shown, tuple(self._widths)):
            return False
        before, row, chosen = self.rows_shown, self.cursor_row, self.chosen
        widths = {column: _width(column, rows) for column in columns}
        same = [run.path for run in rows] == [run.path for run in before]
        self.rows_shown = rows
        if same and widths == self._widths:
            self._change(before)
            return True
        self._widths, paths = widths, [run.path for run in rows]
        self.refill(paths.index(chosen) if chosen in paths else min(row, len(rows) - 1))
        return True

    def _change(self, before: list[Row]) -> None:
        """Change the cells that say something else than `before`."""
        for number, (old, new) in enumerate(zip(before, self.rows_shown, strict=True)):
            for place, column in enumerate(self._widths):
                if old.cells[column] != new.cells[column]:
                    self.update_cell_at(Coordinate(number, place), self._text(new, column))

    def refill(self, row: int | None = None) -> None:
        """Make the table anew, the cursor on `row` or where it is, scrolled as it is.

        The widths are given: a table that measures its cells paints them once before it has.
        """
        before, scrolled = self.cursor_row, self.scroll_y
        row = before if row is None else row
        self.clear(columns=True)
        for column, width in self._widths.items():
            self.add_column(HEADINGS.get(column, column), width=width)
        for run in self.rows_shown:
            self.add_row(*(self._text(run, column) for column in self._widths))
        self.move_cursor(row=max(row, 0))
        self.call_after_refresh(self.scroll_to, y=scrolled, animate=False)
        if row != before:
            self.call_after_refresh(lambda: self.move_cursor(row=self.cursor_row))  # into view

    def _text(self, run: Row, column: str) -> Text:
        text, role = run.cells[column]
        return Text(text, self._style_of(role))

    def _style_of(self, role: str) -> str:
        """A theme colour as Rich, which the table takes, knows it."""
        value = self.app.theme_variables.get(role, "")
        return "dim" if role == "dim" else value.removeprefix("ansi_")


def _width(column: str, rows: list[Row]) -> int:
    """Cells that the heading and every text of a column fit in."""
    texts = [HEADINGS.get(column, column), *(run.cells[column][0] for run in rows)]
    return max(map(cell_len, texts))
