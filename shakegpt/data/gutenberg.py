"""Project Gutenberg's headers and licences in a text: where they are, and a warning of them.

A plain-text book from there begins with a header, which a line `*** START OF THE PROJECT GUTENBERG
EBOOK …` ends, and a line `*** END OF …` begins the licence behind it: about 19,000 characters, as
many as the validation part of a short book. Header and licence name the project every few lines,
which tells how far they reach; without such a line, the name is only a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from shakegpt.data.folders import RECORDS, kind_of
from shakegpt.data.sources import STDIN, Text
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.sanitize import one_line

LEAST = 0.001
"""Share of a part of the text from which on a warning is given."""
_GAP = 3000
"""Characters between two names of the project in a header or licence, at most: in the licence of
2026, 2,246."""
_REST = 1000
"""Characters before the first name, or behind the last one, that belong to it at a text's ends."""
_LINE = 400
"""Characters of a line, or of one that a long title wraps, that are looked at."""
_MOST_PLACES = 4

_NAMES = ("G(?:UTENBERG|utenberg)", r"\*END\*? ?THE SMALL PRINT!")
"""Each begins with one fixed character, which is quick to find: one for both is 15 times slower."""
_START = re.compile(
    r"[ \t\ufeff]*(?:\*\*\* ?START OF TH(?:E|IS) (?:COPYRIGHTED )?PROJECT GUTENBERG"
    r"|\*END\*? ?THE SMALL PRINT!)"  # before 2003
)
_END = re.compile(
    r"[ \t\ufeff]*(?:\*\*\* ?END OF TH(?:E|IS) (?:COPYRIGHTED )?PROJECT GUTENBERG"
    r"|THE FULL PROJECT GUTENBERG LICENSE)"
)
_CLOSING = re.compile(r"[ \t]*End(?: of(?: th(?:e|is))?|e dieses) Proje[ck]t Gutenberg", re.I)
"""The line that often stands above `_END`, and begins no licence by itself."""
_TITLE = re.compile(r"[^\n*]*(?:\n[^\n*]+){0,3}\*\*\*")

Kind = Literal["start", "end", "closing", ""]
Place = tuple[int, int]
"""The begin and end of whole lines, in characters."""


class _Mention(NamedTuple):
    """The project's name, or an old header's last line: where the line begins, where the name
    stands, what kind of line it is.
    """

    line: int
    place: int
    kind: Kind


def places(content: str) -> list[Place]:
    """The headers and licences in a text, in order; [] in one that only mentions the project."""
    names = sorted(m.start() for pattern in _NAMES for m in re.finditer(pattern, content))
    mentions = [_mention(content, place) for place in names]
    return [place for group in _groups(content, mentions) for place in _places(content, group)]


def warning(text: Text, parts: Mapping[str, Place]) -> str | None:
    """A sentence on the share of headers and licences in `parts` of a text, and what to delete.

    `parts` are by what they are for, in the order to be named, those with a share of less than
    `LEAST` left out; None where that is all of them.
    """
    found, whole = places(text.content), (0, len(text.content))
    shares = {name: _share(found, part) for name, part in parts.items()}
    shares = {name: share for name, share in shares.items() if share >= LEAST}
    if not shares:
        return None
    named = " and ".join(
        f"{100 * share:.3g} %" + (f" of the {part} part" if parts[part] != whole else "")
        for part, share in shares.items()
    )
    name = "the text" if text.name == STDIN else one_line(text.name, 60)
    return (
        f"{named} of {name} is Project Gutenberg's header and licence, not the book"
        f"{', and val loss is measured on it' if 'validation' in shares else ''}: "
        f"{_way_out(text, found)}"
    )


def _way_out(text: Text, found: Sequence[Place]) -> str:
    if text.documents > 1 or kind_of(text.name) in RECORDS or len(found) > _MOST_PLACES:
        return "keep of each book only what stands between *** START OF … and *** END OF …"
    lines = [
        (text.content.count("\n", 0, begin) + 1, text.content.count("\n", 0, end - 1) + 1)
        for begin, end in found
    ]
    *rest, last = (f"{a}-{b}" if a < b else f"{a}" for a, b in lines)
    return f"delete lines {', '.join(rest)}{' and ' if rest else ''}{last}"


def _share(found: Sequence[Place], part: Place) -> float:
    """The share of `part` that is in `found`."""
    begin, end = part
    inside = sum(max(0, min(end, b) - max(begin, a)) for a, b in found)
    return inside / (end - begin) if end > begin else 0.0


def _mention(content: str, place: int) -> _Mention:
    first = max(0, place - _LINE)
    line = max(first, content.rfind("\n", first, place) + 1)
    if (mark := content.rfind(END_OF_TEXT, line, place)) >= 0:
        line = mark + len(END_OF_TEXT)
    kinds: tuple[tuple[Kind, re.Pattern[str]], ...]
    kinds = (("start", _START), ("end", _END), ("closing", _CLOSING))
    matching = (kind for kind, pattern in kinds if pattern.match(content, line, line + _LINE))
    return _Mention(line, place, next(matching, ""))


def _groups(content: str, mentions: Sequence[_Mention]) -> Iterator[list[_Mention]]:
    """Mentions that are near each other, in one document."""
    group = list[_Mention]()
    for mention in mentions:
        if group and (
            mention.place - group[-1].place > _GAP
            or content.find(END_OF_TEXT, group[-1].place, mention.place) >= 0
        ):
            yield group
            group = []
        group.append(mention)
    if group:
        yield group


def _places(content: str, group: Sequence[_Mention]) -> Iterator[Place]:
    """From a header's begin, or a licence's, to the next book's first line or the group's end."""
    marked = next((m.kind for m in group if m.kind in ("start", "end")), "")
    begin = _begin(content, group[0]) if marked == "start" else None
    closing = None
    for mention in group if marked else ():
        if mention.kind == "start":
            if begin is not None:
                yield begin, _line_end(content, mention)
            begin = closing = None
        elif begin is None and mention.kind == "closing":
            closing = mention.line if closing is None else closing
        elif begin is None and mention.kind == "end":
            begin = mention.line if closing is None else closing
    if begin is not None:
        yield begin, _end(content, group[-1])


def _begin(content: str, first: _Mention) -> int:
    """Where the document begins, if it begins shortly before; else the line."""
    before = max(0, first.line - _REST)
    mark = content.rfind(END_OF_TEXT, before, first.line)
    return mark + len(END_OF_TEXT) if mark >= 0 else first.line if before else 0


def _end(content: str, last: _Mention) -> int:
    """Where the document ends, if it ends shortly behind; else the end of the line."""
    end = _line_end(content, last)
    mark = content.find(END_OF_TEXT, end, end + _REST)
    return mark if mark >= 0 else end if len(content) - end > _REST else len(content)


def _line_end(content: str, mention: _Mention) -> int:
    """The end of the line, or of the last one of a title that is wrapped."""
    last = mention.place + _LINE
    title = _TITLE.match(content, mention.place, last) if mention.kind else None
    place = title.end() if title else mention.place
    ends = (content.find("\n", place, last) + 1, content.find(END_OF_TEXT, place, last))
    return min((end for end in ends if end > 0), default=min(len(content), last))
