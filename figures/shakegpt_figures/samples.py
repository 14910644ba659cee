"""samples.svg: the same prompt before and after training.

Speakers that the text lacks are marked, and passages that stand in it word for word underlined.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shakegpt.data.speakers import invented
from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History, SampleView
from shakegpt_figures import sampledata, words
from shakegpt_figures.excerpt import excerpt, speakers
from shakegpt_figures.glyphs import drawable
from shakegpt_figures.heading import heading
from shakegpt_figures.style import (
    BODY,
    CYAN,
    LABEL,
    MARGIN,
    MUTED,
    PANEL,
    RULE,
    SMALL,
    WIDTH,
    YELLOW,
    box,
    fitting,
    slide,
    talk,
    width,
    write,
)

GAP = 50
"""Between the two samples, px."""
PAGE = (WIDTH - 2 * MARGIN - GAP) / 2
"""Width of a sample's page, px."""
TOP, BOTTOM = 240, 1010
"""Of the pages, px."""
ROWS, COLUMNS = 13, 42
"""What fits a page: lines, and lower-case letters in a line."""
LINE = 50
"""From one line to the next, px."""


def draw(histories: Sequence[History]) -> Figure:
    """The first and the shown sample of the first run.

    Raises ShakegptError when the log has no two complete samples of one prompt.
    """
    history = histories[0]
    run, pair = words.header(history), words.samples(history)
    if pair is None:
        raise ShakegptError(
            "samples.svg needs two recorded samples of the same prompt, and this log has fewer: "
            "train with --max-new-tokens above 0 and several evaluations"
        )
    with talk():
        figure, page = slide()
        name = words.capital(words.model_name(run.model))
        how = words.sampling(pair[1].start.settings)
        prompt = words.visible(pair[1].start.prompt)
        heading(page, words.samples_title(pair), f"{name} · prompt {prompt} · {how}")
        for place, sample in enumerate(pair):
            _page(page, MARGIN + place * (PAGE + GAP), sample, run.dataset.speakers)
    return figure


def _page(page: Axes, left: float, sample: SampleView, known: Sequence[str]) -> None:
    """One sample: when, its first lines, what it invented."""
    corners = "round,pad=0,rounding_size=22"
    box(page, left, TOP, left + PAGE, BOTTOM, fc=PANEL, ec=PANEL, lw=1, boxstyle=corners)
    x, y, room = left + 40, TOP + 54.0, PAGE - 80
    moment = words.capital(words.when_done(sample.start.iteration))
    write(page, x, y, moment, SMALL, MUTED)
    if sample.copies is not None:
        longest = sampledata.longest_copy(sample.copies).text
        said = "longest copy: " + (longest if sample.copies.longest else "under 4 words")
        write(page, left + PAGE - 40, y, said, SMALL, CYAN, ha="right", gid="longest-copy")
    lines, cut = excerpt(sampledata.shown_text(sample), ROWS, COLUMNS, sampledata.copied(sample))
    new = invented(speakers(lines), known) if known else []
    for line in lines:
        if not line.text:
            y += LINE / 2
            continue
        for begin, end in _wrapped(line.text, room - 150 if line.speaker else room):
            y += LINE
            if y > BOTTOM - 30:
                return
            row = drawable(line.text[begin:end])
            if not line.speaker:
                row = fitting(row, room, BODY)
                write(page, x, y, row, BODY)
                for span in line.copied:
                    _underline(page, x, y, line.text, (begin, end), span)
                continue
            colour, row = YELLOW if line.text in new else LABEL, fitting(row, room - 150, SMALL)
            write(page, x, y, row, SMALL, colour, "bold")
            if line.text in new:
                write(page, x + width(row, SMALL, "bold") + 20, y, "invented", SMALL, YELLOW)
    if cut and y + LINE < BOTTOM - 20:
        write(page, x, y + LINE * 0.8, "…", BODY, RULE if not lines else MUTED)


def _underline(
    page: Axes, x: float, y: float, text: str, row: tuple[int, int], span: tuple[int, int]
) -> None:
    """A line under the part of a row of `text`, which begins at x, that was copied."""
    begin, end = max(row[0], span[0]), min(row[1], span[1])
    if begin < end:
        # a space at an end has no ink, and so no width of its own
        edges = [width(drawable(text[row[0] : n]) + ".", BODY) for n in (begin, end)]
        left, right = (x + edge - width(".", BODY) for edge in edges)
        page.plot((left, right), (y + 21, y + 21), color=CYAN, lw=4, gid="copied")


def _wrapped(text: str, room: float) -> list[tuple[int, int]]:
    """Begin and end of each line of at most `room` px that a text is broken into: between words,
    and inside one that is wider, as in scripts without spaces.
    """
    rows = [(0, 0)]
    begin = 0
    for word in text.split(" "):
        end = begin + len(word)
        if _wide(text[rows[-1][0] : end]) > room and rows[-1][1] > rows[-1][0]:
            rows.append((begin, end))
        else:
            rows[-1] = (rows[-1][0], end)
        while _wide(text[slice(*rows[-1])]) > room:
            first, last = rows.pop()
            fits = bisect(range(first + 2, last), room, key=lambda n: _wide(text[first:n]))
            rows += [(first, first + 1 + fits), (first + 1 + fits, last)]
        begin = end + 1
    return [row for row in rows if text[row[0] : row[1]].strip()]


def _wide(text: str) -> float:
    return width(drawable(text), BODY)
