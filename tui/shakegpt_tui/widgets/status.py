"""The top of the run screen: state, progress, numbers to read from afar, small print."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Digits

from shakegpt import format
from shakegpt.runlog.status import RunState
from shakegpt_tui.run.facts import Facts, details, headline, trend
from shakegpt_tui.widgets.quiet import Quiet

CHIPS: dict[RunState, str] = {
    RunState.STARTING: "secondary",
    RunState.TRAINING: "success",
    RunState.PAUSED: "warning",
    RunState.STALLED: "warning",
    RunState.CRASHED: "error",
    RunState.FINISHED: "primary",
    RunState.STOPPED: "secondary",
    RunState.FAILED: "error",
}
"""Which colour of the theme a state has; the state's word stands in it as well."""

GAP = "  "
"""Between two facts of the small print."""


class BigNumber(Vertical):
    """A number in digits three rows high under a small label."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, classes="big-number")
        self._value = ""

    def compose(self) -> ComposeResult:
        yield Quiet(classes="big-label")
        yield Digits("")

    def show(self, label: Content, value: str) -> None:
        """Show `value`; digits that stay the same are not painted again."""
        self.query_one(Quiet).say(label)
        value = value.replace(format.NOTHING, "-")  # among the digits there is no other dash
        if value != self._value:
            self._value = value
            self.query_one(Digits).update(value)


class ProgressLine(Widget):
    """One row, filled as far as the run is; moves with every micro-step."""

    DEFAULT_CSS = "ProgressLine { height: 1; }"
    fraction: reactive[float] = reactive(0.0)

    def render(self) -> Content:
        """Half a cell is the finest step."""
        halves = round(self.fraction * self.size.width * 2)
        filled = "━" * (halves // 2) + "╸" * (halves % 2)
        rest = "─" * (self.size.width - len(filled))
        return Content.assemble((filled, "$primary"), (rest, "$rule"))

    def validate_fraction(self, fraction: float) -> float:
        """Only changes that can be seen repaint: a half cell is more than a thousandth."""
        return round(fraction, 3)


class Status(Vertical):
    """All facts of a run; which of them are seen is the stylesheet's choice by size."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="head"):
            yield Quiet(id="chip")
            yield Quiet(id="headline")
            yield Quiet(id="subject")
        yield ProgressLine(id="progress")
        with Horizontal(id="numbers"):
            for name in ("iteration", "val", "train", "left"):
                yield BigNumber(f"big-{name}")
        yield Quiet(id="brief")
        yield Quiet(id="details")

    def show(self, facts: Facts, name: str) -> None:
        """Say what `facts` say of the run with this name."""
        chip, colour = self.query_one("#chip", Quiet), CHIPS[facts.state]
        _say_as_wide(chip, Content.styled(f" {facts.word.upper()} ", f"bold reverse ${colour}"))
        where = Content.styled(headline(facts), "bold")
        _say_as_wide(self.query_one("#headline", Quiet), where)
        subject = " · ".join(filter(None, (name, facts.model, facts.dataset, facts.device)))
        self.query_one("#subject", Quiet).say(Content.styled(subject, "$quiet"))
        self.query_one(ProgressLine).fraction = facts.fraction
        self._show_numbers(facts)
        self.query_one("#brief", Quiet).say(brief(facts))
        self.query_one("#details", Quiet).say(small_print(facts))

    def _show_numbers(self, facts: Facts) -> None:
        iteration = f"iteration of {facts.max_iters}" if facts.max_iters else "iteration"
        ended = facts.took is not None
        numbers = {
            "iteration": ((iteration, "$quiet"), str(facts.iteration)),
            "val": (("● val loss ", "$primary"), format.loss(facts.val_loss, 3)),
            "train": (("● train loss", "$secondary"), format.loss(facts.loss, 3)),
            "left": (
                ("time taken" if ended else "time left", "$quiet"),
                format.clock(facts.took if ended else facts.eta),
            ),
        }
        for name, (label, value) in numbers.items():
            rest = trend(facts) if name == "val" else ""
            text = Content.assemble(label, (rest, "$quiet"))
            self.query_one(f"#big-{name}", BigNumber).show(text, value)


def _say_as_wide(line: Quiet, content: Content) -> None:
    """Say it on a line that is as wide as its text: an equally wide one needs no new layout.

    A layout of the screen costs as much as all that a micro-step paints.
    """
    line.say(content, layout=content.cell_length != Content(line.said).cell_length)


def brief(facts: Facts) -> Content:
    """The big numbers in one line, for small terminals."""
    pieces: list[tuple[str, str]] = [("val ", "$primary"), (format.loss(facts.val_loss, 3), "bold")]
    if trend(facts):
        pieces.append((f" {trend(facts)}", "$quiet"))
    pieces += [("  train ", "$secondary"), (format.loss(facts.loss, 3), "bold")]
    if facts.eta is not None:
        pieces += [("  left ", "$quiet"), (format.duration(facts.eta), "bold")]
    return Content.assemble(*pieces)


def small_print(facts: Facts) -> Content:
    """Label and value pairs, the most wanted first; what does not fit is cut at the end."""
    pieces: list[tuple[str, str] | str] = []
    for label, value in details(facts):
        pieces += [(f"{label} ".lstrip(), "$quiet"), (value, ""), GAP]
    return Content.assemble(*pieces[:-1])
