"""A plot as characters: what is drawn, and the cells it is drawn into.

A frame knows nothing of colours: each cell has a character and a role ("val", "axis", …), which a
widget turns into a style.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from shakegpt_tui.plot.raster import BRAILLE, Symbols
from shakegpt_tui.plot.series import SMALLEST, Extent, Series


@dataclass(frozen=True)
class Curve:
    """A series to draw, the role its cells get, and the label at its end ("" for none)."""

    series: Series
    role: str
    label: str = ""
    points: bool = False
    """Whether each point is marked, besides the line."""
    dash: int = 0
    """Dots of a dash and of the gap after it; 0 for a solid line."""
    thick: bool = False
    """Two dots wide, to be seen from afar."""
    behind: bool = False
    """Covered by the other curves, instead of sharing the cells where they cross."""


@dataclass(frozen=True)
class Mark:
    """A place on the x axis where something happened; with a `text`, a line goes up to it."""

    x: float
    role: str = "mark"
    text: str = ""


@dataclass(frozen=True)
class Look:
    """How to draw: the symbols, whether y is logarithmic, whether there are axes."""

    symbols: Symbols = BRAILLE
    log: bool = False
    axes: bool = True
    compact: bool = False
    """The labels of x stand on the axis itself, which saves a row."""
    x_name: str = ""
    mark_name: str = ""
    """What x and the marks are, written beside the axis where labels stand."""


@dataclass
class Frame:
    """Characters and roles, row by row, and where in them the curves are."""

    chars: list[list[str]]
    roles: list[list[str]]
    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0
    x_range: Extent = (0.0, 1.0)
    y_range: Extent = (0.0, 1.0)
    log: bool = False
    across: int = 1
    down: int = 1
    """Dots of a cell."""

    @classmethod
    def blank(cls, width: int, height: int) -> Frame:
        """Nothing but spaces."""
        chars = [[" "] * width for _ in range(height)]
        roles = [[""] * width for _ in range(height)]
        return cls(chars, roles, width=width, height=height)

    def x_at(self, column: int) -> float:
        """The x under the middle of a column of the frame, clamped to the picture."""
        lo, hi = self.x_range
        share = (column - self.left) / max(self.width - 1, 1)
        return lo + (hi - lo) * min(max(share, 0.0), 1.0)

    def column_of(self, x: float) -> int | None:
        """The column of the frame that shows `x`; None when it is out of view."""
        lo, hi = self.x_range
        if not lo <= x <= hi:
            return None
        dot = round((x - lo) / (hi - lo) * (self.width * self.across - 1))
        return self.left + dot // self.across

    def row_of(self, y: float) -> int | None:
        """The row of the frame that shows `y`; None when it is out of view."""
        share = self.share(y)
        if share is None or not 0 <= share <= 1:
            return None
        return self.top + round((1 - share) * (self.height * self.down - 1)) // self.down

    def share(self, y: float) -> float | None:
        """Where y is in the picture: 0 at the bottom, 1 at the top; None where it cannot be."""
        lo, hi = self.y_range
        if self.log:
            if y < SMALLEST:
                return None
            lo, hi, y = math.log(lo), math.log(hi), math.log(y)
        return min(max((y - lo) / (hi - lo), -9.0), 9.0)  # far outside is outside: dots stay small

    def put(self, column: int, row: int, text: str, role: str) -> None:
        """Write `text` into the frame; what does not fit is cut off."""
        if not 0 <= row < len(self.chars):
            return
        for i, char in enumerate(text, start=column):
            if 0 <= i < len(self.chars[row]):
                self.chars[row][i], self.roles[row][i] = char, role

    def free(self, column: int, row: int, length: int) -> bool:
        """Whether that many cells are in the picture and hold no curve."""
        if not (self.left <= column and column + length <= self.left + self.width):
            return False
        return all(role in ("", "grid") for role in self.roles[row][column : column + length])
