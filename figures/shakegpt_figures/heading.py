"""The top of every figure: its claim in one line, and under it what it was measured on."""

from __future__ import annotations

from matplotlib.axes import Axes

from shakegpt_figures.glyphs import drawable
from shakegpt_figures.style import LABEL, MARGIN, SMALL, TITLE, WIDTH, fitting, shrunk, width, write

ROOM = WIDTH - 2 * MARGIN
LEAST = 40
"""A longer title is set smaller down to this size, px, and cut after that."""


def heading(page: Axes, title: str, below: str) -> None:
    """Write both; names in them come from a log, so they are made safe to draw."""
    title, below = drawable(title, "title"), drawable(below)
    while width(below, SMALL + 2) > ROOM and " · " in below:
        below = below.rpartition(" · ")[0]  # the least important is said last
    size = shrunk(title, ROOM, TITLE, "title", least=LEAST)
    write(page, MARGIN, 108, fitting(title, ROOM, size, "title"), size, face="title", gid="title")
    write(page, MARGIN, 184, fitting(below, ROOM, SMALL + 2), SMALL + 2, LABEL, gid="below")
