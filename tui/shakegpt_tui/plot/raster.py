"""Lines as characters: points to dots, dots to cells, in braille, block or ASCII symbols.

A layer is one integer for each column of dots, whose bit r is the dot in row r from the top: a
vertical stretch is then one shift, and a noisy curve costs no more than a smooth one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Layer = list[int]
Dot = tuple[float, float | None]
"""(column, row) in dots, as floats; row None is a gap."""


@dataclass(frozen=True)
class Symbols:
    """A set of characters to draw with: a cell is `across` x `down` dots.

    `glyphs[bits]` is the character of a cell; bit (column * down + row) of `bits` is a dot.
    """

    name: str
    across: int
    down: int
    glyphs: tuple[str, ...]
    point: str
    across_line: str
    down_line: str
    corner: str
    tick_left: str
    tick_below: str
    tick_above: str
    grid: str
    lead: str
    """Between a curve's end and its label."""
    mark: str
    """On the x axis, where something happened."""
    guide: str
    """Of a vertical line through the picture."""
    gap: str
    """At the upper edge, over a value that is no number."""
    above: str
    below: str
    """At the edge that a value is beyond."""


def _braille() -> tuple[str, ...]:
    dots = (0x01, 0x02, 0x04, 0x40, 0x08, 0x10, 0x20, 0x80)  # down the left column, then the right
    return tuple(
        chr(0x2800 + sum(dot for bit, dot in enumerate(dots) if bits >> bit & 1)) if bits else " "
        for bits in range(256)
    )


_LINES = ("─", "│", "└", "┤", "┬", "┴", "┈", "╶", "▴", "┊", "×", "↑", "↓")
BRAILLE = Symbols("braille", 2, 4, _braille(), "●", *_LINES)
BLOCK = Symbols("block", 2, 2, tuple(" ▘▖▌▝▀▞▛▗▚▄▙▐▜▟█"), "■", *_LINES)
_ASCII_LINES = ("-", "|", "+", "+", "+", "+", ".", "-", "^", ":", "x", "^", "v")
ASCII = Symbols("ascii", 1, 3, tuple(" '-'.:.|"), "o", *_ASCII_LINES)
SYMBOLS = {symbols.name: symbols for symbols in (BRAILLE, BLOCK, ASCII)}


def trace(dots: Iterable[Dot], columns: int, rows: int, dash: int = 0) -> Layer:
    """The polyline through `dots`, clipped to `columns` x `rows` dots; broken at gaps.

    A point between two gaps is a single dot. With `dash`, so many dots along the line alternate
    with as many that are left out.
    """
    layer, picture = [0] * columns, (1 << rows) - 1
    before: tuple[int, int] | None = None
    travelled, last = 0, 0
    for column, row in dots:
        if row is None:
            before = None
            continue
        here = round(column), round(row)
        for c, top, bottom in _stretches(before or here, here, columns):
            travelled, last = travelled + (c != last), c
            if (low := min(bottom, rows - 1)) >= (high := max(top, 0)):
                if dash:
                    on = (r for r in range(high, low + 1) if (travelled + r - top) // dash % 2 == 0)
                    layer[c] |= sum(1 << r for r in on)
                else:
                    layer[c] |= (2 << low) - (1 << high)
            travelled += bottom - top
        before = here
    return [column & picture for column in layer]


def thicken(layer: Layer, rows: int) -> Layer:
    """`layer` with lines two dots wide."""
    picture = (1 << rows) - 1
    left = [0, *layer[:-1]]
    return [(a | b | (a | b) << 1) & picture for a, b in zip(layer, left, strict=True)]


def _stretches(
    start: tuple[int, int], end: tuple[int, int], columns: int
) -> Iterable[tuple[int, int, int]]:
    """(column, top, bottom) of the dots of one segment; `end` is not left of `start`.

    A dense curve has nearly all of its segments within a column, so that case is short.
    """
    (c0, r0), (c1, r1) = start, end
    if c0 != c1:
        return _sloping(c0, r0, c1, r1, columns)
    if 0 <= c0 < columns:
        return ((c0, r0, r1) if r0 < r1 else (c0, r1, r0),)
    return ()


def _sloping(c0: int, r0: int, c1: int, r1: int, columns: int) -> Iterator[tuple[int, int, int]]:
    slope = (r1 - r0) / (c1 - c0)
    reach = max(abs(slope) / 2 - 0.5, 0.0)  # dots of a steep line above and below its middle
    low, high = min(r0, r1), max(r0, r1)
    for c in range(max(c0, 0), min(c1, columns - 1) + 1):
        middle = r0 + slope * (c - c0)
        top, bottom = math.ceil(middle - reach - 0.5), math.floor(middle + reach + 0.5)
        yield c, max(top, low), min(max(bottom, top), high)


def cells(
    layer: Layer, symbols: Symbols, under: Layer | None = None
) -> Iterator[tuple[int, int, str]]:
    """(column, row, character) of every cell that has a dot of `layer`, column by column.

    The dots of `under` in these cells are in the characters too, so that a line which crosses
    another cuts no gap into it.
    """
    across, down, glyphs = symbols.across, symbols.down, symbols.glyphs
    full = (1 << down) - 1
    for column in range(len(layer) // across):
        span = slice(column * across, (column + 1) * across)
        parts = layer[span]
        lit = 0
        for part in parts:
            lit |= part
        if under is not None and lit:
            parts = [part | below for part, below in zip(parts, under[span], strict=True)]
        while lit:
            row = ((lit & -lit).bit_length() - 1) // down
            shift = row * down
            bits = 0
            for i, part in enumerate(parts):
                bits |= (part >> shift & full) << (i * down)
            yield column, row, glyphs[bits]
            lit &= ~(full << shift)
