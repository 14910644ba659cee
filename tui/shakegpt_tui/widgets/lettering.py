"""Large letters of block characters: text as pixels, two of them in a cell.

The font is DejaVu Sans, which matplotlib brings along; Pillow draws it with its hints, so that it
is crisp at eight pixels.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HALVES = " ▀▄█"
SIZES = (8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 56, 64)
"""Font sizes in pixels that are tried, smallest first."""


BOLD_FROM = 14
"""Size from which letters that are not running text are bold: smaller ones would clog."""


@dataclass(frozen=True)
class Lettering:
    """A font at one size."""

    size: int
    bold: bool = False

    @property
    def _font(self) -> ImageFont.FreeTypeFont:
        return _load(self.size, self.bold)

    @property
    def rows(self) -> int:
        """Rows of cells that a line of text takes: from the highest accent of capitals down."""
        return (self._top_and_height[1] + 1) // 2

    @property
    def _top_and_height(self) -> tuple[int, int]:
        _, top, _, bottom = self._font.getbbox("Aj|", mode="1")
        return int(top), int(bottom - top)

    def width(self, text: str) -> int:
        """Columns that `text` takes."""
        return round(self._font.getlength(text, mode="1"))

    def draw(self, text: str) -> list[str]:
        """`text` as `rows` rows of block characters, each `width` long."""
        top, _ = self._top_and_height
        width = max(self.width(text), 1)
        image = Image.new("1", (width, 2 * self.rows))
        ImageDraw.Draw(image).text((0, -top), text, font=self._font, fill=1)
        pixels = [bool(byte) for byte in image.convert("L").tobytes()]
        lines = [pixels[y * width : (y + 1) * width] for y in range(2 * self.rows)]
        return [
            "".join(HALVES[upper + 2 * lower] for upper, lower in zip(*pair, strict=True))
            for pair in zip(lines[::2], lines[1::2], strict=True)
        ]

    def wrap(self, text: str, width: int, most: int) -> list[str]:
        """The first `most` lines of `text`, broken to `width` columns at spaces where possible."""
        lines: list[str] = []
        for paragraph in text.splitlines():
            line = ""
            for word in paragraph.split(" "):
                longer = f"{line} {word}" if line else word
                while self.width(longer) > width and longer:
                    fitting = line or self._prefix(longer, width)
                    lines.append(fitting)
                    longer, line = longer[len(fitting) :].lstrip(" "), ""
                    if len(lines) >= most:
                        return lines
                line = longer
            lines.append(line)
            if len(lines) >= most:
                break
        return lines[:most]

    def _prefix(self, word: str, width: int) -> str:
        fits = (n for n in range(len(word), 1, -1) if self.width(word[:n]) <= width)
        return word[: next(fits, 1)]


def largest(text: str, width: int, height: int, *, bold: bool = False) -> Lettering | None:
    """The largest lettering in which `text` fits into that many cells; None if none does.

    `height` is in rows.
    """
    sizes = (Lettering(size, bold and size >= BOLD_FROM) for size in reversed(SIZES))
    fits = (font for font in sizes if font.rows <= height and font.width(text) <= width)
    return next(fits, None)


@lru_cache
def _load(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    package = importlib.util.find_spec("matplotlib")  # not imported: that takes half a second
    assert package is not None and package.submodule_search_locations
    fonts = Path(package.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(fonts / name, size)
