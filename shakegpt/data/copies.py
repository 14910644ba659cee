"""What a sample copied word for word from the text that the model learned.

Words are compared in their order, white space and line breaks aside; a passage of fewer than
`SHORTEST` words is how anybody talks.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from dataclasses import dataclass

SHORTEST = 4
"""Words of a passage that counts as a copy."""
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Copy:
    """A passage of a sample that stands in the text. Offsets are in characters."""

    begin: int
    end: int
    """Where it stands in the sample."""
    words: int
    source: int
    """Where it first stands in the text."""


class CopyFinder:
    """Finds the passages of samples in one text, which is prepared once: about 0.2 s a megabyte."""

    def __init__(self, text: str) -> None:
        # arrays: as lists, the places of the plays' words take 65 MB
        self._places = array("I", (match.start() for match in _WORD.finditer(text)))
        self._words = " " + " ".join(text.split()) + " "
        self._starts = array("I", (m.start() - 1 for m in _WORD.finditer(self._words)))

    def copies(self, sample: str) -> list[Copy]:
        """The longest passages of `sample` in the text, in order, none inside another."""
        words = list(_WORD.finditer(sample))
        found, end = list[Copy](), 0
        for begin in range(len(words)):
            end = max(end, begin)
            before, at = end, -1
            while end < len(words) and (place := self._find(words[begin : end + 1])) >= 0:
                at, end = place, end + 1
            if end > before and end - begin >= SHORTEST:
                source = self._places[bisect_left(self._starts, at)]
                found.append(Copy(words[begin].start(), words[end - 1].end(), end - begin, source))
        return found

    def _find(self, words: list[re.Match[str]]) -> int:
        return self._words.find(" " + " ".join(word[0] for word in words) + " ")


def longest(copies: list[Copy]) -> Copy | None:
    """The copy of most words, the first of them; None when there is none."""
    return max(copies, key=lambda copy: copy.words, default=None)
