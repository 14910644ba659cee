"""samples.svg: the same prompt before and after training, speakers marked that the text lacks."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from shakegpt.data.speakers import invented
from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History, SampleView
from shakegpt_figures import data, words
from shakegpt_figures.excerpt import excerpt, speakers
from shakegpt_figures.glyphs import drawable
from shakegpt_figures.heading import heading
from shakegpt_figures.style import (
    BODY,
    LABEL,
    MARGIN,
    MUTED,
    PANEL,
    RULE,
    SMALL,
    WIDTH,
    YELLOW,
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
ROWS, COLUMNS = 12, 38
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
    look = {"boxstyle": "round,pad=0,rounding_size=22", "fc": PANEL, "ec": PANEL}
    page.add_patch(FancyBboxPatch((left, TOP), PAGE, BOTTOM - TOP, **look))  # type: ignore[arg-type]
    x, y, room = left + 40, TOP + 54.0, PAGE - 80
    moment = words.capital(words.when_done(sample.start.iteration))
    write(page, x, y, moment, SMALL, MUTED)
    lines, cut = excerpt(data.shown_text(sample), ROWS, COLUMNS)
    new = invented(speakers(lines), known) if known else []
    for line in lines:
        if not line.text:
            y += LINE / 2
            continue
        for row in _wrapped(line.text, room):
            y += LINE
            if y > BOTTOM - 30:
                return
            if not line.speaker:
                write(page, x, y, row, BODY)
                continue
            colour = YELLOW if line.text in new else LABEL
            write(page, x, y, row, SMALL, colour, "bold")
            if line.text in new:
                write(page, x + width(row, SMALL, "bold") + 20, y, "invented", SMALL, YELLOW)
    if cut and y + LINE < BOTTOM - 20:
        write(page, x, y + LINE * 0.8, "…", BODY, RULE if not lines else MUTED)


def _wrapped(text: str, room: float) -> list[str]:
    """The text in lines of at most `room` px, broken between words."""
    rows = [""]
    for word in drawable(text).split(" "):
        longer = f"{rows[-1]} {word}".strip()
        if width(longer, BODY) > room and rows[-1]:
            rows.append(word)
        else:
            rows[-1] = longer
    return [
        fitting(row, room - 150 if len(rows) == 1 and row.isupper() else room, BODY)
        for row in rows
        if row
    ]
