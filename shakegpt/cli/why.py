"""`shakegpt inspect RUN --why TOKEN`: which windows of the text taught the model a token."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shakegpt.cli.imports import heavy_imports
from shakegpt.cli.model import load_model, open_vocabulary, prompt_ids
from shakegpt.config.fields import Device
from shakegpt.errors import ShakegptError
from shakegpt.format import counted, duration, probability
from shakegpt.runlog.history import SampleView, load_started
from shakegpt.runlog.runs import is_run
from shakegpt.runlog.schema import Settings
from shakegpt.sanitize import one_line, printable

if TYPE_CHECKING:
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.runlog.control import Passage

MOST_WINDOWS = 10
BAR = 30
"""Columns of the longest bar."""
WINDOW_FIELDS = ("start", "length", "effect", "speaker", "offset", "excerpt", "text")

Say = Callable[[str], None]


def require_run(name: str) -> None:
    """Raise ShakegptError if `name` is not a run directory."""
    if not is_run(Path(name)):
        raise ShakegptError(f"--why needs a run directory, and {name} is not one")


def explain(
    run: Path, why: str, prompt: str, settings: Settings, device: Device, as_json: bool
) -> int:
    """Replay `run` and print which windows changed the probability of the token `why` in the text
    that the run's best model writes after `prompt`; the log's own values come first, before PyTorch
    is loaded.

    Ctrl-C ends it and prints the results so far. Returns the exit code.
    """
    from shakegpt.checkpoint.config_json import read_config
    from shakegpt.checkpoint.resolve import find
    from shakegpt.data.tokenizer import Tokenizer

    started, say = time.monotonic(), _quiet if as_json else _say
    folder = find(str(run)).folder
    tokenizer, size = Tokenizer(folder), read_config(folder).block_size
    ids = prompt_ids(tokenizer, prompt, size)
    logged = _logged(run, prompt, settings)
    if logged is not None:
        drawn = [token.id for token in logged.tokens[: settings.max_new_tokens]]
        place, token = choose(tokenizer, why, drawn)
        _say_logged(logged, place, token, say)
    with heavy_imports(trains=True):
        from shakegpt.generate import generate
        from shakegpt.hardware.device import choose as choose_device
        from shakegpt.nn.fast_decode import seen
        from shakegpt.replay.training import replaying  # noqa: F401
    if logged is None:
        source, _ = open_vocabulary(str(run))
        model = load_model(source, choose_device(device, "float32").device)
        drawn = [draw.id for draw in generate(model, tokenizer, ids, settings)]
        place, token = choose(tokenizer, why, drawn)
    return _replay(run, tokenizer, seen(ids, drawn[:place], size), token, started, as_json)


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
    raise ShakegptError(f"--why must be one token, got {why!r}; the tokens here are {written}")


def _logged(run: Path, prompt: str, settings: Settings) -> SampleView | None:
    """The logged sample of the best model with these settings, if it is long enough."""
    past = load_started(run)
    if past.best_eval is None:
        return None
    for view in reversed(past.samples):
        start = view.start
        alike = all(
            getattr(start.settings, name) == getattr(settings, name)
            for name in ("temperature", "top_k", "top_p", "seed")
        )
        if alike and start.prompt == prompt and start.iteration == past.best_eval.iteration:
            return view if len(view.tokens) >= settings.max_new_tokens else None
    return None


def _say_logged(view: SampleView, place: int, token: int, say: Say) -> None:
    """Print the probabilities of a token in the log."""
    record = view.inspection
    if record is None or place >= len(record.drawn) or record.drawn[place][0] != token:
        return
    now = probability(record.guesses[place][-1].probability)
    before = "" if record.initial is None else f"{probability(record.initial[place])} -> "
    name = one_line(record.drawn[place][1])
    say(f"By the log: {name!r} {before}{now} in {counted(record.iteration, 'iteration')}.")


def _replay(
    run: Path, tokenizer: Tokenizer, context: list[int], token: int, started: float, as_json: bool
) -> int:
    """Print the probability after each iteration, then the windows that moved it most."""
    from shakegpt.replay.passages import passage
    from shakegpt.replay.training import replaying

    curve, passages = list[tuple[int, float]](), list["Passage"]()
    text, after = tokenizer.decode([token]), tokenizer.decode(context)
    code, update, total = 0, 0, 0
    say = _quiet if as_json else _say
    say(f"Probability of {_quoted(text)} after {_quoted(after, 60)}, by iteration:")
    with replaying(run, own_process=True) as replay:
        try:
            for iteration, p in replay.probabilities(context, token):
                curve.append((iteration, p))
                say(f"{iteration:>6} {probability(p):>7} {'█' * round(BAR * p)}".rstrip())
            update, total = replay.largest, replay.windows
            say("")
            if update:
                before, now = dict(curve)[update - 1], dict(curve)[update]
                say(
                    f"Update {update} changed it most, from {probability(before)} to "
                    f"{probability(now)}. The same update without each of its {total} windows:"
                )
            for effect in replay.effects():
                passages.append(passage(effect, replay, tokenizer, token))
                _progress(len(passages), total)
        except KeyboardInterrupt:
            code = 130
    passages.sort(key=lambda each: -abs(each.effect))
    rows = [_row(each) for each in passages[:MOST_WINDOWS]]
    if as_json:
        result = {
            "token": [token, text],
            "context": after,
            "probabilities": curve,
            "update": update,
            "windows": rows,
            "computed": len(passages),
            "of": total,
        }
        print(json.dumps(result))
        return code
    for row in rows:
        say(f"{100 * row['effect']:>+9.2g} points  {row['speaker'] or ''}".rstrip())
        say(f"{'':>9} {row['excerpt']}")
    if update:
        say(
            f"{len(passages)} of {total} windows computed in "
            f"{duration(time.monotonic() - started)}. A window's effect is for this update "
            "alone: the effects of several do not add up, and later updates build on it."
        )
    return code


def _row(passage: Passage) -> dict[str, Any]:
    return {name: getattr(passage, name) for name in WINDOW_FIELDS}


def _quoted(text: str, width: int = 40) -> str:
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
