"""Fonts of the system, for characters of a user's text that the shipped fonts lack.

Figures of a text that the shipped fonts cover do not depend on them. A character is always taken
from the first of `fonts` that has it, so that one machine draws a log the same way every time.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.ft2font import FT2Font

PREFERRED = (
    "Noto Sans",
    "Source Han Sans",
    "PingFang|Hiragino|Apple SD Gothic",
    "Microsoft YaHei|Yu Gothic|Malgun Gothic|Segoe UI|Nirmala UI|Leelawadee UI",
    "WenQuanYi|Droid Sans Fallback|IPA|Nanum|UnDotum",
    "Arial Unicode|Geeza|Kohinoor|Thonburi|FreeSans|Unifont|Code2000",
)
"""Families that cover many scripts, in this order; what else is installed comes after them."""
_UNFIT = re.compile("emoji|color|symbol|lastresort|last resort|blank|barcode|^shakegpt", re.I)
MOST = 200
"""Fonts that are looked into."""


@lru_cache(maxsize=1)
def fonts() -> tuple[FontEntry, ...]:
    """Upright fonts of normal weight, one a family, the preferred first."""

    def place(entry: FontEntry) -> tuple[int, str, str]:
        matches = (n for n, names in enumerate(PREFERRED) if re.match(names, entry.name))
        return next(matches, len(PREFERRED)), entry.name, str(entry.fname)

    fit = [
        entry
        for entry in fontManager.ttflist
        if entry.style == "normal" and entry.weight in (400, "normal", "regular", "book")
        if not _UNFIT.search(entry.name) and not getattr(entry, "index", 0)
    ]
    fit.sort(key=place)
    return tuple({entry.name: entry for entry in reversed(fit)}.values())[::-1][:MOST]


@lru_cache(maxsize=MOST)
def _codes(file: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()  # damaged, or a format that cannot be drawn


_used: set[str] = set()


@cache
def covers(char: str) -> bool:
    """Whether a font of the system has a glyph for this character, which is drawn with it then."""
    families = (e.name for e in fonts() if ord(char) in _codes(str(e.fname)))
    family = next(families, None)
    if family is not None:
        _used.add(family)
    return family is not None


def used() -> tuple[str, ...]:
    """The families that `covers` has returned True for, in the order of `fonts`."""
    return tuple(entry.name for entry in fonts() if entry.name in _used) if _used else ()
