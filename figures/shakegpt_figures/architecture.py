"""architecture.svg: the run's own model, its shapes and its parameters, down to the last one.

Left the whole model, top to bottom along the residual stream; right one block, opened: what reads
the stream, in which shape, and where it is added back. Everything comes from the log's header.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import Parameters, parameters
from shakegpt_figures import words
from shakegpt_figures.heading import heading
from shakegpt_figures.style import (
    BACKGROUND,
    BEAM,
    BODY,
    CYAN,
    GREEN,
    INK,
    LABEL,
    PANEL,
    RULE,
    SMALL,
    YELLOW,
    slide,
    talk,
    write,
)

SPINE = 136
"""Where the residual stream runs on the left, px."""
PARTS = (184, 748)
"""Left and right edge of the model's parts, px."""
BLOCK = (812, 1840)
"""Left and right edge of the opened block, px."""
STREAM = 880
"""Where the residual stream runs in the opened block, px."""
ROWS = (1000, 1810)
"""Left and right edge of the block's rows, px."""
ROW, GAP = 74, 14
"""Height of a row and what is between two, px."""
PANEL_TOP, PANEL_BOTTOM = 212, 1044
"""Top and bottom of the opened block, px."""
TIE = 788
"""Where the line runs that ties the head to the token embedding, px."""


@dataclass(frozen=True)
class Part:
    """A box: what it is, its shape, how many parameters it has, its accent."""

    name: str
    shape: str
    count: str
    colour: str


def draw(histories: Sequence[History]) -> Figure:
    """The model of the first run.

    Raises ShakegptError when its shapes do not add up to the parameters that the log counts.
    """
    model = words.header(histories[0]).model
    part = parameters(model)
    if part.total != model.n_params:
        raise ShakegptError(
            f"architecture.svg cannot be drawn: a GPT-2 of the shapes in this log has "
            f"{part.total:,} parameters and the log counts {model.n_params:,}"
        )
    with talk():
        figure, page = slide()
        heading(page, words.architecture_title(model), _sum(part))
        stack = _model(page, model, part)
        _zoom(page, stack)
        _block(page, model, part)
    return figure


def _sum(part: Parameters) -> str:
    """The parts, adding up to the total."""
    return (
        f"embedding {part.wte:,} + positions {part.wpe:,} + {part.n_layer} × block {part.block:,} "
        f"+ norm {part.ln_f:,} = {part.total:,}"
    )


def _box(page: Axes, left: float, top: float, right: float, bottom: float, **look: object) -> None:
    style = {"boxstyle": "round,pad=0,rounding_size=14", "lw": 3, **look}
    page.add_patch(FancyBboxPatch((left, top), right - left, bottom - top, **style))  # type: ignore[arg-type]


def _part(page: Axes, edges: tuple[float, float], top: float, tall: float, part: Part) -> None:
    """A box with its name and shape on the left and its count on the right."""
    left, right = edges
    _box(page, left, top, right, top + tall, fc=BACKGROUND, ec=part.colour)
    middle = top + tall / 2
    write(page, left + 24, middle - 22, part.name, SMALL + 2, INK, "bold")
    write(page, left + 24, middle + 20, part.shape, SMALL, LABEL)
    write(page, right - 24, middle, part.count, SMALL + 2, part.colour, ha="right")


def _arrow(
    page: Axes, begin: tuple[float, float], end: tuple[float, float], **look: object
) -> None:
    style = {"arrowstyle": "-|>,head_length=13,head_width=8", "mutation_scale": 1, "lw": 4}
    style |= {"color": RULE, "shrinkA": 0, "shrinkB": 0, **look}
    page.add_patch(FancyArrowPatch(begin, end, **style))  # type: ignore[arg-type]


def _model(page: Axes, model: ev.Model, part: Parameters) -> tuple[float, float]:
    """The whole model along its stream; returns top and bottom of the stack of blocks."""
    C, T, V = model.n_embd, model.block_size, model.vocab_size
    left, right = PARTS
    tall = 100
    page.plot((SPINE, SPINE), (268, 770), color=INK, lw=9, gid="stream")
    stream = f"residual stream, {T:,} × {C:,}"
    write(page, SPINE - 44, 520, stream, SMALL, INK, ha="center", va="center", rotation=90)
    _arrow(page, (left + 30, 212), (left + 30, 266), color=RULE)
    write(page, left + 58, 234, f"up to {T:,} tokens", SMALL, LABEL)
    _part(
        page, PARTS, 268, tall, Part("token embedding", f"{V:,} × {C:,}", f"{part.wte:,}", YELLOW)
    )
    _part(page, PARTS, 386, tall, Part("+ positions", f"{T:,} × {C:,}", f"{part.wpe:,}", YELLOW))
    for top in (268, 386):
        _arrow(page, (left, top + tall / 2), (SPINE + 4, top + tall / 2), color=YELLOW)
    stack = (526.0, 682.0)
    for depth in (24, 12):
        _box(
            page, left + depth, stack[0] - depth, right + depth, stack[1] - depth, fc=PANEL, ec=CYAN
        )
    _box(page, left, stack[0], right, stack[1], fc=PANEL, ec=CYAN)
    middle = sum(stack) / 2
    _arrow(page, (SPINE + 4, middle - 38), (left, middle - 38), color=CYAN)
    _arrow(page, (left, middle + 38), (SPINE + 4, middle + 38), color=CYAN)
    write(page, left + 24, middle, f"{model.n_layer} ×", 62, CYAN, "bold")
    write(page, right - 24, middle - 24, f"{part.blocks:,}", SMALL + 2, CYAN, ha="right")
    share = f"{100 * part.blocks / part.total:.0f}% of all"
    write(page, right - 24, middle + 24, share, SMALL, LABEL, ha="right")
    norm = Part("layer norm", f"2 × {C:,}", f"{part.ln_f:,}", INK)
    _arrow(page, (SPINE, 770), (left, 770), color=INK)
    page.plot((sum(PARTS) / 2, sum(PARTS) / 2), (820, 838), color=RULE, lw=4)
    _part(page, PARTS, 720, tall, norm)
    _part(page, PARTS, 838, tall, Part("head", "the token embedding again", "+ 0", YELLOW))
    page.plot((right, TIE, TIE, right), (318, 318, 888, 888), "--", color=YELLOW, lw=3, gid="tied")
    _arrow(page, (left + 30, 940), (left + 30, 994), color=RULE)
    write(page, left + 58, 970, f"a score for each of {V:,} tokens", SMALL, LABEL)
    return stack


def _zoom(page: Axes, stack: tuple[float, float]) -> None:
    """From the stack to the block that stands for all of them: a beam, so that it hides nothing."""
    top, bottom = stack
    corners = [(PARTS[1], top), (BLOCK[0], PANEL_TOP + 14), (BLOCK[0], PANEL_BOTTOM - 14)]
    page.add_patch(Polygon([*corners, (PARTS[1], bottom)], fc=BEAM, ec="none", zorder=0.5))


def _block(page: Axes, model: ev.Model, part: Parameters) -> None:
    """One block: two branches that read the stream and are added back to it."""
    C, width = model.n_embd, model.n_embd // model.n_head
    _box(page, BLOCK[0], PANEL_TOP, BLOCK[1], PANEL_BOTTOM, fc=PANEL, ec=CYAN)
    write(page, ROWS[0], PANEL_TOP + 40, "one block", BODY, CYAN, "bold")
    write(page, ROWS[1] - 24, PANEL_TOP + 40, f"{part.block:,}", BODY, CYAN, "bold", ha="right")
    page.plot((STREAM, STREAM), (PANEL_TOP + 16, PANEL_BOTTOM - 16), color=INK, lw=9)
    attention = (
        Part("layer norm", f"2 × {C:,}", f"{part.ln_1:,}", CYAN),
        Part("query, key, value", f"{C:,} × {3 * C:,}", f"{part.c_attn:,}", CYAN),
        Part(words.count(model.n_head, "head"), f"{width:,} wide each", "0", CYAN),
        Part("project", f"{C:,} × {C:,}", f"{part.attn_proj:,}", CYAN),
    )
    mlp = (
        Part("layer norm", f"2 × {C:,}", f"{part.ln_2:,}", GREEN),
        Part("widen", f"{C:,} × {4 * C:,}", f"{part.c_fc:,}", GREEN),
        Part("GELU", f"{4 * C:,} wide", "0", GREEN),
        Part("narrow", f"{4 * C:,} × {C:,}", f"{part.mlp_proj:,}", GREEN),
    )
    _branch(page, PANEL_TOP + 82, "attention", attention)
    _branch(page, PANEL_TOP + 458, "MLP", mlp)


def _branch(page: Axes, top: float, name: str, rows: Sequence[Part]) -> None:
    """Rows of a branch, an arrow from the stream to the first, one from the last to its plus."""
    colour = rows[0].colour
    middles = [top + ROW / 2 + k * (ROW + GAP) for k in range(len(rows))]
    for middle, row in zip(middles, rows, strict=True):
        _box(page, ROWS[0], middle - ROW / 2, ROWS[1], middle + ROW / 2, fc=BACKGROUND, ec=colour)
        write(page, ROWS[0] + 24, middle, row.name, SMALL + 2, INK, "bold")
        write(page, ROWS[1] - 226, middle, row.shape, SMALL, LABEL, ha="right")
        write(page, ROWS[1] - 24, middle, row.count, SMALL + 2, colour, ha="right")
    centre = sum(ROWS) / 2
    for above, below in pairwise(middles):
        page.plot((centre, centre), (above + ROW / 2, below - ROW / 2), color=RULE, lw=4)
    _arrow(page, (STREAM + 4, middles[0]), (ROWS[0], middles[0]), color=colour)
    _arrow(page, (ROWS[0], middles[-1]), (STREAM + 27, middles[-1]), color=colour)
    _plus(page, middles[-1], colour)
    between = (STREAM + ROWS[0]) / 2 + 4
    write(
        page, between, sum(middles) / 4, name, SMALL, colour, ha="center", va="center", rotation=90
    )


def _plus(page: Axes, y: float, colour: str) -> None:
    """Where a branch is added to the stream."""
    page.plot(STREAM, y, "o", ms=46, mfc=BACKGROUND, mec=colour, mew=4)
    page.plot(STREAM, y, "+", ms=26, mec=INK, mew=5)
