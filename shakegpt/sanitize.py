"""Untrusted text made safe to show: from a model, prompt, file or log.

One table for terminal, console, figures and deck. Letters of every script are shown as they are,
with the invisible characters that scripts need: joiners (U+200C in Persian, U+200D in Hindi and
emoji), variation selectors, the soft hyphen. Replaced, one visible character for one, are controls,
whatever changes the reading direction, separators of lines and paragraphs, lone surrogates, and
the invisible characters that no script needs.
"""

from __future__ import annotations

import re

UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # controls but the line feed; some terminals obey C1, too
    "\ud800-\udfff"  # lone surrogates: not encodable in UTF-8
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # reading direction, and deprecated formats
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u200b\u2060-\u2065\ufeff\ufff9-\ufffb"  # zero width without a joining effect, annotations
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"  # shorthand, music, tags
)
"""A character that is never shown as it is. The line feed is not one: it only ends a line."""


def printable(text: str) -> str:
    r"""`text` with each unsafe character replaced by one visible one; line feeds stay.

    >>> printable("a\x1b[31mb\u202ec")
    'a␛[31mb�c'
    """
    return text if text.isprintable() else UNSAFE.sub(_replacement, text)


def _replacement(unsafe: re.Match[str]) -> str:
    code = ord(unsafe[0])
    if code == 0x09:
        return " "
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def one_line(text: str, width: int | None = None) -> str:
    r"""`printable` on one line, line feeds as ↵, cut to `width` characters with an ellipsis.

    >>> one_line("to be,\nor not", 9)
    'to be,↵o…'
    """
    return _cut(printable(text).replace("\n", "↵"), width)


def sentence(text: str, width: int | None = None) -> str:
    """`printable` on one line, each run of white space one space: for messages."""
    return _cut(" ".join(printable(text).split()), width)


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"
