"""The column of numbers right of a plot: each at its curve's height, none upon another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from matplotlib.axes import Axes

from shakegpt_figures import style
from shakegpt_figures.curves import BOTTOM, RIGHT, TOP
from shakegpt_figures.style import LABEL, MARGIN, RULE, SMALL, WIDTH, fitting, shrunk, write

GUTTER = RIGHT + 44
"""Where the lines from the curves end, px."""
TEXT = GUTTER + 56
"""Where the numbers begin, px."""
ROOM = WIDTH - MARGIN + 60 - TEXT
"""How wide they may be, px."""


@dataclass(frozen=True)
class Tag:
    """A number, a small line under it (or none), the height of what it belongs to, its looks."""

    text: str
    note: str
    level: float
    colour: str
    size: float

    @property
    def tall(self) -> float:
        """Height of both lines with air around them, px."""
        return self.size * 1.18 + (SMALL * 1.5 if self.note else 0)


def place(page: Axes, tags: Sequence[Tag]) -> None:
    """Write the tags as near to their heights as they can stand, in that order."""
    tags = sorted(tags, key=lambda tag: tag.level)
    heights = [tag.tall for tag in tags]
    wanted = (tag.level + tag.tall / 2 - tag.size * 0.59 for tag in tags)
    levels = list(accumulate(wanted, max))  # none passes the one above it
    for tag, centre in zip(tags, spread(levels, heights, TOP - 60, BOTTOM + 90), strict=True):
        size = shrunk(tag.text, ROOM, tag.size, "bold")
        top = centre - tag.tall / 2
        middle = top + tag.size * 0.59
        write(page, TEXT, middle, fitting(tag.text, ROOM, size, "bold"), size, tag.colour, "bold")
        if tag.note:
            note = fitting(tag.note, ROOM, SMALL)
            write(page, TEXT, top + tag.size * 1.18 + SMALL * 0.6, note, SMALL, LABEL)
            page.plot((GUTTER, TEXT - 12), (tag.level, middle), ":", color=RULE, lw=3, zorder=1)


def arrow(page: Axes, begin: float, end: float, colour: str) -> None:
    """From the height of the start to that of the end; none where they all but touch."""
    if abs(end - begin) > 24:
        look = {"arrowstyle": "-|>,head_length=14,head_width=9", "lw": 5, "shrinkB": 2}
        style.arrow(page, (GUTTER, begin), (GUTTER, end), color=colour, **look)


def spread(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Centres near `wanted`, in its order from low to high, so that `heights` do not overlap.

    All lie between `low` and `high` when there is room for them.

    >>> spread([10, 12, 90], [20, 20, 20], 0, 100)
    [10.0, 30.0, 90.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    centres = [0.0] * len(wanted)
    edge = low
    for i in order:  # down: each begins where the one before ends
        centres[i] = max(float(wanted[i]), edge + heights[i] / 2)
        edge = centres[i] + heights[i] / 2
    edge = high
    for i in reversed(order):  # and back up from the end, where that pushed some out
        centres[i] = min(centres[i], edge - heights[i] / 2)
        edge = centres[i] - heights[i] / 2
    return centres
