"""What tokens looked at: recorded attention as a triangle of cells, a row for each prediction."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from shakegpt.inspection.measures import block_attention
from shakegpt.runlog.schema import Inspection
from shakegpt_figures.style import BACKGROUND, CYAN

FAINTEST = 0.08
"""Opacity of a cell that got no attention."""


def middle_block(record: Inspection) -> int:
    """The block whose attention is drawn, from 0: the middle one of those recorded."""
    blocks = sorted({one.block for one in record.attention})
    return blocks[len(blocks) // 2]


def triangle(
    page: Axes,
    record: Inspection,
    place: tuple[float, float],
    cell: tuple[float, float],
    rows: int,
    begin: int,
) -> None:
    """The first `rows` rows of `middle_block`, mean over its recorded heads, the strongest full.

    `place` is left and top, `cell` width and height, px; columns begin with token `begin` of the
    context.
    """
    paid = [row[begin:] for row in block_attention(record, middle_block(record))[:rows]]
    most = max(1e-3, *(max(row, default=0) for row in paid))
    wide, tall = cell
    for number, weights in enumerate(paid):
        for column, weight in enumerate(weights):
            corner = (place[0] + column * wide + 2, place[1] + number * tall + 2)
            size = (wide - 4, tall - 4)
            page.add_patch(Rectangle(corner, *size, fc=BACKGROUND, ec="none"))
            alpha = min(1, FAINTEST + (1 - FAINTEST) * weight / most)
            page.add_patch(
                Rectangle(corner, *size, fc=CYAN, ec="none", alpha=alpha, gid="attention")
            )
