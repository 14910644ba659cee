"""Logs whose lines are whole records of absurd values: shown as they are, or left out, by all.

A flipped bit turns a digit into another as easily as a brace, and a log may come from anywhere.
Each number, word and switch of each kind of record in turn is put to its edges, and the log with
that one record more is shown by everything that shows logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from shakegpt.runlog.default_run import recorded
from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME, read
from shakegpt.runlog.schema import End, Eval, Event, Step
from tests.torture.corruption import damaged
from tests.torture.cut_logs import draw, light_readers, sentence_or_done
from tests.torture.lab import Lab
from tests.torture.tally import Tally

INTS = (-1, 0, 1 << 31, 1 << 63, 1 << 64, -(10**30), 10**30)
FLOATS = (0.0, -1.0, 5e-324, 1e18, 1e308, -1e308)
WORDS = ("", "x" * 100_000, "\0\n\t", "../" * 50, "9" * 400)
LISTS: tuple[list[Any], ...] = ([], [None], [[]] * 50)

Path_ = tuple[str | int, ...]


def odd_logs(lab: Lab, tally: Tally, every: int = 1, heavy: int = 1) -> None:
    """Every `every`-th odd record for the light readers, every `heavy`-th of those for the rest."""
    run = lab.folder / "odd"
    run.mkdir(exist_ok=True)
    data = (recorded() / LOG_NAME).read_bytes()
    for number, (name, line) in enumerate([*odd_lines(data)][::every]):
        (run / LOG_NAME).write_bytes(with_line(data, line))
        for surface, show in SURFACES.items():
            if surface == "readers" or number % heavy == 0:
                with tally.case(f"{name} in {surface}"):
                    show(run)


def flipped_logs(lab: Lab, tally: Tally, cases: int, heavy: int, seed: int = 0) -> None:
    """A log cut, zeroed or with bits flipped anywhere, every `heavy`-th one for all that draw."""
    run, give = lab.folder / "odd", random.Random(seed)
    run.mkdir(exist_ok=True)
    data = (recorded() / LOG_NAME).read_bytes()
    for number in range(cases):
        kind, spoiled = damaged(data, give)
        (run / LOG_NAME).write_bytes(spoiled)
        for surface, show in SURFACES.items():
            if surface == "readers" or number % heavy == 0:
                with tally.case(f"{kind}, seed {seed}, case {number} in {surface}"):
                    show(run)


def with_line(data: bytes, line: bytes) -> bytes:
    """A log with one line more, two thirds of its way; a header takes the place of the first."""
    lines = data.splitlines(keepends=True)
    if line.startswith(b'{"event":"run"'):
        return b"".join([line, *lines[1:]])
    at = len(lines) * 2 // 3
    return b"".join([*lines[:at], line, *lines[at:], line])


def odd_lines(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(what is odd, line) of every record that can be made of one kind each, and still is one."""
    decode = msgspec.json.Decoder(Event).decode
    kinds = {json.loads(line)["event"]: line for line in data.splitlines()} | extra()
    for kind, line in kinds.items():
        whole = json.loads(line)
        for where, value in leaves(whole):
            for odd in edges(where, value):
                changed = json.dumps(put(whole, where, odd)).encode()
                with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    decode(changed)
                    told = repr(odd)
                    yield f"{kind} {'.'.join(map(str, where))} {told[:24]}", changed + b"\n"


def extra() -> dict[str, bytes]:
    """Kinds that the recorded run has none of."""
    header = json.loads((recorded() / LOG_NAME).read_bytes().split(b"\n", 1)[0])
    same = ("device", "device_reason", "dtype", "dtype_reason", "versions", "git", "host")
    resume = {"event": "resume", "time": header["time"], "iteration": 5, "pid": 1, "threads": 1}
    resume["config"] = {key: header["config"][key] for key in ("max_iters", "eval_interval")}
    return {
        "resume": json.dumps(resume | {key: header[key] for key in same}).encode(),
        "warning": b'{"event":"warning","time":1.0,"iteration":1,"message":"x"}',
        "command": b'{"event":"command","time":1.0,"id":"x","verb":"save","status":"done",'
        b'"message":"","iteration":1}',
    }


def leaves(whole: Any, where: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Each value of a record, the first of a list for all of it, and where it stands."""
    yield where, whole
    if isinstance(whole, dict):
        for key, value in whole.items():
            yield from leaves(value, (*where, key))
    elif isinstance(whole, list) and whole:
        yield from leaves(whole[0], (*where, 0))


def edges(where: Path_, value: object) -> tuple[object, ...]:
    """Other values that may stand in the place of this one."""
    if where[:1] == ("config",) and len(where) > 1:  # of any kind at all
        return (None, -1, 0, 10**30, 1e308, "", "9" * 400, [], {}, True)
    match value:
        case bool():
            return (not value,)
        case int():
            return INTS
        case float():
            return FLOATS
        case str():
            return WORDS
        case list():
            return LISTS
        case dict():
            return ({},)
        case _:
            return (*INTS, *FLOATS, *WORDS)


def put(whole: Any, where: Path_, odd: object) -> Any:
    """A copy of `whole` with `odd` at one place."""
    if not where:
        return odd
    copy = whole.copy()
    copy[where[0]] = put(whole[where[0]], where[1:], odd)
    return copy


def consoles(run: Path) -> None:
    """A resume's plain lines and live block, after such a past."""
    from rich.console import Console

    from shakegpt.cli.console import LiveConsole, PlainConsole

    come = [e for e in read(recorded() / LOG_NAME)[0] if isinstance(e, Step | Eval | End)][-3:]
    with contextlib.redirect_stdout(io.StringIO()):
        plain, live = PlainConsole(load(run)[0]), LiveConsole(load(run)[0])
        live.close()
        for record in come:
            plain.write(record)
            live.history.add(record)
            Console(file=io.StringIO()).print(live._block())


def screens(run: Path) -> None:
    """The run's screen with its samples and tokens, and the list of runs."""
    asyncio.run(_screens(run))


async def _screens(run: Path) -> None:
    from shakegpt_tui.app import ShakegptApp
    from shakegpt_tui.run.feed import LiveFeed

    app = ShakegptApp(LiveFeed(run), config=run / "tui.json")
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(400):
            if getattr(app.screen, "caught_up", False):
                break
            await pilot.pause(0.02)
        for key in ("left_square_bracket", "tab", "right", "p", "s", "escape"):
            await pilot.press(key)
        await pilot.pause(0.1)


def readers(run: Path) -> None:
    """All that read without drawing."""
    sentence_or_done(lambda: light_readers(run))


SURFACES: dict[str, Callable[[Path], object]] = {
    "readers": readers,
    "consoles": lambda run: sentence_or_done(lambda: consoles(run)),
    "screens": screens,
    "figures": lambda run: sentence_or_done(lambda: draw(run)),
}
