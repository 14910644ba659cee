"""generation.svg: predict, sample, append, repeat, with consecutive tokens of a recorded sample.

A column is one step: the context, the likeliest next tokens with the probabilities that the draw
used, all of them on a line from 0 to 1 with a needle where the recorded random number fell, and the
drawn token. An arrow takes it to its place in the next column's context. The first column is the
first step at which the model was unsure.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import featured_sample
from shakegpt_figures import words
from shakegpt_figures.glyphs import drawable, face_for, token, whole_characters
from shakegpt_figures.heading import heading
from shakegpt_figures.numbers import count
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
    arrow,
    box,
    slide,
    talk,
    width,
    write,
)

STEPS = words.STEPS
"""Columns: enough to see the loop, few enough to read."""
BARS = 5
"""Candidates a column shows."""
VERBS = MARGIN + 150
"""Where the columns begin, right of the loop's verbs, px."""
GAP = 64
"""Between two columns, px."""
COLUMN = (WIDTH - MARGIN - VERBS - (STEPS - 1) * GAP) / STEPS
"""Width of a column, px."""
OVER, CONTEXT, PREDICT, STRIP, SAMPLE, AFTER = 234, 304, 366, 784, 900, 984
"""Heights, px: of the arrow over the contexts, the centre of the context, the top of the bars, the
top of the strip, the centre of the drawn token, and of what follows."""
BAR = 60
"""From one bar to the next, px."""
NEEDLE = 40
"""From the needle to an end of the strip whose number it would cover, px."""
RANK, LABELS, PERCENT = 50, 186, 92
"""Room of a candidate's rank, of rank and text left of its bar, of its percent right of it, px."""


@dataclass(frozen=True)
class Row:
    """One bar: a token's text (None: all the others), its probability, was it drawn."""

    text: str | None
    share: float
    drawn: bool
    rank: int


def draw(histories: Sequence[History]) -> Figure:
    """Consecutive steps of the sample that the deck shows, of the first run.

    Raises ShakegptError when no sample, or none with its candidates, was recorded.
    """
    history = histories[0]
    model = words.header(history).model
    sample = featured_sample(history)
    if sample is None or not sample.tokens[0].candidates:
        raise ShakegptError(
            "generation.svg needs a recorded sample with its candidates, and this log has none: "
            "train with --max-new-tokens above 0"
        )
    first = words.first_unsure(sample)
    steps = sample.tokens[first : first + STEPS]
    with talk():
        figure, page = slide()
        heading(page, words.GENERATION_TITLE, _settings(sample, model))
        _verbs(page)
        most = max(row.share for step in steps for row in rows(step, sample))
        seen, right = drawn_text(sample.tokens[first - 1]) if first else "", 0.0
        for number, step in enumerate(steps):
            place = _context(page, number, sample, first + number)
            if number:
                _append(page, number, right, place)
            right = _column(page, number, sample, step, most)
            seen += step.text + "".join(c.text for c in step.candidates[:BARS])
        _foot(page, len(sample.tokens) - first - len(steps), seen)
    return figure


def rows(step: ev.Token, sample: SampleView) -> list[Row]:
    """The bars of a step: its likeliest candidates, the drawn token if not among them, the rest."""
    settings, bytewise = sample.start.settings, words.bytewise(sample)
    shown = [
        Row(words.named(c.id, c.text, bytewise), words.share(c, settings), c.id == step.id, rank)
        for rank, c in enumerate(step.candidates[:BARS], 1)
    ]
    if not any(row.drawn for row in shown):
        drawn = Row(step.text, words.share(step, settings), True, step.rank)
        shown = [*shown[: BARS - 1], drawn]
    rest = max(0.0, 1 - fsum(row.share for row in shown))
    return [*shown, Row(None, rest, False, 0)]


def share_text(share: float) -> str:
    """A probability in whole percents; one that would round to nothing says so."""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"


def _settings(sample: SampleView, model: ev.Model) -> str:
    """How the tokens were drawn, so that the probabilities mean something."""
    settings = sample.start.settings
    if settings.temperature == 0:
        how = "the model’s own probabilities; temperature 0 takes the likeliest"
    else:
        how = f"probabilities after {words.sampling(settings)}"
    moment = words.when_done(sample.start.iteration)
    return f"{words.capital(words.model_name(model))} {moment} · {how}"


def _verbs(page: Axes) -> None:
    """The loop's verbs, each at its row."""
    middle = PREDICT + BAR * (BARS + 1) / 2
    for y, verb in ((middle, "predict"), (STRIP + 30, "sample"), (SAMPLE, "append")):
        write(page, MARGIN, y, verb, BODY, LABEL, "bold")
    write(page, MARGIN, CONTEXT, "context", BODY, MUTED)


def _left(number: int) -> float:
    return VERBS + number * (COLUMN + GAP)


def _column(page: Axes, number: int, sample: SampleView, step: ev.Token, most: float) -> float:
    """One step; returns the right edge of its drawn token."""
    left, every = _left(number), rows(step, sample)
    for place, row in enumerate(every):
        _bar(page, left, PREDICT + BAR * (place + 0.5), row, most)
    target = _strip(page, left, every, _needle(step, sample.start.settings))
    text, face = token(drawn_text(step), COLUMN - 60, BODY + 4, bold=True)
    wide = max(120, width(text, BODY + 4, face) + 56)
    middle = min(max(target, left + wide / 2), left + COLUMN - wide / 2)
    page.plot((target, middle), (STRIP + 60, SAMPLE - 36), color=YELLOW, lw=3)
    left, right = middle - wide / 2, middle + wide / 2
    box(page, left, SAMPLE - 36, right, SAMPLE + 36, fc=YELLOW, ec=YELLOW)
    gid = f"drawn-{number}"
    write(page, middle, SAMPLE, text, BODY + 4, BACKGROUND, face, ha="center", gid=gid)
    return right


def drawn_text(step: ev.Token) -> str:
    """What the drawn token says by itself, when what it adds to the text is not complete yet."""
    alone = (c.text for c in step.candidates if c.id == step.id)
    return step.text or next(alone, "")


def _bar(page: Axes, left: float, y: float, row: Row, most: float) -> None:
    colour = YELLOW if row.drawn else CYAN
    begin = left + LABELS
    room = COLUMN - LABELS - PERCENT
    long = room * min(1.0, row.share / most) if most else 0.0
    end = begin + max(3, long) + 14
    if row.text is None:
        write(page, begin - 14, y, "all others", SMALL, MUTED, ha="right")
        page.add_patch(Rectangle((begin, y - 18), max(3, long), 36, fc="none", ec=MUTED, lw=3))
        write(page, end, y, share_text(row.share), SMALL, MUTED)
        return
    if row.rank > BARS:  # ranks are left out above it
        page.plot((left + 18,) * 3, (y - 38, y - 30, y - 22), "o", ms=4, color=MUTED)
    rank = f"{row.rank:,}" if row.rank < 1000 else f"{row.rank / 1000:.0f}k"
    write(page, left, y, rank, SMALL, MUTED)
    room = LABELS - 14 - max(RANK - 14, width(rank, SMALL)) - 10
    text, face = token(row.text, room, SMALL + 2, bold=row.drawn)
    write(page, begin - 14, y, text, SMALL + 2, YELLOW if row.drawn else INK, face, ha="right")
    page.add_patch(Rectangle((begin, y - 19), max(3, long), 38, fc=colour, ec=colour, lw=0))
    write(page, end, y, share_text(row.share), SMALL, colour, "bold" if row.drawn else "sans")


def _needle(step: ev.Token, settings: ev.Settings) -> float | None:
    """The recorded random number where it points at a place among the shown candidates."""
    ordered = settings.temperature > 0 and bool(settings.top_k or settings.top_p)
    return step.u if ordered else None


def _strip(page: Axes, left: float, every: list[Row], u: float | None) -> float:
    """The probabilities side by side from 0 to 1, the drawn one marked; a needle at the random
    number `u`. Returns where the drawn token lies, px.
    """
    ranked = sorted((row for row in every if row.text is not None), key=lambda row: row.rank)
    begin, target = 0.0, None
    for row in ranked:
        if row.rank > BARS:
            break
        x, wide = left + begin * COLUMN, row.share * COLUMN
        colour = YELLOW if row.drawn else CYAN
        page.add_patch(Rectangle((x, STRIP), wide, 56, fc=colour, ec=BACKGROUND, lw=2))
        target = x + wide / 2 if row.drawn else target
        begin += row.share
    needle = None if u is None else left + u * COLUMN
    for x, number, side in ((left, "0", "left"), (left + COLUMN, "1", "right")):
        if needle is None or abs(needle - x) > NEEDLE:
            write(page, x, STRIP - 22, number, SMALL, MUTED, ha=side)
    after = left + min(1.0, begin) * COLUMN
    page.add_patch(Rectangle((after, STRIP), left + COLUMN - after, 56, fc=PANEL, ec=MUTED, lw=2))
    if needle is not None:
        _draw_needle(page, needle)
        return needle
    if target is not None:
        return target
    # drawn from all others; the place among them was not recorded
    page.add_patch(Rectangle((after, STRIP), left + COLUMN - after, 56, fc="none", ec=YELLOW, lw=4))
    return (after + left + COLUMN) / 2


def _draw_needle(page: Axes, x: float) -> None:
    page.plot((x, x), (STRIP - 16, STRIP + 60), color=INK, lw=4, gid="needle")
    head = [(x - 13, STRIP - 26), (x + 13, STRIP - 26), (x, STRIP - 4)]
    page.add_patch(Polygon(head, fc=INK, ec="none"))


def _context(page: Axes, number: int, sample: SampleView, index: int) -> float:
    """The end of what the model reads; returns the centre of its last token, px."""
    left = _left(number)
    box(page, left, CONTEXT - 38, left + COLUMN, CONTEXT + 38, fc=PANEL, ec=RULE)
    pieces = [sample.start.prompt, *(drawn_text(t) for t in sample.tokens[:index])]
    x, room = left + COLUMN - 24, COLUMN - 48
    last = x
    for place in range(len(pieces) - 1, -1, -1):
        new = number > 0 and place == len(pieces) - 1
        text, face, wide = _tail(pieces[place], room, new)
        if not text:
            break
        if new:
            box(page, x - wide - 6, CONTEXT - 27, x + 6, CONTEXT + 27, fc=YELLOW, ec=YELLOW, lw=0)
            last = x - wide / 2
        write(page, x, CONTEXT, text, SMALL + 2, BACKGROUND if new else INK, face, ha="right")
        x, room = x - wide - 14, room - wide - 14
    return last


def _tail(piece: str, room: float, new: bool) -> tuple[str, Face, float]:
    """The end of a piece of context that fits `room` px, its face and its width."""
    face, size = face_for(piece, bold=new), SMALL + 2
    whole, piece = piece, piece[-1 - int(room / (size * NARROWEST)) :]  # no more of it can fit
    shown = drawable(whole_characters(piece) if piece.strip(" ") else "␣" * len(piece), face)
    if len(piece) < len(whole) or width(shown, size, face) > room:
        ends = range(len(shown))
        fits = bisect(ends, room, key=lambda n: width("…" + shown[len(shown) - n :], size, face))
        shown = "…" + shown[len(shown) - fits + 1 :] if fits > 1 else ""
    return shown, face, width(shown, size, face)


def _append(page: Axes, number: int, begin: float, place: float) -> None:
    """From the drawn token of the column before into its place in this column's context."""
    turn = _left(number) - GAP / 2
    x, y = (begin + 8, turn, turn, place), (SAMPLE, SAMPLE, OVER, OVER)
    page.plot(x, y, color=GREEN, lw=5, solid_joinstyle="round")
    head = "-|>,head_length=14,head_width=9"
    arrow(page, (place, OVER), (place, CONTEXT - 28), color=GREEN, lw=5, arrowstyle=head)


def _foot(page: Axes, left: int, seen: str) -> None:
    """What happens after the last column, and what the visible blanks mean."""
    more = f"repeat: {count(left, 'more token')}" if left else "and the sample ends"
    write(page, MARGIN, AFTER + 26, more, SMALL, GREEN)
    meanings = [("␣ space", " " in seen), ("↵ line break", "\n" in seen)]
    legend = "     ".join(text for text, shown in meanings if shown)
    if legend:
        write(page, WIDTH - MARGIN, AFTER + 26, legend, SMALL, MUTED, ha="right")
