"""`shakegpt inspect RUN --why TOKEN`: which windows of the text taught the model a token."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shakegpt.data.speakers import opening
from shakegpt.errors import ShakegptError
from shakegpt.format import duration, probability
from shakegpt.runlog.runs import is_run
from shakegpt.sanitize import one_line, printable

if TYPE_CHECKING:
    from shakegpt.data.dataset import Dataset
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.replay import Effect

MOST_WINDOWS = 10
BAR = 30
"""Columns of the longest bar."""
EXCERPT = 72
BEFORE_TOKENS = 400
"""Tokens before a window among which its speaker is looked for."""


def require_run(name: str) -> None:
    """Raise ShakegptError for what is no run."""
    if not is_run(Path(name)):
        raise ShakegptError(f"--why replays a run, and {name} is none: give a run directory")


def choose(tokenizer: Tokenizer, why: str, drawn: list[int]) -> tuple[int, int]:
    """How many of the tokens `drawn` come before the token that `why` means, and its id.

    It is the first drawn one of this text, blanks aside, or a token to follow the prompt. Raises
    ShakegptError for any other.
    """
    for place, id in enumerate(drawn):
        text = tokenizer.decode([id])
        if text == why or (why.strip() and text.strip() == why.strip()):
            return place, id
    for text in (why, " " + why):
        if len(ids := tokenizer.encode(text, "--why")) == 1:
            return 0, ids[0]
    written = " ".join(repr(tokenizer.decode([id])) for id in drawn)
    raise ShakegptError(f"--why {why!r} is not one token; those written here are {written}")


def explain(run: Path, tokenizer: Tokenizer, context: list[int], token: int, as_json: bool) -> int:
    """Replay `run` and print what moved the token id `token` after the ids `context`.

    Ctrl-C ends it, and what was computed is printed. Returns the exit code.
    """
    from shakegpt.replay import replaying

    curve, effects = list[tuple[int, float]](), list["Effect"]()
    text, after = tokenizer.decode([token]), tokenizer.decode(context)
    started, code, update, total = time.monotonic(), 0, 0, 0
    show = _quiet if as_json else _say
    with replaying(run) as replay:
        dataset = replay.setup.dataset
        show(f"How likely was {_shown(text)} after {_shown(after, 60)}? After each iteration:")
        try:
            for iteration, p in replay.probabilities(context, token):
                curve.append((iteration, p))
                show(f"{iteration:>6} {probability(p):>7} {'█' * round(BAR * p)}".rstrip())
            config = replay.training.config
            update, total = replay.largest, config.batch_size * config.gradient_accumulation_steps
            before, now = dict(curve)[update - 1], dict(curve)[update]
            show("")
            show(
                f"Update {update} changed it most, from {probability(before)} to "
                f"{probability(now)}. The same update without each of its {total} windows:"
            )
            for effect in replay.effects():
                effects.append(effect)
                _progress(len(effects), total)
        except KeyboardInterrupt:
            code = 130
        effects.sort(key=lambda each: -abs(each.effect))
        rows = [_row(each, dataset, tokenizer, token) for each in effects[:MOST_WINDOWS]]
        if as_json:
            found = {
                "token": [token, text],
                "context": after,
                "probabilities": curve,
                "update": update,
                "windows": rows,
                "computed": len(effects),
                "of": total,
            }
            print(json.dumps(found))
            return code
        for row in rows:
            show(f"{100 * row['effect']:>+9.2g} points  {row['speaker'] or ''}".rstrip())
            show(f"{'':>9} {row['excerpt']}")
        if update:
            show(
                f"{len(effects)} of {total} windows computed in "
                f"{duration(time.monotonic() - started)}. A window's effect is for this update "
                "alone: the effects of several do not add up, and later updates build on it."
            )
    return code


def _row(effect: Effect, dataset: Dataset, tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    """Where a window stands in the text, who speaks in it, and words from it."""
    window = effect.window
    ids = [int(id) for id in dataset.train[window.start : window.start + window.length + 1]]
    begin = max(0, window.start - BEFORE_TOKENS)
    before = tokenizer.decode([int(id) for id in dataset.train[begin : window.start]])
    text = tokenizer.decode(ids)
    at = ids.index(token) if token in ids else 0
    place = len(tokenizer.decode(ids[:at]))
    excerpt = text[max(0, place - EXCERPT // 2) :][:EXCERPT]
    return {
        "start": window.start,
        "length": window.length,
        "effect": effect.effect,
        "speaker": _speaker(before + text[: place + 1]),
        "contains_token": token in ids,
        "excerpt": one_line(excerpt),
        "text": text,
    }


def _speaker(text: str) -> str | None:
    """Who speaks at the end of `text`; None for prose."""
    lines = text.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        if found := opening(lines[number], lines[number - 1] if number else ""):
            return printable(found[0])
    return None


def _shown(text: str, width: int = 40) -> str:
    return "'" + one_line(text[-width:]) + "'"


def _say(line: str) -> None:
    print(printable(line), flush=True)


def _quiet(line: str) -> None:
    pass


def _progress(done: int, total: int) -> None:
    """A line on a terminal's stderr that rewrites itself; every quarter elsewhere."""
    if sys.stderr.isatty():
        print(
            f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True
        )
    elif done % max(1, total // 4) == 0:
        print(f"shakegpt: {done} of {total} windows", file=sys.stderr, flush=True)
