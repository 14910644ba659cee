"""Home: start a run, or pick one. Side by side where there is room, else one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Button, DataTable, Footer, Static

from shakegpt.runs import RUNS
from shakegpt_tui.widgets.run_list import RunList

if TYPE_CHECKING:
    from shakegpt_tui.widgets.start_form import StartForm

Result = tuple[str, list[str] | Path]


class HomeScreen(Screen[Result | None]):
    """Returns ("start", arguments of `shakegpt finetune`), ("open", run directory) or None."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-too-narrow"),
        (40, "-slim"),
        (70, "-narrow"),
        (110, "-wide"),
    ]
    DEFAULT_CSS = """
    HomeScreen {
        #title { height: 1; padding: 0 1; background: $panel; text-style: bold; }
        #panes { height: 1fr; }
        StartForm, RunList {
            width: 1fr; height: 100%; padding: 0 1;
            border: round $foreground 30%; border-title-style: bold;
        }
        StartForm:focus-within, RunList:focus-within { border: round $primary; }
        StartForm { max-width: 64; }
        &.-narrow, &.-slim, &.-too-narrow {
            StartForm { max-width: 100%; }
            &.-runs StartForm { display: none; }
            &.-form RunList { display: none; }
        }
        &.-slim #help, &.-too-narrow #help { height: 2; }
        &.-slim #title, &.-too-narrow #title { display: none; }
        &.-slim #first, &.-slim #models { margin-bottom: 0; }
        &.-slim StartForm, &.-slim RunList { border: none; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "pane('form')", "New run", tooltip="Go to the start form"),
        Binding("f3", "pane('runs')", "Runs", tooltip="Go to the list of runs"),
        Binding("q", "dismiss(None)", "Quit", tooltip="Leave; live runs go on"),
    ]

    def __init__(self, base: Path = RUNS) -> None:
        super().__init__()
        self.base = base

    def compose(self) -> ComposeResult:
        """Title, form and list, keys."""
        yield Static("shakegpt  teach a GPT-2 Shakespeare", id="title", markup=False)
        with Horizontal(id="panes"):
            yield RunList(self.base)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin at the start button: enter starts the default run."""
        self.query_one(RunList).border_title = "Runs"
        self.call_after_refresh(self._add_form)

    async def _add_form(self) -> None:
        """After the first picture: its inputs take three times as long to make as all the rest."""
        from shakegpt_tui.widgets.start_form import StartForm

        form = StartForm()
        form.border_title = "New run"
        await self.query_one("#panes", Horizontal).mount(form, before=0)
        self.action_pane("form")

    def action_pane(self, name: str) -> None:
        """Show the form or the list, and put the keys there."""
        self.set_class(name == "form", "-form")
        self.set_class(name == "runs", "-runs")
        target = self.query_one("#start", Button) if name == "form" else self.query_one(DataTable)
        self.call_after_refresh(target.focus)

    def on_start_form_start(self, event: StartForm.Start) -> None:
        """Return what to start."""
        self.dismiss(("start", event.arguments))

    def on_run_list_open(self, event: RunList.Open) -> None:
        """Return which run to open."""
        self.dismiss(("open", event.path))
