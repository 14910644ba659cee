"""Passages that a sample copied from the training text.

Words are compared in order, white space and line breaks aside; passages of fewer than `SHORTEST`
words are ordinary language and do not count. In Chinese and Japanese, which put no spaces between
words, each character is compared, and two count as a word; signs without a letter or digit count
as none. No passage crosses the end of a document.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

import numpy as np
from numpy.typing import NDArray

from shakegpt.data.special_tokens import END_OF_TEXT

SHORTEST = 4
"""Words of a passage that counts as a copy."""
_UNSPACED = (
    "\u3001-\u303f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f"
    "\U00020000-\U0003ffff"
)
"""Characters that stand without spaces: Chinese and Japanese, and their punctuation."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_SPACED = re.compile(r"\S+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_BORDER = f" {(len(END_OF_TEXT) - 2) * chr(0)} "
"""Stands for the end of a document, a word that no sample has."""
_BATCH = 10_000
"""Words that are objects at a time while a text is indexed."""


@dataclass(frozen=True)
class Copy:
    """A passage of a sample that occurs in the text. Offsets are in characters."""

    begin: int
    end: int
    """Offsets in the sample."""
    words: int
    source: int
    """Offset of its first occurrence in the text."""


class CopyFinder:
    """Finds copies from one text, which is indexed once: about 0.2 s per megabyte."""

    def __init__(self, text: str) -> None:
        text = text.replace(END_OF_TEXT, _BORDER)
        # arrays: as lists, the places of the plays' words take 65 MB
        self._places, hashes, parts = array("I"), array("q"), list[str]()
        spaced = _IS_UNSPACED.search(text) is None
        pattern = _SPACED if spaced else _WORD  # a simpler pattern takes half the time
        matches = pattern.finditer(text)
        while batch := list(islice(matches, _BATCH)):
            words = list(map(re.Match.group, batch))
            self._places.extend(map(re.Match.start, batch))
            hashes.extend(map(hash, words))
            parts.append(f" {' '.join(words)} " if spaced else _spaced(words))
        self._text = "".join(parts).replace("  ", " ")
        self._starts = array("I", map(re.Match.start, pattern.finditer(self._text)))
        self._groups = np.sort(np.append(_groups(hashes), np.uint32(0)))  # never empty

    def copies(self, sample: str) -> list[Copy]:
        """The longest passages of `sample` in the text, in order, none inside another."""
        matches = list(_WORD.finditer(sample))
        words = [match[0] for match in matches]
        # few samples have long passages: most groups of words need no search
        groups = _groups(array("q", map(hash, words)))
        known = groups == self._groups.take(self._groups.searchsorted(groups), mode="clip")
        halves = [0, *accumulate(map(_halves, words))]
        copies, end = list[Copy](), 0
        for begin in range(len(known)):
            reach, at = max(end, begin + SHORTEST - 1), -1
            while reach < len(words) and known[reach + 1 - SHORTEST]:
                # a longer passage begins nowhere before a shorter one
                place = self._text.find(_spaced(words[begin : reach + 1]), max(at, 0))
                if place < 0:
                    break
                at, reach = place, reach + 1
            if at < 0:
                continue
            end, count = reach, (halves[reach] - halves[begin]) // 2
            if count >= SHORTEST:
                source = self._places[bisect_left(self._starts, at)]
                copies.append(Copy(matches[begin].start(), matches[end - 1].end(), count, source))
        return copies


def _spaced(words: Sequence[str]) -> str:
    """The words as in the index: one space on both sides of each that has spaces."""
    return "".join(w if _IS_UNSPACED.match(w) else f" {w} " for w in words).replace("  ", " ")


def _halves(word: str) -> int:
    """Half words that it counts as."""
    if not any(map(str.isalnum, word)):
        return 0
    return 1 if _IS_UNSPACED.match(word) else 2


def _groups(hashes: array[int]) -> NDArray[np.uint32]:
    """A number for each `SHORTEST` words in a row, from the hashes of all words."""
    values = np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
    count = max(0, len(values) + 1 - SHORTEST)
    mixed = np.zeros(count, np.uint64)
    for k in range(SHORTEST):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + values[k : k + count]
    return (mixed >> np.uint64(32)).astype(np.uint32)
