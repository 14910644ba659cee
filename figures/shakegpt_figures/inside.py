"""inside.svg: three questions about each drawn token, a row a token.

When did it decide? The likeliest token after each block (logit lens), shaded by its probability,
outlined where the token that was drawn first leads. What did it look at? Attention of the middle
block. What did training change? Its probability before the first update, and now.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shakegpt.runlog.history import History
from shakegpt.runlog.schema import Inspection
from shakegpt_figures import inside_words, words
from shakegpt_figures.attention import middle_block, triangle
from shakegpt_figures.generation import share_text
from shakegpt_figures.glyphs import token
from shakegpt_figures.heading import heading
from shakegpt_figures.save import render
from shakegpt_figures.style import (
    CYAN,
    INK,
    LABEL,
    MARGIN,
    MUTED,
    SMALL,
    YELLOW,
    slide,
    talk,
    write,
)
from shakegpt_figures.whole import replace

ROWS = 10
"""Drawn tokens that are shown."""
BLOCKS = 6
"""Columns of the table of guesses: of a deep model, evenly spread blocks."""
TOP, ROW = 386, 55
"""Top of the first row, and from one row to the next, px."""
GUESSES = (MARGIN + 140, MARGIN + 760)
"""Left and right edge of the table of guesses, px."""
LOOKED, CELL, COLUMNS = MARGIN + 812, 28, 16
"""Left edge of the attention, width of a cell, px, and tokens that fit beside each other."""
CHANGED, BARS = MARGIN + 1300, 190
"""Left edge of the probabilities before and after, longest bar, px."""
SHADE = 0.45
"""Opacity at probability 1; the text on it keeps its contrast."""


def draw(histories: Sequence[History]) -> Figure:
    """The inspected tokens of the first run. Raises ShakegptError when its log has none."""
    history = histories[0]
    model = words.header(history).model
    record = inside_words.record_of(history)
    return draw_record(record, words.capital(words.model_name(model)))


def draw_record(record: Inspection, name: str) -> Figure:
    """The tokens of a record, of the model with this name."""
    prompt = "".join(text for _, text in record.context[: _first(record) + 1])
    with talk():
        figure, page = slide()
        moment = words.when_done(record.iteration)
        below = f"{name} {moment} · what it wrote after {words.visible(prompt)}, token by token"
        heading(page, inside_words.title(record), below)
        _decided(page, record)
        if record.attention:
            _looked(page, record)
        if record.initial is not None and record.iteration:
            _changed(page, record, record.initial)
        meaning = "the surer, the stronger the color; outlined where the drawn token first leads"
        end = TOP + min(ROWS, len(record.drawn)) * ROW
        write(page, GUESSES[0], end + 36, meaning, SMALL, LABEL)
        write(page, MARGIN, TOP + ROWS * ROW + 84, inside_words.LIMITS, SMALL, MUTED)
    return figure


def write_record(record: Inspection, name: str, path: Path, format: str) -> None:
    """The tokens of a record, of the model with this name, as a file, written whole.

    Raises ShakegptError when it cannot be written.
    """
    figure = draw_record(record, name)
    title, desc = inside_words.title(record), inside_words.record_alt(record)
    replace(path, render(figure, format, title, desc))


def _first(record: Inspection) -> int:
    """Index in the context of the token from which the first drawn one was predicted."""
    return len(record.context) - len(record.drawn)


def _question(page: Axes, x: float, text: str) -> None:
    write(page, x, 250, text, SMALL + 2, CYAN, "bold")


def _middle(row: int) -> float:
    return TOP + (row + 0.5) * ROW


def _decided(page: Axes, record: Inspection) -> None:
    """The drawn tokens, and beside them the table of guesses: positions × blocks."""
    _question(page, GUESSES[0], "When did it decide?")
    last = len(record.guesses[0]) - 1
    blocks = sorted({round(k * last / (BLOCKS - 1)) for k in range(BLOCKS)})
    wide = min(150, (GUESSES[1] - GUESSES[0]) / len(blocks))
    write(page, MARGIN, TOP - 30, "drawn", SMALL, MUTED)
    for column, block in enumerate(blocks):
        name = f"block {block}" if block else "start"
        if block and wide < 120:
            name = f"{block}"
        write(page, GUESSES[0] + column * wide + 4, TOP - 30, name, SMALL, MUTED)
    for row, (drawn, guesses) in enumerate(zip(record.drawn, record.guesses, strict=True)):
        if row == ROWS:
            break
        text, face = token(drawn[1], GUESSES[0] - MARGIN - 16, SMALL, bold=True)
        write(page, MARGIN, _middle(row), text, SMALL, YELLOW, face)
        first = next((k for k in blocks if guesses[k].top[0][0] == drawn[0]), None)
        for column, block in enumerate(blocks):
            guess, share = guesses[block].top[0]
            corner = (GUESSES[0] + column * wide + 2, TOP + row * ROW + 2)
            cell = Rectangle(corner, wide - 4, ROW - 4, fc=CYAN, ec="none", alpha=SHADE * share)
            cell.set_gid("guess")
            page.add_patch(cell)
            text, face = token(record.texts[guess], wide - 20, SMALL)
            write(page, corner[0] + 10, _middle(row), text, SMALL, INK, face)
            if block == first:
                ring = Rectangle(corner, wide - 4, ROW - 4, fc="none", ec=YELLOW, lw=4)
                ring.set_gid("first")
                page.add_patch(ring)


def _looked(page: Axes, record: Inspection) -> None:
    """The triangle of attention, its tokens over its columns."""
    rows = min(ROWS, len(record.drawn))
    end = _first(record) + rows  # of the context that the last row reads
    begin = max(0, end - COLUMNS)
    _question(page, LOOKED, "What did it look at?")
    write(page, LOOKED, 290, f"block {middle_block(record) + 1}, mean of its heads", SMALL, MUTED)
    for column, (_, text) in enumerate(record.context[begin:end]):
        shown, face = token(text, 66, SMALL)
        x = LOOKED + (column + 0.5) * CELL
        write(page, x, TOP - 6, shown, SMALL, LABEL, face, ha="center", va="bottom", rotation=90)
    triangle(page, record, (LOOKED, TOP), (CELL, ROW), rows, begin)


def _changed(page: Axes, record: Inspection, initial: Sequence[float]) -> None:
    """Each drawn token's probability before the first update, and under it the one of now."""
    _question(page, CHANGED, "What did training change?")
    write(page, CHANGED, TOP - 30, "probability before, and now", SMALL, MUTED)
    pairs = [
        (before, guesses[-1].probability)
        for before, guesses in zip(initial, record.guesses, strict=True)
    ][:ROWS]
    most = max(max(pair) for pair in pairs) or 1
    for row, pair in enumerate(pairs):
        for share, up, colour in zip(pair, (-19, 3), (MUTED, YELLOW), strict=True):
            long = max(3, BARS * share / most)
            bar = Rectangle((CHANGED, _middle(row) + up), long, 16, fc=colour, ec="none")
            bar.set_gid("chance")
            page.add_patch(bar)
        text = " → ".join(map(share_text, pair))
        write(page, CHANGED + BARS + 18, _middle(row), text, SMALL, INK)
