"""A run on a stage: digits, curves and samples that the back of the room can read, nothing else."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from shakegpt import format
from shakegpt.runlog.history import SampleView
from shakegpt.sanitize import printable
from shakegpt_tui.run import curves
from shakegpt_tui.run.facts import Facts
from shakegpt_tui.screens.base_screen import BaseScreen
from shakegpt_tui.screens.run_base import RunBase
from shakegpt_tui.widgets.large_text import LargeText, Part
from shakegpt_tui.widgets.sparkline import BoldCurves
from shakegpt_tui.widgets.too_small import TooSmall


class PresenterScreen(BaseScreen[None]):
    """Shows what the run screen under it shows, which goes on reading and driving."""

    AUTO_FOCUS = None
    DEFAULT_CSS = """
    PresenterScreen {
        padding: 0 2;
        #losses { height: auto; }
        #bold-curves { height: 2fr; margin: 1 0; }
        #texts { height: 3fr; }
        .text { width: 1fr; height: 1fr; }
        #before { margin-right: 3; }
        &.-short #bold-curves, &.-low #bold-curves { height: 1fr; margin: 0 0 1 0; }
        &.-only #before { display: none; }
        &.-narrow, &.-slim {
            .text { display: none; }
            &.-earlier #before, &.-later #after { display: block; }
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f,escape,q", "dismiss", "Close", tooltip="Back to the run screen"),
        # The run screen's own keys that a demonstration needs.
        Binding("space", "drive('hold')", "Hold", tooltip="Replay: hold, go on"),
        Binding("plus", "drive('faster')", "Faster", tooltip="Replay: double the speed"),
        Binding("minus", "drive('slower')", "Slower", tooltip="Replay: halve the speed"),
        Binding(
            "left_square_bracket",
            "drive('jump', -1)",
            "Back",
            key_display="[",
            tooltip="Replay: back by an iteration",
        ),
        Binding(
            "right_square_bracket",
            "drive('jump', 1)",
            "On",
            key_display="]",
            tooltip="Replay: on by an iteration",
        ),
        Binding("b", "other", "Before", tooltip="Where there is room for one sample: the other"),
        Binding("s", "drive('sample')", "Sample", tooltip="Draw a sample now"),
    ]

    def __init__(self, run: RunBase) -> None:
        super().__init__(classes="-later")
        self._run_screen = run

    def compose(self) -> ComposeResult:
        yield LargeText(id="losses")
        yield BoldCurves(id="bold-curves")
        with Horizontal(id="texts"):
            yield LargeText(id="before", running=True)
            yield LargeText(id="after", running=True)
        yield TooSmall("the run goes on")

    def on_mount(self) -> None:
        self.refresh_history()

    def refresh_history(self) -> None:
        """Show what came since; costs little when nothing did."""
        if not self.query(BoldCurves):  # not composed yet
            return
        screen = self._run_screen
        history, now = screen.history, screen.facts()
        self.query_one("#losses", LargeText).say(*_losses(now))
        self.query_one(BoldCurves).show(curves.of_history(history), history.max_iters)
        shown = screen.browser.sample
        partner = screen.browser.partner()
        self.set_class(partner is None, "-only")
        pair = sorted(filter(None, (partner, shown)), key=lambda view: view.start.iteration)
        for name, view in zip(("after", "before"), reversed(pair), strict=False):
            self.query_one(f"#{name}", LargeText).say(_sample(view), tail=view.end is None)

    def action_other(self) -> None:
        self.toggle_class("-earlier", "-later")

    async def action_drive(self, action: str, *values: int) -> None:
        """What that key does on the run screen, if it does anything now."""
        if self._run_screen.check_action(action, values):
            await self._run_screen.run_action(f"{action}({', '.join(map(str, values))})")


def _losses(now: Facts) -> list[list[Part]]:
    """How far the run is and what it has reached, from the most to the least that may fit."""
    iteration = Part(f"{now.iteration}/{now.max_iters}")
    if now.val_loss is None:
        return [[iteration]]
    val = Part(f"val {now.val_loss:.2f}", "val")
    train = Part(f"  train {format.loss(now.loss, 2)}", "train")
    came = [Part(f"{now.first_val:.2f} → {now.val_loss:.2f}", "val")] if now.first_val else [val]
    long = [Part("val ", "val"), *came] if now.first_val else came
    gap = Part("   ")
    return [[iteration, gap, *long, train], [iteration, gap, *came], came, [val]]


def _sample(view: SampleView) -> list[Part]:
    return [
        Part(f"iteration {view.start.iteration}", "quiet"),
        Part(printable(view.start.prompt), "prompt"),
        Part(printable(view.text)),
    ]
