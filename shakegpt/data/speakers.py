"""Who speaks in a text laid out as a play: one rule for texts, claims and slides.

A speech opens at the start of the text or after a blank line, with a name and a colon. The name
stands alone on its line (`First Citizen:`), or is in capitals before the words (`ROMEO: Soft!`).
Its words begin with capitals, but for small ones: `I am so sorry:` is nobody. A name in capitals,
alone on its line, opens a speech anywhere: models forget the blank line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = r"([A-Z][A-Za-z' .,&-]{0,40}):(?=\s|\Z)[ \t]*([^\n]*)"
_SMALL = frozenset(("of", "the", "and", "to", "in", "a"))
_LINE = re.compile(_NAME)
_CAPITALS = r"([A-Z][A-Z' .,&-]{1,40}):[ \t]*$"
_SHOUT = re.compile(_CAPITALS)
_SPEECH = re.compile(rf"(?:\A\n?|\n[ \t]*\n){_NAME}|^{_CAPITALS}", re.MULTILINE)


def opening(line: str, before: str = "") -> tuple[str, str] | None:
    """Name and first words of a line that opens a speech; None for a line that names nobody.

    `before` is the line above, "" at the start of a text.

    >>> opening("ROMEO: You're high."), opening("First Lord:"), opening("My lord: come here.")
    (('ROMEO', "You're high."), ('First Lord', ''), None)
    >>> opening("DUKE:", "Adieu."), opening("Soft:", "Adieu.")
    (('DUKE', ''), None)
    """
    if before.strip():
        found = _SHOUT.match(line)
        return (found[1], "") if found else None
    found = _LINE.match(line)
    return (found[1], found[2].strip()) if found and _is_name(found[1], found[2]) else None


def speakers(text: str) -> tuple[str, ...]:
    """Who speaks in a text, each once, in the order of appearance; () for prose."""
    found = _SPEECH.findall(text)
    names = (name or shout for name, words, shout in found if shout or _is_name(name, words))
    return tuple(dict.fromkeys(names))


def invented(spoke: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those of `spoke` whom `known` does not have, however they are capitalised."""
    there = {name.casefold() for name in known}
    return [name for name in spoke if name.casefold() not in there]


def _is_name(name: str, words: str) -> bool:
    if words.strip():
        return name.isupper()
    return all(word[0].isupper() or word in _SMALL for word in re.findall(r"[A-Za-z']+", name))
