r"""Text of a run made safe to draw: what has no shape, or no glyph in our fonts, becomes visible.

Prompts, samples and names come from models and files. A newline turns into ↵, a space into ␣,
controls into escapes such as \u202e. A character that the shipped fonts lack is taken from a font
of the system, or becomes an escape, too, where no font has it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from matplotlib.ft2font import FT2Font

from shakegpt_figures import system_fonts
from shakegpt_figures.style import STACKS, Face, fitting

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, formats, unassigned, separators
_NAMED = {"\n": "↵", "\t": "\\t", "\r": "\\r"}


@lru_cache
def _glyphs(face: Face) -> frozenset[int]:
    return frozenset(code for file in STACKS[face] for code in FT2Font(str(file)).get_charmap())


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def drawable(text: str, face: Face = "sans") -> str:
    """`text` with every character that `face` cannot show replaced by a name or an escape."""
    shown = "".join(_drawable(char, face) for char in text)
    if shown and unicodedata.combining(shown[0]):
        return "◌" + shown  # an accent on its own needs something to sit on
    return shown


def _drawable(char: str, face: Face) -> str:
    if char in _NAMED:
        return _NAMED[char]
    shown = unicodedata.category(char) not in _UNSEEN
    return char if shown and _has(char, face) else _escape(char)


def _has(char: str, face: Face) -> bool:
    return ord(char) in _glyphs(face) or system_fonts.covers(char)


def lacking(text: str) -> str:
    """The characters of a text that no installed font can show, each once."""
    return "".join(
        char
        for char in dict.fromkeys(text)
        if unicodedata.category(char) not in _UNSEEN and not _has(char, "sans")
    )


def face_for(text: str, bold: bool = False) -> Face:
    """Monospaced where it has all the glyphs, else the sans that knows more scripts."""
    mono: Face = "mono bold" if bold else "mono"
    if all(ord(char) in _glyphs(mono) for char in text if char.isprintable()):
        return mono
    return "bold" if bold else "sans"


def whole_characters(text: str) -> str:
    """A text whose parts of characters, which several tokens make up, are called so."""
    return re.sub("\ufffd+", "(byte)", text)


def token(text: str, room: float, size: float, bold: bool = False) -> tuple[str, Face]:
    """A token as a person can tell it from others, cut to `room` px, and the face to draw it in."""
    face = face_for(text, bold)
    shown = drawable(whole_characters(text).replace(" ", "␣"), face)
    return fitting(shown, room, size, face), face
