"""Text that a model, a prompt, a file or a log brought: made safe to put on a terminal.

Nothing in it may move the cursor, change colours, ring the bell or turn the reading direction
around. Each such character becomes one visible stand-in, so offsets into the text stay true.
Markup is no concern here: texts are shown as `textual.content.Content`, which parses none.
"""

from __future__ import annotations

import re
import textwrap

_LONGEST = 1_000_000
"""Characters of one text that are shown at all; longer ones are damage or an attack."""


def _stand_ins() -> dict[int, str]:
    table = {code: chr(0x2400 + code) for code in range(0x20)}  # ␀ … ␟, the control pictures
    table |= {code: "\ufffd" for code in range(0x80, 0xA0)}  # C1: some terminals obey them
    table |= {code: "\ufffd" for code in range(0xD800, 0xE000)}  # lone surrogates: no UTF-8
    for low, high in ((0x200B, 0x2010), (0x2028, 0x202F), (0x2060, 0x2070), (0xFFF9, 0xFFFC)):
        table |= {code: "\ufffd" for code in range(low, high)}  # zero width, direction, separators
    table |= {0x7F: "␡", 0x9: " ", 0xA: "\n", 0xFEFF: "\ufffd", 0x61C: "\ufffd"}
    return table


_TABLE = _stand_ins()


def printable(text: str) -> str:
    r"""`text` with every control, direction and invisible character replaced, newlines kept.

    >>> printable("a\x1b[31mb")
    'a␛[31mb'
    """
    return text[:_LONGEST].translate(_TABLE)


def one_line(text: str, width: int | None = None) -> str:
    r"""`printable` on one line, newlines as ↵, cut to `width` characters with an ellipsis.

    >>> one_line("to be,\nor not", 9)
    'to be,↵o…'
    """
    line = printable(text).replace("\n", "↵")
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"


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
