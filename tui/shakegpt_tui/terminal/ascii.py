"""The screen in ASCII, for a terminal whose encoding has no lines, blocks and dots."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from shakegpt_tui.terminal import capabilities

SAMPLE = "─│╭█▁⣿●"
"""What the screens draw with: a terminal that has these is left alone."""
SHAPES = {
    "-": "─━┈┉╌╍╴╶╸╺═–—▔⎯‾",
    "|": "│┃┆┇┊┋╎╏╵╷╹╻║▏▎▍▌▕",
    "+": "┌┐└┘├┤┬┴┼╭╮╯╰┏┓┗┛┣┫┳┻╋",
    "#": "█▇▆▅▊▉▛▜▙▟▓■",
    "=": "▬",
    ":": "▚▞▒░⠿",
    "*": "●•★◆",
    "o": "○◌◇",
    ".": "·…▁▂▃▄▖▗",
    "^": "▲▴↑",
    "v": "▼▾↓",
    ">": "→▸▶›»",
    "<": "←◂◀‹«",
    "x": "×✗✕",
    '"': "“”„",
    "'": "‘’▀▘▝",
}
_TABLE = {shape: char for char, shapes in SHAPES.items() for shape in shapes}


class AsciiFilter(LineFilter):
    """Replaces what the terminal cannot show, cell by cell, so that nothing moves."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same cells in characters of the terminal's encoding."""
        return [
            segment if segment.text.isascii() else Segment(_shown(segment.text), segment.style)
            for segment in segments
        ]


@lru_cache(4096)
def _shown(text: str) -> str:
    return "".join(char if capabilities.encodes(char) else _replaced(char) for char in text)


def _replaced(char: str) -> str:
    """As many ASCII characters as `char` has cells: its shape, its letter, or question marks."""
    if char in _TABLE:
        return _TABLE[char]
    if "⠀" <= char <= "⣿":
        return ".:#"[min(bin(ord(char) & 0xFF).count("1") // 3, 2)] if char != "⠀" else " "
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    width = cell_len(char)
    return plain if len(plain) == width else "?" * width
