"""How the figures look: the deck's palette, fonts and margins, and a slide to draw on in pixels.

A figure is a 1920x1080 slide. It is 1920/72 inches wide at 72 dots an inch, so that a point is a
pixel and a font size of 28 is 28 px on the slide. Nothing is smaller: at six picture heights from
the wall that is what can still be read. Contrasts on the background, by WCAG: INK 15.6, LABEL 11.5,
MUTED 6.7, CYAN 9.4, YELLOW 11.1, GREEN 9.8, ORANGE 7.5; all text has at least 4.5. Two lines
differ by cyan and yellow (no colour blindness merges them) and by form; green and orange only
repeat what a sign or a word says.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, fontManager
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox

from shakegpt_figures import system_fonts

WIDTH, HEIGHT = 1920, 1080
"""The slide, px."""
MARGIN = 125
"""Left and right of everything, px: that of the deck's slides."""

BACKGROUND = "#1a1a2e"
PANEL = "#24243f"
"""Behind a group of things; text on it keeps its contrast."""
BEAM = "#213850"
"""What leads the eye from a part to the same part, opened; no text stands on it."""
INK = "#f1f5f9"
LABEL = "#cbd5e1"
MUTED = "#9ca3af"
RULE = "#6f7796"
"""Lines and arrows that are not text."""
GRID = "#34344f"
CYAN = "#22d3ee"
YELLOW = "#facc15"
GREEN = "#4ade80"
ORANGE = "#fb923c"

LIGHT = {
    BACKGROUND: "#ffffff",
    PANEL: "#eef2f7",
    BEAM: "#e0f2fe",
    INK: "#0f172a",
    LABEL: "#334155",
    MUTED: "#526075",
    RULE: "#8592a6",
    CYAN: "#0e7490",
    YELLOW: "#a15c07",
    GREEN: "#12753a",
    ORANGE: "#b93d0a",
    GRID: "#d5dbe3",
}
"""What each colour becomes on paper; text has at least 4.5:1 there, too."""
NARROWEST = 0.2
"""Nothing of a face is narrower, part of its size; marks that stand on others apart."""
SMALL, BODY, LARGE, TITLE, HERO = 28, 34, 44, 66, 104
"""Font sizes, px."""

Face = Literal["sans", "bold", "title", "mono", "mono bold"]
_FONTS = Path(__file__).with_name("fonts")
_SHIPPED = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
STACKS: dict[Face, tuple[Path, Path]] = {
    "sans": (_FONTS / "NunitoSans-Regular.ttf", _SHIPPED / "DejaVuSans.ttf"),
    "bold": (_FONTS / "NunitoSans-Bold.ttf", _SHIPPED / "DejaVuSans-Bold.ttf"),
    "title": (_FONTS / "Fraunces-SemiBold.ttf", _SHIPPED / "DejaVuSans-Bold.ttf"),
    "mono": (_FONTS / "FiraCode-Regular.ttf", _SHIPPED / "DejaVuSansMono.ttf"),
    "mono bold": (_FONTS / "FiraCode-SemiBold.ttf", _SHIPPED / "DejaVuSansMono-Bold.ttf"),
}
"""The deck's fonts, and for glyphs that they lack the fonts that matplotlib ships."""


@lru_cache(maxsize=1)
def _register() -> None:
    """Name the fonts for matplotlib, by file: a system's own of the same name may differ."""
    for face, stack in STACKS.items():
        for place, file in enumerate(stack):
            name = _family(face, place)
            fontManager.ttflist.append(FontEntry(fname=str(file), name=name, weight=400))


def _family(face: Face, place: int) -> str:
    return f"shakegpt {face} {place}"


def font(face: Face, size: float) -> FontProperties:
    """A face at a size in px, with the system fonts that `system_fonts.covers` has used."""
    return _font(face, size, system_fonts.used())


@lru_cache
def _font(face: Face, size: float, others: tuple[str, ...]) -> FontProperties:
    _register()
    family = [_family(face, place) for place in range(len(STACKS[face]))]
    return FontProperties(family=[*family, *others], weight=400, size=size)


@contextmanager
def talk() -> Iterator[None]:
    """The talk's style and nothing of a user's own matplotlibrc: same log, same bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        style = Path(__file__).with_name("talk.mplstyle")
        matplotlib.rc_file(style, use_default_template=False)
        yield


def slide() -> tuple[Figure, Axes]:
    """An empty slide, and axes over all of it in px from the top left corner."""
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
    axes = figure.add_axes((0, 0, 1, 1), zorder=1)
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.set_axis_off()
    return figure, axes


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    size: float = BODY,
    colour: str = INK,
    face: Face = "sans",
    **how: Any,
) -> Text:
    """Put one line of text with its left end at (x, y), on y unless `how` says otherwise."""
    how = {"ha": "left", "va": "center_baseline", **how}
    return axes.text(x, y, text, color=colour, fontproperties=font(face, size), **how)


def box(axes: Axes, left: float, top: float, right: float, bottom: float, **look: Any) -> None:
    """Draw a box with round corners."""
    look = {"boxstyle": "round,pad=0,rounding_size=14", "lw": 3, **look}
    axes.add_patch(FancyBboxPatch((left, top), right - left, bottom - top, **look))


def arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    """Draw an arrow."""
    look = {"arrowstyle": "-|>,head_length=13,head_width=8", "color": RULE, "lw": 4, **look}
    look = {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 1, **look}
    axes.add_patch(FancyArrowPatch(begin, end, **look))


@lru_cache(maxsize=4096)
def width(text: str, size: float, face: Face = "sans") -> float:
    """How wide a line of text is, px."""
    if not text.strip():
        return len(text) * size * 0.32
    return float(extents(TextPath((0, 0), text, prop=font(face, size))).width)


def extents(outline: Outline) -> Bbox:
    """The box of an outline, the same as its `get_extents` in a fraction of the time.

    Fonts have points where their curves are outermost: then no curve need be followed.
    """
    points, codes = np.asarray(outline.vertices), np.asarray(outline.codes)
    quadratic = codes == Outline.CURVE3  # a control point, then an end
    inked = codes != Outline.CLOSEPOLY
    ends = points[inked & ~(quadratic & (quadratic.cumsum() % 2 == 1))]
    if len(ends) and not (codes == Outline.CURVE4).any():
        low, high = ends.min(axis=0), ends.max(axis=0)
        if (points[inked] >= low).all() and (points[inked] <= high).all():
            return Bbox([low, high])
    return outline.get_extents()


def fitting(text: str, room: float, size: float, face: Face = "sans") -> str:
    """The text, its end cut off with an ellipsis when it is wider than `room` px."""
    most = 1 + int(room / (size * NARROWEST))  # the rest of a long text need not be measured
    if len(text) <= most and width(text, size, face) <= room:
        return text
    text = text[:most]
    fits = bisect(range(len(text)), room, key=lambda n: width(text[:n] + "…", size, face))
    return text[: max(0, fits - 1)] + "…"


def shrunk(text: str, room: float, size: float, face: Face = "sans", least: float = SMALL) -> float:
    """The largest font size up to `size`, and at least `least`, at which `text` fits `room` px."""
    wide = width(text, size, face)
    return size if wide <= room else max(least, 0.98 * size * room / wide)


def repaint(figure: Figure, colours: dict[str, str]) -> None:
    """Give everything in the figure the colour that its own one is mapped to."""

    def other(colour: Any) -> Any:
        if isinstance(colour, str) and colour.lower() == "none":
            return colour
        rgba = to_rgba(colour)
        return to_rgba(colours.get(to_hex(rgba), to_hex(rgba)), rgba[3])

    for artist in figure.findobj():
        if isinstance(artist, Text):
            artist.set_color(other(artist.get_color()))
        elif isinstance(artist, Line2D):
            for what in ("color", "markerfacecolor", "markeredgecolor"):
                getattr(artist, f"set_{what}")(other(getattr(artist, f"get_{what}")()))
        elif isinstance(artist, Patch):
            for what in ("facecolor", "edgecolor"):
                getattr(artist, f"set_{what}")(other(getattr(artist, f"get_{what}")()))
