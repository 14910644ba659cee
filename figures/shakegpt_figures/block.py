"""One block of the model, opened: attention with the tokens that it looks at, and the MLP."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import SampleView
from shakegpt.runlog.metrics import Parameters
from shakegpt_figures.attention import middle_block, triangle
from shakegpt_figures.glyphs import token
from shakegpt_figures.numbers import count
from shakegpt_figures.style import (
    BACKGROUND,
    BODY,
    CYAN,
    GREEN,
    INK,
    LABEL,
    MARGIN,
    PANEL,
    SMALL,
    WIDTH,
    arrow,
    box,
    width,
    write,
)

BLOCK = (860, WIDTH - MARGIN)
"""Left and right edge of the opened block, px."""
PANEL_TOP, PANEL_BOTTOM = 232, 1028
"""Of the opened block, px."""
STREAM = BLOCK[0] + 56
"""Where the residual stream runs in the opened block, px."""
ROWS = (STREAM + 84, BLOCK[1] - 30)
"""Left and right edge of the block's rows, px."""
MASKED = 6
"""Tokens of the triangle of attention."""


@dataclass(frozen=True)
class Part:
    """A box: what it is, its shape, how many parameters it has, its accent."""

    name: str
    shape: str
    count: int
    colour: str


def opened(page: Axes, model: ev.Model, part: Parameters, sample: SampleView | None) -> None:
    """One block: two branches that read the stream and are added back to it."""
    C, wide = model.n_embd, model.n_embd // model.n_head
    box(page, BLOCK[0], PANEL_TOP, BLOCK[1], PANEL_BOTTOM, fc=PANEL, ec=CYAN)
    write(page, ROWS[0], PANEL_TOP + 38, "one block", BODY, CYAN, "bold")
    write(page, ROWS[1], PANEL_TOP + 38, f"{part.block:,}", BODY, CYAN, "bold", ha="right")
    page.plot((STREAM, STREAM), (PANEL_TOP + 14, PANEL_BOTTOM - 14), color=INK, lw=9)

    top = PANEL_TOP + 84.0
    triangle = 270.0
    right = ROWS[1] - triangle - 26
    attention = (
        Part("layer norm", f"2 × {C:,}", part.ln_1, CYAN),
        Part("query, key, value", f"{C:,} × {3 * C:,} + {3 * C:,}", part.c_attn, CYAN),
        Part(count(model.n_head, "head"), f"{wide:,} wide", 0, CYAN),
        Part("project", f"{C:,} × {C:,} + {C:,}", part.attn_proj, CYAN),
    )
    for n, row in enumerate(attention):
        _row(page, top + n * 88, ROWS[0], right, row)
    if sample is not None and sample.inspection is not None and sample.inspection.attention:
        _attention(page, ROWS[1] - triangle, top, triangle, sample.inspection)
    else:
        _triangle(page, ROWS[1] - triangle, top, triangle, sample)
    _branch(page, top + 38, top + 3 * 88 + 38, CYAN)

    top = PANEL_TOP + 466.0
    inset = 150.0
    mlp = (
        Part("layer norm", f"2 × {C:,}", part.ln_2, GREEN),
        Part("widen, then GELU", f"{C:,} × {4 * C:,} + {4 * C:,}", part.c_fc, GREEN),
        Part("narrow", f"{4 * C:,} × {C:,} + {C:,}", part.mlp_proj, GREEN),
    )
    _row(page, top, ROWS[0], ROWS[1] - 2 * inset, mlp[0])
    begin, end, edge = top + 92, top + 284, ROWS[1] - 2 * inset
    corners = [(ROWS[0], begin), (edge, begin), (ROWS[1], begin + 62), (ROWS[1], end - 62)]
    corners += [(edge, end), (ROWS[0], end)]
    page.add_patch(Polygon(corners, fc=BACKGROUND, ec=GREEN, lw=3, joinstyle="round"))
    page.plot((ROWS[0], ROWS[1]), ((begin + end) / 2,) * 2, color=GREEN, lw=3)
    for y, row in ((begin, mlp[1]), ((begin + end) / 2, mlp[2])):
        _texts(page, y, 96, ROWS[0], edge, row)
    for y, text in ((begin + 72, "4 times wider"), (end - 72, "and back")):
        write(page, edge + 24, y, text, SMALL, GREEN)
    _branch(page, top + 38, end - 48, GREEN)


def _row(page: Axes, top: float, left: float, right: float, part: Part) -> None:
    box(page, left, top, right, top + 76, fc=BACKGROUND, ec=part.colour)
    _texts(page, top, 76, left, right, part)


def _texts(page: Axes, top: float, tall: float, left: float, right: float, part: Part) -> None:
    """Name and shape, one over the other, and the count."""
    middle = top + tall / 2
    write(page, left + 20, middle - 21, part.name, SMALL, INK, "bold")
    write(page, left + 20, middle + 13, part.shape, SMALL, LABEL)
    write(page, right - 18, middle - 21, f"{part.count:,}", SMALL, part.colour, ha="right")


def _attention(page: Axes, left: float, top: float, size: float, record: ev.Inspection) -> None:
    """What the recorded tokens looked at; beyond the diagonal stands the row's token."""
    begin = len(record.context) - len(record.drawn)  # the last token of the prompt
    count = min(MASKED, len(record.drawn))
    cell = size / (count + 2)
    triangle(page, record, (left, top), (cell, cell), count, begin)
    for row in range(count):
        x = left + (row + 1) * cell + 8
        shown, face = token(record.context[begin + row][1], max(left + size - x, cell), SMALL)
        write(page, x, top + (row + 0.5) * cell, shown, SMALL, INK, face)
    middle = left + size / 2
    where = f"at in block {middle_block(record) + 1}"
    write(page, middle, top + size + 30, "what tokens looked", SMALL, LABEL, ha="center")
    write(page, middle, top + size + 66, where, SMALL, LABEL, ha="center")


def _triangle(page: Axes, left: float, top: float, size: float, sample: SampleView | None) -> None:
    """Which tokens each token may look at: itself and those before it."""
    texts = [text for _, text in sample.start.prompt_tokens][:MASKED] if sample else []
    count = len(texts) if len(texts) > 1 else MASKED
    cell = size / count
    for row in range(count):
        for column in range(count):
            corner = (left + column * cell + 2, top + row * cell + 2)
            fill = CYAN if column <= row else BACKGROUND
            page.add_patch(Rectangle(corner, cell - 4, cell - 4, fc=fill, ec="none"))
        if len(texts) == count:
            shown, face = token(texts[row], cell - 6, SMALL)
            if width(shown, SMALL, face) < cell - 4:
                x, y = left + (row + 0.5) * cell, top + (row + 0.5) * cell
                write(page, x, y, shown, SMALL, BACKGROUND, face, ha="center")
    middle = left + size / 2
    write(page, middle, top + size + 30, "a token looks at itself", SMALL, LABEL, ha="center")
    write(page, middle, top + size + 66, "and at those before", SMALL, LABEL, ha="center")


def _branch(page: Axes, begin: float, end: float, colour: str) -> None:
    """From the stream into a branch and from its end back, where it is added."""
    arrow(page, (STREAM + 4, begin), (ROWS[0], begin), color=colour)
    arrow(page, (ROWS[0], end), (STREAM + 25, end), color=colour)
    page.plot(STREAM, end, "o", ms=42, mfc=BACKGROUND, mec=colour, mew=4)
    page.plot(STREAM, end, "+", ms=24, mec=INK, mew=5)
