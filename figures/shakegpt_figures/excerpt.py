"""What a slide shows of a recorded sample: plain lines, as many as fit, cut where a reader would.

The text comes from a model, so it is data: control characters, line breaks of other kinds and
whatever could reorder or hide text go, everything else stays for the slide to print as it is.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

from shakegpt.data.speakers import opening
from shakegpt.sanitize import UNSAFE

ROWS = 10
"""Rows that a sample may fill beside another one on a slide."""
COLUMNS = 38
"""Lower-case letters that fit into a row; a longer line takes several rows."""

_SENTENCE_END = re.compile(r"""[.!?;:—-]['")\]]?$""")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the sample: a speaker's name (no colon), words, or "" between speeches."""

    text: str
    speaker: bool
    copied: tuple[tuple[int, int], ...] = ()
    """(begin, end) of the parts of `text` that stand word for word in the training text."""


def clean(text: str) -> str:
    """`text` with line feeds as its only control characters, and at most one blank line a gap."""
    unified = "\n".join(text.replace("\t", " ").splitlines())
    kept = UNSAFE.sub("", unified)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in kept.split("\n")))


def lines(text: str, marks: Sequence[tuple[int, int]] = ()) -> list[Line]:
    """The lines of a text; a name with a colon that opens a speech is a speaker.

    A blank line between a name and its words goes: on the slide the name's looks part them.
    `marks` are parts of `text` that were copied: (begin, end).
    """
    result = _lines(text)
    if not marks:
        return result
    place = 0
    marked = []
    for line in result:  # its visible characters stand in `text` in the same order
        inside = []
        for number, char in enumerate(line.text):
            if char == " ":
                continue
            place = text.index(char, place) + 1
            if any(begin < place <= end for begin, end in marks):
                inside.append(number)
        marked.append(msgspec.structs.replace(line, copied=_spans(inside)))
    return marked


def _spans(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Ranges that hold these positions, one for those with at most a space between them.

    >>> _spans([0, 1, 3, 7])
    ((0, 4), (7, 8))
    """
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and number - spans[-1][1] <= 1:
            spans[-1] = (spans[-1][0], number + 1)
        else:
            spans.append((number, number + 1))
    return tuple(spans)


def _lines(text: str) -> list[Line]:
    result: list[Line] = []
    before = ""
    for line in clean(text).strip("\n").split("\n"):
        name, words = opening(line, before) or ("", line)
        if name:
            result.append(Line(text=name, speaker=True))
        if words or not (result and result[-1].speaker):
            result.append(Line(text=words, speaker=False))
        before = line
    return result


def excerpt(
    text: str, rows: int = ROWS, columns: int = COLUMNS, marks: Sequence[tuple[int, int]] = ()
) -> tuple[tuple[Line, ...], bool]:
    """The first lines that fill at most `rows`, and whether more followed.

    Cut after a speech that ends in the last quarter of the room, else after a sentence that ends in
    the last third, else after a speech of the second half, else where the room ends. A first line
    too long for the room is cut inside.
    """
    every = lines(text, marks)
    ends = list(accumulate(_rows(line, columns) for line in every))
    fit = every[: sum(end <= rows for end in ends)]
    if len(fit) == len(every):
        return tuple(fit), False
    cut = _without_tail(fit[: _good_end(fit)])
    if not any(line.text and not line.speaker for line in cut):
        cut = _cut_inside(every, rows * columns)
    return tuple(cut), True


def _rows(line: Line, columns: int) -> float:
    """How many rows a line takes; a gap is half as high."""
    return math.ceil(sum(map(_width, line.text)) / columns) or 0.5


def columns(text: str) -> float:
    """How many lower-case letters are as wide as a text."""
    return sum(map(_width, text))


def _width(character: str) -> float:
    """How many lower-case letters of the deck's font are as wide, on the safe side."""
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 1.5 if character.isupper() or character in "mw—" else 1


def _good_end(fit: list[Line]) -> int:
    """How many of the lines to keep so that the cut is least felt."""
    whole = len(fit)
    speeches = [n for n in range(1, whole + 1) if not fit[n - 1].text]
    sentences = [n for n in range(1, whole + 1) if _SENTENCE_END.search(fit[n - 1].text)]
    for ends, share in ((speeches, 3 / 4), (sentences, 2 / 3), (speeches, 1 / 2)):
        if ends and ends[-1] > whole * share:
            return ends[-1]
    return whole


def _without_tail(cut: list[Line]) -> list[Line]:
    """No name without words at the end, and no gap."""
    while cut and (cut[-1].speaker or not cut[-1].text):
        cut = cut[:-1]
    return cut


def _cut_inside(every: list[Line], room: int) -> list[Line]:
    """The lines up to the first words, these cut to `room` columns, between words if possible."""
    first = next(i for i, line in enumerate(every) if line.text and not line.speaker)
    widths = accumulate(map(_width, every[first].text))
    short = every[first].text[: sum(width <= room for width in widths)]
    words = short.rpartition(" ")[0] or short
    spans = tuple((a, min(b, len(words))) for a, b in every[first].copied if a < len(words))
    return [*every[:first], Line(text=words, speaker=False, copied=spans)][-2:]


def speakers(shown: Iterable[Line]) -> tuple[str, ...]:
    """Who speaks in these lines, each once, in the order of appearance."""
    return tuple(dict.fromkeys(line.text for line in shown if line.speaker))
