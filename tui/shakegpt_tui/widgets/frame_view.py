"""A widget that shows a plot frame: roles to styles, rows to strips, and no more work than needed.

A frame is drawn when something asks for its rows, so one that is hidden costs nothing; new data
redraws it at most `RATE` times a second, however often it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from time import monotonic
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from shakegpt_tui.plot.frame import Curve, Frame
from shakegpt_tui.plot.raster import ASCII, Symbols

RATE = 4.0
"""Redraws a second for new data; keys and pointer are answered at once."""
RUN_COLOURS = 5
"""How many runs laid over each other have a colour of their own."""
DASHES = {"raw": 1, "val": 4, "run1": 2, "run2": 6, "run3": 9, "run4": 3, "run5": 12}
"""Role -> length of its dashes in dots, where there is no colour; other lines are solid."""


def _stretches(roles: list[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of the longest runs of one role; ten thousand cells a picture pass here."""
    start = 0
    for end, (role, following) in enumerate(pairwise(roles), start=1):
        if role != following:
            yield start, end
            start = end
    if roles:
        yield start, len(roles)


class FrameView(Widget):
    """Base of the widgets that draw curves; they provide `draw_frame`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"frame--{role}" for role in ("raw", "train", "val", "axis", "tick", "grid", "cursor")),
        *(f"frame--run{k}" for k in range(1, RUN_COLOURS + 1)),
        *(f"frame--{role}" for role in ("note", "mark", "gap")),
    }
    # Run colours: Okabe and Ito's hues and a grey that the colour blind tell from the pink.
    DEFAULT_CSS = """
    FrameView {
        & > .frame--raw { color: $secondary 45%; }
        & > .frame--train { color: $secondary; text-style: bold; }
        & > .frame--val { color: $primary; text-style: bold; }
        & > .frame--axis { color: $foreground 45%; }
        & > .frame--tick { color: $foreground 75%; }
        & > .frame--grid { color: $foreground 16%; }
        & > .frame--cursor { color: $foreground 70%; }
        & > .frame--note { color: $foreground 60%; }
        & > .frame--mark { color: $accent; }
        & > .frame--gap { color: $error; text-style: bold; }
        & > .frame--run1 { color: #009e73; }
        & > .frame--run2 { color: #cc79a7; }
        & > .frame--run3 { color: #d55e00; }
        & > .frame--run4 { color: #8f7fe0; }
        & > .frame--run5 { color: #6f6f6f; }
        &:ansi {
            & > .frame--raw { color: ansi_cyan; text-style: dim; }
            & > .frame--axis, & > .frame--tick { color: ansi_default; }
            & > .frame--grid { color: ansi_bright_black; }
            & > .frame--note { color: ansi_default; text-style: dim; }
            & > .frame--run1 { color: ansi_green; }
            & > .frame--run2 { color: ansi_magenta; }
            & > .frame--run3 { color: ansi_red; }
            & > .frame--run4 { color: ansi_bright_blue; }
            & > .frame--run5 { color: ansi_bright_black; }
        }
        &:nocolor {
            & > .frame--grid, & > .frame--axis, & > .frame--tick { text-style: dim; }
            & > .frame--raw, & > .frame--note { text-style: dim; }
        }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._frame: Frame | None = None
        self._strips: list[Strip] = []
        self._drawn_at = 0.0
        self._later: Timer | None = None

    def draw_frame(self, width: int, height: int) -> Frame:
        """The picture in that many cells; called only when it is dirty and about to be seen."""
        raise NotImplementedError

    def drawable(self, symbols: Symbols) -> Symbols:
        """`symbols`, or ASCII on a terminal that has no others."""
        return ASCII if getattr(self.app, "ascii_only", False) else symbols

    def distinct(self, curve: Curve) -> Curve:
        """`curve` in a pattern of its own where no colour tells it from the others."""
        return replace(curve, dash=DASHES.get(curve.role, 0)) if self.app.no_color else curve

    def finish(self, frame: Frame) -> Frame:
        """`frame` with what goes on top and moves often: a cursor."""
        return frame

    @property
    def frame(self) -> Frame:
        """The picture as it stands, drawn now if need be."""
        if self._frame is None:
            self._frame = self.draw_frame(*self.size)
            self._drawn_at = monotonic()
        return self._frame

    def redraw(self) -> None:
        """Draw anew, now: a person did something."""
        self._frame = None
        self.repaint()

    def repaint(self) -> None:
        """Put the cursor elsewhere on the same picture."""
        self._strips = []
        self.refresh()

    def redraw_soon(self) -> None:
        """Draw anew with the next data, within 1 / `RATE` seconds."""
        wait = self._drawn_at + 1 / RATE - monotonic()
        if wait <= 0:
            self.redraw()
        elif self._later is None:
            self._later = self.set_timer(wait, self._on_time)

    def _on_time(self) -> None:
        self._later = None
        self.redraw()

    def render_line(self, y: int) -> Strip:
        if not self._strips:
            self._strips = self._to_strips(self.finish(self.frame))
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.visual_style.rich_style)

    def _to_strips(self, frame: Frame) -> list[Strip]:
        ground = self.visual_style.rich_style
        styles: dict[str, Style] = {"": ground}
        for role in {role for roles in frame.roles for role in set(roles)} - {""}:
            styles[role] = ground + self.get_component_rich_style(f"frame--{role}")
        strips = []
        for chars, roles in zip(frame.chars, frame.roles, strict=True):
            segments = [
                Segment("".join(chars[start:end]), styles[roles[start]])
                for start, end in _stretches(roles)
            ]
            strips.append(Strip(segments, len(chars)))
        return strips

    def notify_style_update(self) -> None:
        """A theme or a pseudo class changed: the picture stays, its colours do not."""
        super().notify_style_update()
        self._strips = []

    def on_resize(self) -> None:
        self.redraw()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A picture has no height of its own: a few rows, where the stylesheet says `auto`."""
        return 6
