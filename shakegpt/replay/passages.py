"""Records of the windows that changed a token's probability in a replay."""

from __future__ import annotations

from shakegpt.data.dataset import Dataset
from shakegpt.data.speakers import opening
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.replay.training import Effect, Replay
from shakegpt.runlog.control import Passage
from shakegpt.sanitize import one_line, printable

EXCERPT = 72
"""Characters of an excerpt."""
BEFORE_TOKENS = 400
"""Tokens before a window that are searched for its speaker."""


def passage(effect: Effect, replay: Replay, tokenizer: Tokenizer, token: int) -> Passage:
    """The window of `effect` with its place in the text, its speaker and an excerpt, around the
    token id `token` if the window contains it.
    """
    window, dataset = effect.window, replay.setup.dataset
    ids = _ids(dataset, window.start, window.start + window.length + 1)
    before = tokenizer.decode(_ids(dataset, max(0, window.start - BEFORE_TOKENS), window.start))
    text = tokenizer.decode(ids)
    offset = len(tokenizer.decode(ids[: ids.index(token)])) if token in ids else None
    place = offset or 0
    return Passage(
        start=window.start,
        length=window.length,
        effect=effect.effect,
        speaker=_speaker(before + text[: place + 1]),
        offset=offset,
        excerpt=one_line(text[max(0, place - EXCERPT // 2) :][:EXCERPT]),
        text=text,
        update=replay.largest,
        windows=replay.windows,
    )


def _ids(dataset: Dataset, begin: int, end: int) -> list[int]:
    return [int(id) for id in dataset.train[begin:end]]


def _speaker(text: str) -> str | None:
    """Who speaks at the end of `text`; None for prose."""
    lines = text.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        if speaker := opening(lines[number], lines[number - 1] if number else ""):
            return printable(speaker[0])
    return None
