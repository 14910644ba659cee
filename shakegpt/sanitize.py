"""Untrusted text made safe to print: from a model, prompt, file or log."""

from __future__ import annotations

import unicodedata


def harmless(text: str) -> str:
    """`text` with every control and direction-changing character made visible, but for line breaks
    and tabs: a terminal shows it and obeys nothing in it.
    """
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or _shows(c) else _visible(c) for c in text)


def _shows(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or char == "\u200d"


def _visible(char: str) -> str:
    code = ord(char)
    return chr(0x2400 + code) if code < 0x20 else f"<{code:04X}>"


def one_line(text: str, most: int) -> str:
    """`text` harmless, on one line, cut to `most` characters."""
    flat = " ".join(harmless(text).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
