"""The speakers in a text laid out as a play, in any script: one rule for texts, claims and slides.

A speech opens at the start of the text or after a blank line, with a name and a colon. In scripts
with capitals the name is alone on its line (`First Citizen:`), with capitalized words except for
small ones (`I am so sorry:` is no name), or is in capitals before the speech (`ROMEO: Soft!`); one
in capitals, alone on its line, opens a speech anywhere, since models forget the blank line, and may
end with a period as in printed plays (`HAMLET.`). In scripts without capitals a name is short, and
its speech does not begin with a quotation mark.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_COLON = re.compile(r"([^\W\d_][^:：\n]{0,40}?)[ \t\xa0]*(?::(?=\s|\Z)|：)\s*(.*)")
_PERIOD = re.compile(r"([^\W\d_][^:：\n]{0,40})\.")
_LONGEST = 48
"""Characters of a line within which a name ends."""
_NUMBER = re.compile(r" ?\d{1,2}$")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_JOINING = frozenset(" '’.,&-–·・\u200c\u200d")
_QUOTES = tuple("“”„‘«»「『\"'")
_SMALL = re.compile(
    "of|the|and|to|in|a|de|du|des|da|do|dos|la|le|les|el|los|las|y|e|di|del|della|von|vom|der|die|"
    "das|und|van|den|het|en|och|og|af|av|и|на|в"
)
_HEADING = re.compile(
    "(?:the )?(?:act|acte|akt|atto|acto|ato|scene|scène|szene|scena|escena|cena|aufzug|auftritt|"
    "chapter|chapitre|kapitel|book|part|volume|enter|exit|exeunt|end|fin|finis|ende|акт|действие|"
    r"сцена|явление|глава|часть|занавес|конец)\b|[ivxlc]+$"
)


def opening(line: str, before: str = "") -> tuple[str, str] | None:
    """Name and first words of a line that opens a speech; None for any other line.

    `before` is the line above, "" at the start of a text.

    >>> opening("ROMEO: You're high."), opening("First Lord:"), opening("My lord: come here.")
    (('ROMEO', "You're high."), ('First Lord', ''), None)
    >>> opening("DUKE:", "Adieu."), opening("Soft:", "Adieu."), opening("罗密欧：啊！")
    (('DUKE', ''), None, ('罗密欧', '啊！'))
    """
    line, after_blank = line.rstrip(), not before.strip()
    if match := _COLON.match(line):
        name, words = match[1], match[2]
    elif (match := _PERIOD.fullmatch(line)) and after_blank and _may_end_with_period(match[1]):
        name, words = match[1], ""
    else:
        return None
    bare = _NUMBER.sub("", name)
    if not _is_name(bare) or (bare != name and _is_heading(bare)):
        return None
    if _has_case(bare):
        opens = _opens_with_capitals(bare, words, after_blank)
    else:
        opens = _opens_without_capitals(bare, words, after_blank or "：" in line)
    return (name, words) if opens else None


def speakers(text: str) -> tuple[str, ...]:
    """The speakers of a text, each once, in the order of appearance; () for prose."""
    names, before = dict[str, None](), ""
    for line in text.split("\n"):
        head = line[:_LONGEST]
        marked = ":" in head or "：" in head or ("." in head and not before.strip())
        if marked and (speech := opening(line, before)):
            names[speech[0]] = None
        before = line
    return tuple(names)


def invented(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those of `names` that are not in `known`, regardless of case."""
    folded = {name.casefold() for name in known}
    return [name for name in names if name.casefold() not in folded]


def _opens_with_capitals(name: str, words: str, after_blank: bool) -> bool:
    capitals = not _has_lower(name)
    if words:
        return capitals and after_blank
    if capitals and len(name) > 1:
        return True
    begins = not _has_lower(name[0])
    named = all(not _has_lower(word[0]) or _SMALL.fullmatch(word) for word in _WORD.findall(name))
    return after_blank and begins and named


def _opens_without_capitals(name: str, words: str, may_open: bool) -> bool:
    longest = 12 if words else 24
    short = len(name) <= longest and len(name.split()) <= 3
    return may_open and short and not words.startswith(_QUOTES)


def _may_end_with_period(name: str) -> bool:
    plain = "." not in name and "," not in name and len(name.split()) <= 3 and len(name) > 1
    return plain and not _is_heading(name) and not (_has_case(name) and _has_lower(name))


def _is_heading(name: str) -> bool:
    """Whether it is a heading of a part of a play, as `ACT I` and `THE END`."""
    return _HEADING.match(name.casefold()) is not None


@lru_cache(maxsize=4096)
def _is_name(text: str) -> bool:
    """Whether it consists of letters, combining marks and joining characters."""
    return all(
        char.isalpha() or char in _JOINING or unicodedata.category(char)[0] == "M" for char in text
    )


@lru_cache(maxsize=4096)
def _has_lower(text: str) -> bool:
    return any(char.islower() and not _is_georgian(char) for char in text)


@lru_cache(maxsize=4096)
def _has_case(text: str) -> bool:
    return _has_lower(text) or any(char.isupper() for char in text)


def _is_georgian(char: str) -> bool:
    """Whether it is a Georgian letter, lower case to Unicode though names are written in it."""
    return "ა" <= char <= "ჿ"
