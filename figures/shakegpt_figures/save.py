"""A figure to a file: whole or not at all, the same bytes for the same log, and readable by all.

The bytes do not depend on the machine: matplotlib's wheels bring their own FreeType and fonts, text
becomes paths, ids have a fixed salt, sums are exact, and nothing of date, version or configuration
gets in. Tried, on x86-64 Linux: Python 3.11 to 3.13, matplotlib 3.11.0 to 3.11.2, numpy 2.2 to
2.4, a processor without newer instructions, and other hash seeds, locales, time zones, homes, fonts
and numbers of threads. Another line of matplotlib spaces letters a little differently, so
pyproject.toml asks for 3.11. The figures that ship are held to it: a test compares them.

An SVG gets its numbers in words as <title> and <desc>, for screen readers and for whoever searches.
"""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from matplotlib.figure import Figure

from shakegpt_figures.style import HEIGHT, WIDTH, talk
from shakegpt_figures.whole import replace

Format = Literal["svg", "png", "pdf"]
UNTOLD = {
    "svg": ("Date", "Creator"),
    "pdf": ("CreationDate", "Creator", "Producer"),
    "png": ("Software",),
}
"""What matplotlib would write of itself and of the day."""
_HEAD = re.compile(r"<svg\b[^>]*>", re.DOTALL)
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form."""


def save(figure: Figure, path: Path, title: str, desc: str) -> None:
    """Write the figure in the format of the path's suffix.

    Raises ShakegptError when the place cannot be written; a file that was there stays as it was.
    """
    replace(path, render(figure, path.suffix.lstrip("."), title, desc))


def render(figure: Figure, format: str, title: str, desc: str) -> bytes:
    """The bytes of the file: no date, no version, ids from a fixed salt."""
    out = BytesIO()
    with talk():
        figure.savefig(out, format=format, metadata=dict.fromkeys(UNTOLD[format]))
    data = out.getvalue()
    return _told(data.decode(), title, desc).encode() if format == "svg" else data


def _told(svg: str, title: str, desc: str) -> str:
    """The SVG with a head that gives its size in px and says what it shows."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" version="1.1" '
        f'role="img" aria-labelledby="figure-title figure-desc">\n'
        f'<title id="figure-title">{_text(title)}</title>\n'
        f'<desc id="figure-desc">{_text(desc)}</desc>'
    )
    return _HEAD.sub(lambda _: head, svg, count=1)


def _text(text: str) -> str:
    return escape(_UNFIT.sub("\ufffd", text))
