"""architecture.svg: the run's own model as one stream, from its tokens in to its next token out.

Left the stream from top to bottom with the shape and count of each part, beside it all parts to
scale; right one block, opened: which tokens attention may look at, and the MLP four times wider.
All of it is from the log: the header's shapes, and the tokens of the sample that the deck shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import Parameters, featured_sample, parameters
from shakegpt_figures import words
from shakegpt_figures.block import BLOCK, PANEL_BOTTOM, PANEL_TOP, Part, opened
from shakegpt_figures.generation import share_text
from shakegpt_figures.glyphs import token
from shakegpt_figures.heading import heading
from shakegpt_figures.numbers import count
from shakegpt_figures.style import (
    BACKGROUND,
    BEAM,
    BODY,
    CYAN,
    INK,
    LABEL,
    MARGIN,
    MUTED,
    PANEL,
    RULE,
    SMALL,
    YELLOW,
    arrow,
    box,
    slide,
    talk,
    width,
    write,
)

SPINE = MARGIN + 14
"""Where the residual stream runs on the left, px."""
PARTS = (180, 640)
"""Left and right edge of the model's parts, px."""
SCALE = (690, 760)
"""Left and right edge of the column that shows the parts to scale, px."""
TOP, BOTTOM = 306, 926
"""Of the model's parts, and of the column to scale, px."""
DISTINCT = 60
"""Blocks that can still be told apart to scale."""


def draw(histories: Sequence[History]) -> Figure:
    """The model of the first run.

    Raises ShakegptError when its shapes do not add up to the parameters that the log counts.
    """
    history = histories[0]
    model = words.header(history).model
    part = parameters(model)
    if part.total != model.n_params:
        raise ShakegptError(
            f"architecture.svg cannot be drawn: a GPT-2 of the shapes in this log has "
            f"{part.total:,} parameters and the log counts {model.n_params:,}"
        )
    sample = featured_sample(history)
    with talk():
        figure, page = slide()
        heading(page, words.architecture_title(model), _sum(part))
        stack = _model(page, model, part)
        _to_scale(page, part)
        _ends(page, model, sample)
        _zoom(page, stack)
        opened(page, model, part, sample)
    return figure


def _sum(part: Parameters) -> str:
    """The parts, adding up to the total."""
    return (
        f"{part.wte:,} embedding + {part.wpe:,} positions + {part.n_layer} × {part.block:,} blocks "
        f"+ {part.ln_f:,} norm" + (f" + {part.head:,} head" if part.head else "")
    )


def _part(page: Axes, top: float, tall: float, part: Part, count: str | None = None) -> None:
    """A part of the model: its name, and under it how its shape makes its count."""
    left, right = PARTS
    box(page, left, top, right, top + tall, fc=BACKGROUND, ec=part.colour)
    middle = top + tall / 2
    write(page, left + 20, middle - 21, part.name, SMALL + 2, INK, "bold")
    write(page, left + 20, middle + 20, part.shape, SMALL, LABEL)
    count = f"{part.count:,}" if count is None else count
    write(page, right - 20, middle + 20, count, SMALL, part.colour, ha="right")


def _model(page: Axes, model: ev.Model, part: Parameters) -> tuple[float, float]:
    """The parts along the stream; returns top and bottom of the stack of blocks."""
    C, T, V = model.n_embd, model.block_size, model.vocab_size
    left, right = PARTS
    arrow(page, (SPINE, TOP - 8), (SPINE, BOTTOM + 26), color=INK, lw=9)
    _part(page, TOP, 96, Part("token embedding", f"{V:,} × {C:,}", part.wte, YELLOW))
    _part(page, TOP + 108, 96, Part("+ positions", f"{T:,} × {C:,}", part.wpe, YELLOW))
    for top in (TOP, TOP + 108):
        arrow(page, (left, top + 48), (SPINE + 6, top + 48), color=YELLOW)
    stack = (TOP + 240.0, TOP + 384.0)
    for depth in (20, 10):
        corner = (left + depth, stack[0] - depth)
        box(page, *corner, right + depth, stack[1] - depth, fc=PANEL, ec=CYAN)
    box(page, left, stack[0], right, stack[1], fc=PANEL, ec=CYAN)
    middle = sum(stack) / 2
    arrow(page, (SPINE + 6, middle - 36), (left, middle - 36), color=CYAN)
    arrow(page, (left, middle + 36), (SPINE + 6, middle + 36), color=CYAN)
    write(page, left + 20, middle - 30, count(model.n_layer, "block"), BODY + 8, CYAN, "bold")
    write(page, left + 20, middle + 32, f"{model.n_layer} × {part.block:,}", SMALL, LABEL)
    write(page, right - 20, middle + 32, f"{part.blocks:,}", SMALL, CYAN, ha="right")
    _part(page, stack[1] + 20, 96, Part("layer norm", f"2 × {C:,}", part.ln_f, INK))
    arrow(page, (SPINE, stack[1] + 68), (left, stack[1] + 68), color=INK)
    shape = "token embedding again" if model.tied else f"{V:,} × {C:,}"
    head = Part("head", shape, part.head, YELLOW)
    _part(page, stack[1] + 128, 96, head, "+ 0" if model.tied else None)
    arrow(page, (SPINE, stack[1] + 176), (left, stack[1] + 176), color=YELLOW)
    return stack


def _to_scale(page: Axes, part: Parameters) -> None:
    """All parameters as one column: embeddings, then the blocks, in their true proportions."""
    left, right = SCALE
    embedding = (BOTTOM - TOP) * (part.wte + part.wpe + part.head) / part.total
    page.add_patch(Rectangle((left, TOP), right - left, embedding, fc=YELLOW, ec="none"))
    rest = BOTTOM - TOP - embedding
    page.add_patch(Rectangle((left, TOP + embedding), right - left, rest, fc=CYAN, ec="none"))
    for n in range(part.n_layer if part.n_layer <= DISTINCT else 1):
        y = TOP + embedding + rest * n / part.n_layer
        page.plot((left, right), (y, y), color=BACKGROUND, lw=3, solid_capstyle="butt")
    share = 100 * part.blocks / part.total
    for y, text, colour in (
        (TOP - 26, f"{100 - share:.0f}% embeddings", YELLOW),
        (BOTTOM + 22, f"{share:.0f}% blocks", CYAN),
    ):
        write(page, right + 36, y, text, SMALL, colour, "bold", ha="right")


def _ends(page: Axes, model: ev.Model, sample: SampleView | None) -> None:
    """The recorded prompt's tokens at the top, the likeliest next tokens at the bottom."""
    x, y = SPINE - 14.0, TOP - 50.0
    texts = [text for _, text in sample.start.prompt_tokens] if sample else []
    for text in texts:
        shown, face = token(text, 150, SMALL)
        wide = width(shown, SMALL, face) + 22
        if x + wide > SCALE[0] - 190:
            break
        box(page, x, y - 22, x + wide, y + 22, fc=PANEL, ec=PANEL)
        write(page, x + wide / 2, y, shown, SMALL, INK, face, ha="center")
        x += wide + 8
    if x + 250 < SCALE[0] - 40:
        text = "tokens in" if texts else f"up to {model.block_size:,} tokens"
        write(page, x + 8, y, text, SMALL, MUTED)
    x, y = SPINE - 14.0, BOTTOM + 78.0
    lead = "next token"
    write(page, x, y, lead, SMALL, MUTED)
    x += width(lead, SMALL) + 24
    if sample is None or not sample.tokens:
        write(page, x, y, f"a score for each of {model.vocab_size:,}", SMALL, LABEL)
        return
    step = sample.tokens[words.first_unsure(sample)]
    for candidate in step.candidates:
        shown, face = token(candidate.text, 110, SMALL)
        share = share_text(words.share(candidate, sample.start.settings))
        wide = width(shown, SMALL, face) + 10
        if x + wide + width(share, SMALL) > SCALE[1]:
            break
        write(page, x, y, shown, SMALL, INK, face)
        write(page, x + wide, y, share, SMALL, CYAN)
        x += wide + width(share, SMALL) + 26


def _zoom(page: Axes, stack: tuple[float, float]) -> None:
    """From the stack to the block that stands for all of them."""
    top, bottom = stack
    corners = [(PARTS[1] + 20, top - 20), (BLOCK[0], PANEL_TOP + 14), (BLOCK[0], PANEL_BOTTOM - 14)]
    page.add_patch(Polygon([*corners, (PARTS[1], bottom)], fc=BEAM, ec="none", zorder=0.5))
    for begin, end in zip([corners[0], (PARTS[1], bottom)], corners[1:], strict=True):
        page.plot((begin[0], end[0]), (begin[1], end[1]), color=RULE, lw=2, zorder=0.6)
