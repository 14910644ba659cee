"""A figure to a file: whole or not at all, the same bytes for the same log, and readable by all.

The bytes do not depend on the machine: matplotlib's wheels bring their own FreeType, the fonts are
the package's, text becomes paths, ids have a fixed salt, sums are exact, and no date, version or
user's configuration gets in. Tried, on x86-64 Linux: Python 3.11 to 3.13, matplotlib 3.11.0 to
3.11.2, numpy 2.2 to 2.4, a processor without newer instructions, and other hash seeds, locales,
time zones, homes, fonts and numbers of threads. Another line of matplotlib spaces letters a little
differently. The figures that ship are compared by a test where the line is 3.11.

Each names the sha256 of its logs in its metadata, so that a deck of two runs is noticed. An SVG
also gets its numbers in words as <title> and <desc>, for screen readers and for search.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from matplotlib.figure import Figure

from shakegpt_figures.style import HEIGHT, LIGHT, WIDTH, repaint, talk

Theme = Literal["dark", "light"]
OMITTED = {
    "svg": ("Date", "Creator"),
    "pdf": ("CreationDate", "Creator", "Producer"),
    "png": ("Software",),
}
"""What matplotlib would write of itself and of the day."""
SOURCE_KEY = {"svg": "Identifier", "pdf": "Keywords", "png": "Source"}
"""The key of a format's metadata that names the logs."""
_IDENTIFIER = re.compile(rb"(<dc:identifier>)([^<]*)(</dc:identifier>)")
_HEAD = re.compile(r"<svg\b[^>]*>", re.DOTALL)
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form."""


NO_LOG = "0" * 64
"""Stands for the sha256 of a figure that is of no log file."""


def render(
    figure: Figure,
    format: str,
    title: str,
    desc: str,
    digests: Sequence[str] = (NO_LOG,),
    theme: Theme = "dark",
    transparent: bool = False,
) -> bytes:
    """The bytes of the file: no date, no version, ids from a fixed salt.

    `digests` are the sha256 of the logs that it shows, which its metadata names.
    """
    out = BytesIO()
    origin = {SOURCE_KEY[format]: provenance(digests)}
    with talk():
        if theme == "light":
            repaint(figure, LIGHT)
        metadata = dict.fromkeys(OMITTED[format]) | origin
        figure.savefig(out, format=format, metadata=metadata, transparent=transparent)
    data = out.getvalue()
    return _with_words(data.decode(), title, desc).encode() if format == "svg" else data


def provenance(digests: Sequence[str]) -> str:
    """As it stands in a figure's metadata: sha256: and the sum of each log, with spaces."""
    return " ".join(f"sha256:{digest}" for digest in digests)


def stamp(svg: bytes, digests: Sequence[str]) -> bytes:
    """A figure that the records added since would not change, as one of the longer log."""
    return _IDENTIFIER.sub(lambda m: m[1] + provenance(digests).encode() + m[3], svg, count=1)


def digests_of(svg: Path) -> list[str]:
    """The sha256 of the logs that an SVG was drawn from, the deck's first; [] without any."""
    try:
        match = _IDENTIFIER.search(svg.read_bytes())
    except OSError:
        return []
    return [part.removeprefix("sha256:") for part in match[2].decode().split()] if match else []


def _with_words(svg: str, title: str, desc: str) -> str:
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
