"""Home: start a run, or pick one. Side by side where there is room, else one at a time.

It is painted before it is filled: the frame of the screen comes at once, then the list and the
form, whose inputs take longer to make than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import DescendantFocus
from textual.widgets import Static

from shakegpt_tui.base_app import Pane
from shakegpt_tui.screens.base_screen import BaseScreen
from shakegpt_tui.widgets.too_small import NEEDED, TooSmall

if TYPE_CHECKING:
    from shakegpt_tui.home.form import Filled
    from shakegpt_tui.screens.run_list import RunList
    from shakegpt_tui.widgets.start_form import StartForm

Result = tuple[str, list[str] | Path]
WHERE = Path("runs")
"""Where runs live; `shakegpt.runlog.runs.RUNS`, which is imported after the first picture."""


class HomeScreen(BaseScreen[Result | None]):
    """Returns ("start", arguments of `shakegpt finetune`), ("open", run directory) or None."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-too-narrow"),
        (NEEDED[0], "-slim"),
        (70, "-narrow"),
        (110, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-too-low"),
        (NEEDED[1], "-low"),
        (20, "-short"),
        (30, "-tall"),
    ]
    DEFAULT_CSS = """
    HomeScreen {
        #title { height: 1; padding: 0 1; background: $panel; text-style: bold; }
        #panes { height: 1fr; }
        .pane {
            width: 1fr; height: 100%; padding: 0 1;
            border: round $foreground 30%; border-title-style: bold;
        }
        .pane:focus-within { border: round $primary; }
        .form { max-width: 64; }
        &.-read-only .form { display: none; }
        &.-narrow, &.-slim {
            .form { max-width: 100%; }
            &.-runs .form { display: none; }
            &.-form .list { display: none; }
        }
        &.-slim #help, &.-short #help { height: 2; }
        &.-slim #need { max-height: 2; }
        &.-slim #title { display: none; }
        &.-slim #first, &.-slim #models, &.-short #first { margin-bottom: 0; }
        &.-slim .pane { border: none; padding: 0; }
    }
    """
    AUTO_FOCUS = "#start"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "pane('form')", "New run", tooltip="Go to the start form"),
        Binding("f3", "pane('runs')", "Runs", tooltip="Go to the list of runs"),
        Binding("q", "dismiss(None)", "Quit", tooltip="Leave; live runs go on"),
        # With priority, as on a slow line what is typed after them must not be obeyed before.
        Binding("f4", "further", "Settings", priority=True,
                tooltip="Show all settings, or the few again"),
        Binding("f5", "start", "Start", tooltip="Start the run on the form", priority=True),
        Binding("f6", "advise", "Advise", show=False, priority=True,
                tooltip="Find settings for the text and model by short runs; again: give up"),
    ]  # fmt: skip

    def __init__(
        self,
        base: Path = WHERE,
        order: str = "",
        pane: Pane = "form",
        filled_form: Filled | None = None,
    ) -> None:
        """List the runs in `base` by `order`, one of `listing.ORDERS`; begin at `pane`, the form
        as it was left.
        """
        super().__init__(classes=f"-{pane}")
        self.base, self.order, self.pane = base, order, pane
        self.filled_form = filled_form
        self.filled = False
        """Form and list are there."""

    def compose(self) -> ComposeResult:
        """Title and two empty panes."""
        yield Static("shakegpt  teach a GPT-2 Shakespeare", id="title", markup=False)
        with Horizontal(id="panes"):
            for kind, title in (("form", "New run"), ("list", "Runs")):
                pane = Static(classes=f"pane empty {kind}", markup=False)
                pane.border_title = title
                yield pane

    def on_mount(self) -> None:
        """Paint the screen once, then fill it."""
        self.app.call_later(self._paint)  # the app starts in one batch, which paints nothing

    def on_screen_resume(self) -> None:
        """No run is shown."""
        self.app.title = self.app.TITLE or ""

    def _paint(self) -> None:
        self.refresh()
        self.call_after_refresh(self._fill)

    async def _fill(self) -> None:
        """Form, list and keys; those begin at the start button: enter starts the default run."""
        from shakegpt_tui.screens.run_list import RunList
        from shakegpt_tui.widgets.footer import FittingFooter
        from shakegpt_tui.widgets.start_form import StartForm

        form = StartForm(self.base, self.filled_form, classes="pane form")
        listed = RunList(self.base, self.order, classes="pane list")
        form.border_title, listed.border_title = "New run", "Runs"
        with self.app.batch_update():
            await self.query(".empty").remove()
            if self.is_attached:  # not closed meanwhile
                await self.query_one("#panes", Horizontal).mount(form, listed)
            if self.is_attached:
                await self.mount(FittingFooter(), TooSmall())
        if not self.query("#start"):
            return
        self.filled = True
        self.action_pane(self.pane)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The way to where one is already is not offered; read-only, nothing is started."""
        if getattr(self.app, "read_only", False) and action in ("start", "further", "advise"):
            return False
        if getattr(self.app, "read_only", False) and (action, *parameters) == ("pane", "form"):
            return False
        return action != "pane" or not self.has_class(f"-{parameters[0]}")

    def action_pane(self, name: Pane) -> None:
        """Show the form or the list, and focus it; before they are there, when they are."""
        self.pane = name
        self.set_class(name == "form", "-form")
        self.set_class(name == "runs", "-runs")
        if self.filled:
            from shakegpt_tui.screens.run_list import RunList

            self.set_focus(
                self.query_one("#start") if name == "form" else self.query_one(RunList).front
            )
        self.refresh_bindings()

    def action_further(self) -> None:
        """Show all settings of the form, or the few again."""
        self._with_form(lambda form: form.toggle_all())

    def action_start(self) -> None:
        """Start the run on the form, or show what is wrong there."""
        self._with_form(lambda form: form.start())

    def action_advise(self) -> None:
        """Find settings for the text and model on the form; while that goes on, give up."""
        self._with_form(lambda form: form.advise())

    def _with_form(self, do: Callable[[StartForm], None]) -> None:
        from shakegpt_tui.widgets.start_form import StartForm

        if self.filled:
            if not self.has_class("-form"):
                self.action_pane("form")
            do(self.query_one(StartForm))

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Show the pane that has the focus, be it by mouse or tab."""
        panes = {"form", "list"} & {c for node in event.widget.ancestors for c in node.classes}
        if event.widget is self.focused and panes:
            self.set_class("form" in panes, "-form")
            self.set_class("list" in panes, "-runs")
            self.refresh_bindings()

    def on_start_form_start(self, event: StartForm.Start) -> None:
        """Return what to start."""
        self.filled_form = event.filled
        self.dismiss(("start", event.arguments))

    def on_run_list_open(self, event: RunList.Open) -> None:
        """Return which run to open, or to play again."""
        self.dismiss(("replay" if event.replay else "open", event.path))
