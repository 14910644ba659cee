"""generation.svg: predict, sample, append, repeat, with the first tokens of a recorded sample.

A column is one step: the context, the likeliest next tokens with the probabilities that the draw
used, the token that was drawn. An arrow takes it to the next column's context, where it now stands.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import shown_sample
from shakegpt_figures import words
from shakegpt_figures.glyphs import drawable, face_for, token
from shakegpt_figures.heading import heading
from shakegpt_figures.style import (
    BACKGROUND,
    BODY,
    CYAN,
    GREEN,
    INK,
    LABEL,
    MARGIN,
    MUTED,
    NARROWEST,
    PANEL,
    RULE,
    SMALL,
    WIDTH,
    YELLOW,
    Face,
    slide,
    talk,
    width,
    write,
)

STEPS = 3
"""Columns: enough to see the loop, few enough to read."""
BARS = 5
"""Candidates a column shows."""
VERBS = MARGIN + 168
"""Where the columns begin, right of the loop's verbs, px."""
GAP = 60
"""Between two columns, px."""
COLUMN = (WIDTH - MARGIN - VERBS - (STEPS - 1) * GAP) / STEPS
"""Width of a column, px."""
CONTEXT, PREDICT, SAMPLE, APPEND = 276, 372, 850, 960
"""Heights of the rows: centre of the context, top of the bars, centre of the draw and of what
follows, px."""
BAR = 68
"""From one bar to the next, px."""
LABELS = 166
"""Room of a candidate's text left of its bar, px."""
PERCENT = 136
"""Room of its percent right of it, px."""


@dataclass(frozen=True)
class Row:
    """One bar: a token's text (None: all the others), its probability, was it drawn."""

    text: str | None
    share: float
    drawn: bool
    rank: int


def draw(histories: Sequence[History]) -> Figure:
    """The first steps of the sample that the deck shows, of the first run.

    Raises ShakegptError when no sample, or none with its candidates, was recorded.
    """
    history = histories[0]
    model = words.header(history).model
    sample = shown_sample(history)
    if sample is None or not sample.tokens[0].candidates:
        raise ShakegptError(
            "generation.svg needs a recorded sample with its candidates, and this log has none: "
            "train with --max-new-tokens above 0"
        )
    first = words.first_unsure(sample)
    steps = sample.tokens[first : first + STEPS]
    with talk():
        figure, page = slide()
        heading(page, words.generation_title(history), _settings(sample, model))
        _verbs(page)
        most = max(row.share for step in steps for row in rows(step, sample))
        for number, step in enumerate(steps):
            right = _column(page, number, first, sample, step, most)
            if number < len(steps) - 1:
                _append(page, number, right)
        _repeat(page, len(steps), first, sample)
    return figure


def rows(step: ev.Token, sample: SampleView) -> list[Row]:
    """The bars of a step: its likeliest candidates, the drawn token if not among them, the rest."""
    raw = sample.start.settings.temperature == 0
    shown = []
    for rank, candidate in enumerate(step.candidates[:BARS], 1):
        share = candidate.raw if raw else candidate.probability
        shown.append(Row(candidate.text, share, candidate.id == step.id, rank))
    if not any(row.drawn for row in shown):
        share = step.raw if raw else step.probability
        shown = [*shown[: BARS - 1], Row(step.text, share, True, step.rank)]
    rest = max(0.0, 1 - fsum(row.share for row in shown))
    return [*shown, Row(None, rest, False, 0)]


def share_text(share: float) -> str:
    """A probability in whole percents; one that would round to nothing says so."""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"


def _settings(sample: SampleView, model: ev.Model) -> str:
    """How the tokens were drawn, so that the probabilities mean something."""
    told = sample.start.settings
    if told.temperature == 0:
        how = "probabilities as the model gives them; temperature 0 always takes the likeliest"
    else:
        cut = f", top-k {told.top_k}" if told.top_k else ""
        cut += f", top-p {told.top_p:g}" if told.top_p else ""
        how = f"probabilities that the draw used: temperature {told.temperature:g}{cut}"
    return f"{words.capital(words.model_name(model))} · {how}"


def _verbs(page: Axes) -> None:
    """The loop's four verbs, each at its row."""
    middle = PREDICT + BAR * (BARS + 1) / 2
    for y, verb in ((middle, "predict"), (SAMPLE, "sample"), (APPEND, "append")):
        write(page, MARGIN, y, verb, BODY, LABEL, "bold")
    write(page, MARGIN, CONTEXT, "context", BODY, MUTED)


def _left(number: int) -> float:
    return VERBS + number * (COLUMN + GAP)


def _box(page: Axes, left: float, middle: float, wide: float, tall: float, **look: object) -> None:
    style = {"boxstyle": "round,pad=0,rounding_size=14", "lw": 3, **look}
    page.add_patch(FancyBboxPatch((left, middle - tall / 2), wide, tall, **style))  # type: ignore[arg-type]


def _column(
    page: Axes, number: int, first: int, sample: SampleView, step: ev.Token, most: float
) -> float:
    """One step; returns the right edge of its drawn token."""
    left = _left(number)
    _context(page, left, sample, first + number)
    for place, row in enumerate(rows(step, sample)):
        _bar(page, left, PREDICT + BAR * (place + 0.5), row, most)
    text, face = token(drawn_text(step), COLUMN - 180, BODY + 4, bold=True)
    wide = max(120, width(text, BODY + 4, face) + 56)
    middle = left + COLUMN / 2
    _box(page, middle - wide / 2, SAMPLE, wide, 74, fc=YELLOW, ec=YELLOW)
    gid = f"drawn-{number}"
    write(page, middle, SAMPLE, text, BODY + 4, BACKGROUND, face, ha="center", gid=gid)
    return middle + wide / 2


def drawn_text(step: ev.Token) -> str:
    """What the drawn token says by itself, when what it adds to the text is not complete yet."""
    alone = (c.text for c in step.candidates if c.id == step.id)
    return step.text or next(alone, "")


def _bar(page: Axes, left: float, y: float, row: Row, most: float) -> None:
    colour = YELLOW if row.drawn else CYAN
    begin = left + LABELS
    room = COLUMN - LABELS - PERCENT
    long = room * min(1.0, row.share / most) if most else 0.0
    if row.text is None:
        write(page, begin - 18, y, "all others", SMALL, MUTED, ha="right")
        page.add_patch(Rectangle((begin, y - 20), max(3, long), 40, fc="none", ec=MUTED, lw=3))
        write(page, begin + max(3, long) + 16, y, share_text(row.share), SMALL, MUTED)
        return
    text, face = token(row.text, LABELS - 18, SMALL + 2, bold=row.drawn)
    write(page, begin - 18, y, text, SMALL + 2, YELLOW if row.drawn else INK, face, ha="right")
    page.add_patch(Rectangle((begin, y - 22), max(3, long), 44, fc=colour, ec=colour, lw=0))
    says = share_text(row.share) + (" ◀" if row.drawn else "")
    write(page, begin + max(3, long) + 16, y, says, SMALL, colour, "bold" if row.drawn else "sans")


def _context(page: Axes, left: float, sample: SampleView, number: int) -> None:
    """The end of what the model reads, the token drawn last marked."""
    _box(page, left, CONTEXT, COLUMN, 80, fc=PANEL, ec=RULE)
    pieces = [sample.start.prompt, *(drawn_text(t) for t in sample.tokens[:number])]
    x, room = left + COLUMN - 24, COLUMN - 48
    for place in range(len(pieces) - 1, -1, -1):
        new = place == number > 0
        text, face, wide = _tail(pieces[place], room, new)
        if not text:
            break
        if new:
            _box(page, x - wide - 6, CONTEXT, wide + 12, 56, fc=YELLOW, ec=YELLOW, lw=0)
        write(page, x, CONTEXT, text, SMALL + 2, BACKGROUND if new else INK, face, ha="right")
        x, room = x - wide - 14, room - wide - 14


def _tail(piece: str, room: float, new: bool) -> tuple[str, Face, float]:
    """The end of a piece of context that fits `room` px, its face and its width."""
    face, size = face_for(piece, bold=new), SMALL + 2
    whole, piece = piece, piece[-1 - int(room / (size * NARROWEST)) :]  # no more of it can fit
    shown = drawable(piece if piece.strip(" ") else "␣" * len(piece), face)
    if len(piece) < len(whole) or width(shown, size, face) > room:
        fits = bisect(
            range(len(shown)), room, key=lambda n: width("…" + shown[len(shown) - n :], size, face)
        )
        shown = "…" + shown[len(shown) - fits + 1 :] if fits > 1 else ""
    return shown, face, width(shown, size, face)


def _append(page: Axes, number: int, begin: float) -> None:
    """From the drawn token up to the next column's context."""
    left = _left(number)
    turn = left + COLUMN + GAP / 2
    page.plot((begin + 8, turn, turn), (SAMPLE, SAMPLE, CONTEXT), color=GREEN, lw=5)
    end = (left + COLUMN + GAP - 2, CONTEXT)
    look: dict[str, Any] = {"arrowstyle": "-|>,head_length=14,head_width=9", "mutation_scale": 1}
    arrow = FancyArrowPatch((turn, CONTEXT), end, color=GREEN, lw=5, shrinkA=0, shrinkB=0, **look)
    page.add_patch(arrow)
    write(page, left + COLUMN / 2, APPEND, "it joins the context", SMALL, GREEN, ha="center")


def _repeat(page: Axes, number: int, first: int, sample: SampleView) -> None:
    """What happens after the last column."""
    left = len(sample.tokens) - first - number
    more = f"and again, {words.count(left, 'time')}" if left else "and the sample ends"
    write(page, _left(number - 1) + COLUMN / 2, APPEND, more, SMALL, GREEN, ha="center")
