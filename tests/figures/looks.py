"""What a room sees of a figure: its texts, where they stand, how large, in which contrast."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import combinations
from operator import mul
from typing import Any
from unittest.mock import patch

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D, Bbox

from shakegpt_figures import style

SVG = "{http://www.w3.org/2000/svg}"


def texts(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Every text that is really drawn, with the box that its ink fills in px from bottom left."""
    renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    drawn: list[tuple[Text, Bbox]] = []
    original = renderer.draw_text

    def draw_text(
        gc: Any,
        x: float,
        y: float,
        said: str,
        prop: Any,
        angle: float,
        *rest: Any,
        mtext: Text,
        **named: Any,
    ) -> None:
        if said.strip():
            outline = TextPath((0, 0), said, prop=prop)
            ink = style.extents(outline.transformed(Affine2D().rotate_deg(angle)))
            drawn.append((mtext, ink.translated(x, renderer.height - y)))
        original(gc, x, y, said, prop, angle, *rest, mtext=mtext, **named)

    with style.talk(), patch.object(renderer, "draw_text", draw_text):
        figure.draw(renderer)
    return drawn


BLIND = {  # Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def apart(one: str, other: str, blindness: str) -> float:
    """How far two colours are apart for an eye of this kind: CIELAB, where 2.3 is just seen."""
    return math.dist(_lab(_seen(one, blindness)), _lab(_seen(other, blindness)))


def _seen(colour: str, blindness: str) -> tuple[float, ...]:
    """A colour's linear RGB as such an eye has it."""
    told = _linear(colour)
    rows = (sum(map(mul, row, told)) for row in BLIND[blindness])
    return tuple(min(1.0, max(0.0, c)) for c in rows)


def _lab(linear: tuple[float, ...]) -> tuple[float, float, float]:
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    xyz = (sum(map(mul, row, linear)) / w for row, w in zip(rows, white, strict=True))
    x, y, z = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def blended(colour: str, alpha: float, ground: str) -> str:
    """What a see-through colour looks like on a ground."""
    pairs = zip(to_rgb(colour), to_rgb(ground), strict=True)
    return to_hex(tuple(alpha * c + (1 - alpha) * g for c, g in pairs))  # type: ignore[arg-type]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, by WCAG 2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    linear = _linear(colour)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _linear(colour: str) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]


def complaints(figure: Figure) -> list[str]:
    """What is wrong for a room: outside the slide, upon another text, too small, too pale."""
    found, wrong = texts(figure), []
    for text, box in found:
        said = repr(text.get_text())
        if box.x0 < 0 or box.y0 < 0 or box.x1 > style.WIDTH or box.y1 > style.HEIGHT:
            wrong.append(f"{said} leaves the slide: {box}")
        if float(text.get_fontsize()) < 28:
            wrong.append(f"{said} has {text.get_fontsize()} px")
        if text.get_alpha() not in (None, 1):
            wrong.append(f"{said} is see-through")
        under = [style.YELLOW] if text.get_color() == style.BACKGROUND else []
        for ground in under or (style.BACKGROUND, style.PANEL):
            if contrast(str(text.get_color()), ground) < 4.5:
                wrong.append(f"{said} is {text.get_color()} on {ground}")
    for (one, a), (other, b) in combinations(found, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        tall = min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > 1 and tall > 1:
            wrong.append(f"{one.get_text()!r} and {other.get_text()!r} overlap by {wide}x{tall}")
    return wrong


class Svg:
    """An SVG read back: its words, and its curves in the units of their axes."""

    def __init__(self, data: bytes) -> None:
        builder = ET.TreeBuilder(insert_comments=True)
        self.root = ET.fromstring(data, parser=ET.XMLParser(target=builder))

    @property
    def desc(self) -> str:
        return self.root.findtext(f"{SVG}desc") or ""

    @property
    def words(self) -> list[str]:
        """All drawn texts, which matplotlib leaves as comments beside their outlines."""
        return [(e.text or "").strip() for e in self.root.iter() if not isinstance(e.tag, str)]

    def group(self, gid: str) -> ET.Element:
        return next(e for e in self.root.iter(f"{SVG}g") if e.get("id") == gid)

    def points(self, gid: str) -> list[tuple[float, float]]:
        """The markers of a curve, as (iteration, loss)."""
        x, y = self._scale("xtick"), self._scale("ytick")
        uses = self.group(gid).iter(f"{SVG}use")
        return [(x(float(u.get("x", "nan"))), y(float(u.get("y", "nan")))) for u in uses]

    def _scale(self, kind: str) -> Callable[[float], float]:
        ticks = [e for e in self.root.iter(f"{SVG}g") if re.match(kind, e.get("id", ""))]
        marks = sorted(self._tick(tick, kind) for tick in ticks)
        (p, a), (q, b) = marks[0], marks[-1]
        return lambda px: a + (px - p) * (b - a) / (q - p)

    def _tick(self, tick: ET.Element, kind: str) -> tuple[float, float]:
        label = next(e.text for e in tick.iter() if not isinstance(e.tag, str))
        value = float((label or "").strip().replace(",", ""))
        if kind == "xtick":
            return float(next(tick.iter(f"{SVG}use")).get("x", "nan")), value
        path = next(e for e in tick.iter(f"{SVG}path") if "L" in e.get("d", ""))
        return float(path.get("d", "").split()[2]), value
