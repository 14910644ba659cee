"""architecture.svg: the run's own model as one stream, from its tokens in to its next token out.

Left the stream from top to bottom with the shape and count of each part, beside it all parts to
scale; right one block, opened: which tokens attention may look at, and the MLP four times wider.
All of it is from the log: the header's shapes, and the tokens of the sample that the deck shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import Parameters, parameters, shown_sample
from shakegpt_figures import words
from shakegpt_figures.generation import share_text
from shakegpt_figures.glyphs import token
from shakegpt_figures.heading import heading
from shakegpt_figures.style import (
    BACKGROUND,
    BEAM,
    BODY,
    CYAN,
    GREEN,
    INK,
    LABEL,
    MARGIN,
    MUTED,
    PANEL,
    RULE,
    SMALL,
    WIDTH,
    YELLOW,
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
BLOCK = (860, WIDTH - MARGIN)
"""Left and right edge of the opened block, px."""
TOP, BOTTOM = 306, 926
"""Of the model's parts, and of the column to scale, px."""
PANEL_TOP, PANEL_BOTTOM = 232, 1028
"""Of the opened block, px."""
STREAM = BLOCK[0] + 56
"""Where the residual stream runs in the opened block, px."""
ROWS = (STREAM + 84, BLOCK[1] - 30)
"""Left and right edge of the block's rows, px."""
MASKED = 6
"""Tokens of the triangle of attention."""
DISTINCT = 60
"""Blocks that can still be told apart to scale."""


@dataclass(frozen=True)
class Part:
    """A box: what it is, its shape, how many parameters it has, its accent."""

    name: str
    shape: str
    count: int
    colour: str


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
    sample = shown_sample(history)
    with talk():
        figure, page = slide()
        heading(page, words.architecture_title(model), _sum(part))
        stack = _model(page, model, part)
        _to_scale(page, part)
        _ends(page, model, sample)
        _zoom(page, stack)
        _block(page, model, part, sample)
    return figure


def _sum(part: Parameters) -> str:
    """The parts, adding up to the total."""
    return (
        f"{part.wte:,} embedding + {part.wpe:,} positions + {part.n_layer} × {part.block:,} blocks "
        f"+ {part.ln_f:,} norm"
    )


def _box(page: Axes, left: float, top: float, right: float, bottom: float, **look: object) -> None:
    style = {"boxstyle": "round,pad=0,rounding_size=14", "lw": 3, **look}
    page.add_patch(FancyBboxPatch((left, top), right - left, bottom - top, **style))  # type: ignore[arg-type]


def _part(page: Axes, top: float, tall: float, part: Part, count: str | None = None) -> None:
    """A part of the model: its name, and under it how its shape makes its count."""
    left, right = PARTS
    _box(page, left, top, right, top + tall, fc=BACKGROUND, ec=part.colour)
    middle = top + tall / 2
    write(page, left + 20, middle - 21, part.name, SMALL + 2, INK, "bold")
    write(page, left + 20, middle + 20, part.shape, SMALL, LABEL)
    count = f"{part.count:,}" if count is None else count
    write(page, right - 20, middle + 20, count, SMALL, part.colour, ha="right")


def _arrow(
    page: Axes, begin: tuple[float, float], end: tuple[float, float], **look: object
) -> None:
    style = {"arrowstyle": "-|>,head_length=13,head_width=8", "mutation_scale": 1, "lw": 4}
    style |= {"color": RULE, "shrinkA": 0, "shrinkB": 0, **look}
    page.add_patch(FancyArrowPatch(begin, end, **style))  # type: ignore[arg-type]


def _model(page: Axes, model: ev.Model, part: Parameters) -> tuple[float, float]:
    """The parts along the stream; returns top and bottom of the stack of blocks."""
    C, T, V = model.n_embd, model.block_size, model.vocab_size
    left, right = PARTS
    _arrow(page, (SPINE, TOP - 8), (SPINE, BOTTOM + 26), color=INK, lw=9)
    _part(page, TOP, 96, Part("token embedding", f"{V:,} × {C:,}", part.wte, YELLOW))
    _part(page, TOP + 108, 96, Part("+ positions", f"{T:,} × {C:,}", part.wpe, YELLOW))
    for top in (TOP, TOP + 108):
        _arrow(page, (left, top + 48), (SPINE + 6, top + 48), color=YELLOW)
    stack = (TOP + 240.0, TOP + 384.0)
    for depth in (20, 10):
        _box(
            page, left + depth, stack[0] - depth, right + depth, stack[1] - depth, fc=PANEL, ec=CYAN
        )
    _box(page, left, stack[0], right, stack[1], fc=PANEL, ec=CYAN)
    middle = sum(stack) / 2
    _arrow(page, (SPINE + 6, middle - 36), (left, middle - 36), color=CYAN)
    _arrow(page, (left, middle + 36), (SPINE + 6, middle + 36), color=CYAN)
    write(page, left + 20, middle - 30, words.count(model.n_layer, "block"), BODY + 8, CYAN, "bold")
    write(page, left + 20, middle + 32, f"{model.n_layer} × {part.block:,}", SMALL, LABEL)
    write(page, right - 20, middle + 32, f"{part.blocks:,}", SMALL, CYAN, ha="right")
    _part(page, stack[1] + 20, 96, Part("layer norm", f"2 × {C:,}", part.ln_f, INK))
    _arrow(page, (SPINE, stack[1] + 68), (left, stack[1] + 68), color=INK)
    shape = "token embedding again" if model.tied else f"{V:,} × {C:,}"
    head = Part("head", shape, part.head, YELLOW)
    _part(page, stack[1] + 128, 96, head, "+ 0" if model.tied else None)
    _arrow(page, (SPINE, stack[1] + 176), (left, stack[1] + 176), color=YELLOW)
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
        _box(page, x, y - 22, x + wide, y + 22, fc=PANEL, ec=PANEL)
        write(page, x + wide / 2, y, shown, SMALL, INK, face, ha="center")
        x += wide + 8
    if x + 250 < SCALE[0] - 40:
        write(
            page,
            x + 8,
            y,
            "tokens in" if texts else f"up to {model.block_size:,} tokens",
            SMALL,
            MUTED,
        )
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


def _block(page: Axes, model: ev.Model, part: Parameters, sample: SampleView | None) -> None:
    """One block: two branches that read the stream and are added back to it."""
    C, wide = model.n_embd, model.n_embd // model.n_head
    _box(page, BLOCK[0], PANEL_TOP, BLOCK[1], PANEL_BOTTOM, fc=PANEL, ec=CYAN)
    write(page, ROWS[0], PANEL_TOP + 38, "one block", BODY, CYAN, "bold")
    write(page, ROWS[1], PANEL_TOP + 38, f"{part.block:,}", BODY, CYAN, "bold", ha="right")
    page.plot((STREAM, STREAM), (PANEL_TOP + 14, PANEL_BOTTOM - 14), color=INK, lw=9)

    top = PANEL_TOP + 84.0
    triangle = 270.0
    right = ROWS[1] - triangle - 26
    attention = (
        Part("layer norm", f"2 × {C:,}", part.ln_1, CYAN),
        Part("query, key, value", f"{C:,} × {3 * C:,} + {3 * C:,}", part.c_attn, CYAN),
        Part(words.count(model.n_head, "head"), f"{wide:,} wide", 0, CYAN),
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
    _box(page, left, top, right, top + 76, fc=BACKGROUND, ec=part.colour)
    _texts(page, top, 76, left, right, part)


def _texts(page: Axes, top: float, tall: float, left: float, right: float, part: Part) -> None:
    """Name and shape, one over the other, and the count."""
    middle = top + tall / 2
    write(page, left + 20, middle - 21, part.name, SMALL, INK, "bold")
    write(page, left + 20, middle + 13, part.shape, SMALL, LABEL)
    write(page, right - 18, middle - 21, f"{part.count:,}", SMALL, part.colour, ha="right")


def _attention(page: Axes, left: float, top: float, size: float, record: ev.Inspection) -> None:
    """What the recorded tokens looked at, in the middle block, the mean of its recorded heads.

    A row is a position, a column one of the tokens up to it; beyond the diagonal stands the row's.
    """
    blocks = sorted({head.block for head in record.attention})
    block = blocks[len(blocks) // 2]
    heads = [head.rows for head in record.attention if head.block == block]
    start = len(record.context) - len(record.drawn)  # the last token of the prompt
    count = min(MASKED, len(record.drawn))
    cell = size / (count + 1)
    paid = [
        [sum(rows[row][start + column] for rows in heads) for column in range(row + 1)]
        for row in range(count)
    ]
    most = max(1, *(max(row) for row in paid))
    for row, weights in enumerate(paid):
        y = top + row * cell + 2
        for column, weight in enumerate(weights):
            place = (left + column * cell + 2, y)
            page.add_patch(Rectangle(place, cell - 4, cell - 4, fc=BACKGROUND, ec="none"))
            strength = 0.08 + 0.92 * weight / most
            look = {"fc": CYAN, "ec": "none", "alpha": strength}
            page.add_patch(Rectangle(place, cell - 4, cell - 4, gid="attention", **look))  # type: ignore[arg-type]
        room = left + size - (left + (row + 1) * cell) - 4
        shown, face = token(record.context[start + row][1], max(room, cell), SMALL)
        write(page, left + (row + 1) * cell + 8, y + cell / 2, shown, SMALL, INK, face)
    middle = left + size / 2
    write(page, middle, top + size + 30, "what tokens looked", SMALL, LABEL, ha="center")
    write(page, middle, top + size + 66, f"at in block {block + 1}", SMALL, LABEL, ha="center")


def _triangle(page: Axes, left: float, top: float, size: float, sample: SampleView | None) -> None:
    """Which tokens each token may look at: itself and those before it."""
    texts = [text for _, text in sample.start.prompt_tokens][:MASKED] if sample else []
    count = len(texts) if len(texts) > 1 else MASKED
    cell = size / count
    for row in range(count):
        for column in range(count):
            seen = column <= row
            page.add_patch(
                Rectangle(
                    (left + column * cell + 2, top + row * cell + 2),
                    cell - 4,
                    cell - 4,
                    fc=CYAN if seen else BACKGROUND,
                    ec="none",
                )
            )
        if len(texts) == count:
            shown, face = token(texts[row], cell - 6, SMALL)
            if width(shown, SMALL, face) < cell - 4:
                x, y = left + (row + 0.5) * cell, top + (row + 0.5) * cell
                write(page, x, y, shown, SMALL, BACKGROUND, face, ha="center")
    write(
        page, left + size / 2, top + size + 30, "a token looks at itself", SMALL, LABEL, ha="center"
    )
    write(page, left + size / 2, top + size + 66, "and at those before", SMALL, LABEL, ha="center")


def _branch(page: Axes, begin: float, end: float, colour: str) -> None:
    """From the stream into a branch and from its end back, where it is added."""
    _arrow(page, (STREAM + 4, begin), (ROWS[0], begin), color=colour)
    _arrow(page, (ROWS[0], end), (STREAM + 25, end), color=colour)
    page.plot(STREAM, end, "o", ms=42, mfc=BACKGROUND, mec=colour, mew=4)
    page.plot(STREAM, end, "+", ms=24, mec=INK, mew=5)
