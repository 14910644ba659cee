"""Text cut to the room on a screen. What makes it safe to show is in `shakegpt.sanitize`.

Markup is no concern: texts are shown as `textual.content.Content`, which parses none.
"""

from __future__ import annotations

import re
import textwrap

from shakegpt.sanitize import one_line as one_line
from shakegpt.sanitize import printable as printable


def unsigned(sentence: str) -> str:
    """What the command line says on stderr, without its name before it."""
    return sentence.removeprefix("shakegpt: ")


def fitting(text: str, width: int, height: int) -> str:
    r"""As many whole sentences of `text` as `width` x `height` characters hold.

    Of a first one that is longer, as much as they hold.

    >>> fitting("Seven letters. And some more.", 20, 1)
    'Seven letters.'
    >>> fitting("Seven letters", 6, 1)
    'Seven…'
    >>> fitting("A command\nand what it does", 12, 2)
    'A command\nand what it…'
    """
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, max(width, 1))]
    if len(lines) <= height:
        return text
    kept = lines[: max(height, 1)]
    whole = re.match(r".*\.(?=\s|$)", "\n".join(kept), re.DOTALL)
    return whole[0] if whole else "\n".join([*kept[:-1], kept[-1][: max(width - 1, 0)] + "…"])
