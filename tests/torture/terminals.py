"""Signals and terminals of the screen and the live console, each on a terminal of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from shakegpt.runlog.history import load
from shakegpt.runlog.status import STALE_AFTER, run_state
from tests.torture.corruption import damaged
from tests.torture.lab import Lab, result, same
from tests.torture.screens import SCREEN, TRAINER, Terminal
from tests.torture.tally import Tally
from tests.torture.tiny import flags

LEAVES: dict[tuple[signal.Signals, ...], int] = {
    (signal.SIGTERM,): 143,
    (signal.SIGINT,): 130,
    (signal.SIGHUP,): 129,
    (signal.SIGTERM, signal.SIGTERM): 143,
    (signal.SIGHUP, signal.SIGTERM): 129,
}
"""What ends the screen, and with which code; of two, either one counts."""
STAYS = ((signal.SIGSTOP, signal.SIGCONT), (signal.SIGTSTP, signal.SIGCONT), (signal.SIGPIPE,))
"""What it goes on after."""


def terminals(lab: Lab, tally: Tally, rounds: int) -> None:
    """The screen and the console with each signal, a closed terminal, spoiled settings."""
    run = lab.folder / "unhurt"
    for _ in range(rounds):
        for sent, code in LEAVES.items():
            with tally.case(f"screen, {_names(sent)}"):
                screen = _open(run)
                strike(screen.process.pid, sent)
                left = screen.leave()
                assert left == code or left in (128 + sent[-1], -sent[-1]), left
        for sent in STAYS:
            with tally.case(f"screen, {_names(sent)}"):
                screen = _open(run)
                strike(screen.process.pid, sent)
                assert screen.quit() == 0
        with tally.case("screen, its terminal closed"):
            screen = _open(run)
            screen.close()
            assert screen.leave() == 129
        for sent in STAYS:
            with tally.case(f"console, {_names(sent)}"):
                _console(lab, sent)
        with tally.case("console, its terminal closed"):
            _console(lab, ())
    _settings(lab, tally, rounds)
    with tally.case("a trainer that is stopped for long is silent, not dead, and goes on"):
        _stopped_for_long(lab)


def _names(sent: tuple[signal.Signals, ...]) -> str:
    return " ".join(s.name for s in sent)


def _open(run: Path, **env: str) -> Terminal:
    screen = Terminal([*SCREEN, str(run)], **env)
    screen.until(lambda said: b"val" in said)
    return screen


def strike(pid: int, sent: tuple[signal.Signals, ...]) -> None:
    """Send signals, a moment between them."""
    for number in sent:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        time.sleep(0.2)


def _console(lab: Lab, sent: tuple[signal.Signals, ...]) -> None:
    """A training whose live block is struck, or has its terminal closed, ends as if unhurt."""
    run = lab.folder / "shown"
    words = [*TRAINER, "finetune", *flags(lab.text, run)]
    console = Terminal(words, SHAKEGPT_CACHE=str(lab.folder / "cache"))
    try:
        console.until(lambda _: load(run)[0].heartbeat is not None, 120)
        if sent:
            strike(console.process.pid, sent)
        else:
            console.close()
        assert console.leave(120) == 0
        same(result(run), lab.unhurt)
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _settings(lab: Lab, tally: Tally, rounds: int, seed: int = 0) -> None:
    """What the screen remembers, spoiled: as good as none."""
    draw, home = random.Random(seed), lab.folder / "config"
    (home / "shakegpt").mkdir(parents=True, exist_ok=True)
    whole = b'{"theme": "shakegpt-dark", "smoothing": 0.6, "order": "newest", "top_k": 5}'
    odd = [b"[" * 100_000, b'{"theme": "gone", "order": "x", "smoothing": 1e999}', b'{"theme": 5}']
    odd += [damaged(whole, draw)[1] for _ in range(2 * rounds)]
    for number, data in enumerate(odd):
        with tally.case(f"screen, spoiled settings {number}, seed {seed}"):
            (home / "shakegpt/tui.json").write_bytes(data)
            screen = _open(lab.folder / "unhurt", XDG_CONFIG_HOME=str(home))
            assert screen.quit() == 0


def _stopped_for_long(lab: Lab) -> None:
    run = lab.folder / "asleep"
    states: list[str] = []

    def stop(pid: int) -> None:
        while not load(run)[0].steps:
            time.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STALE_AFTER + 2)
        states.append(run_state(load(run)[0], time.time()))
        os.kill(pid, signal.SIGCONT)

    ended = lab.begin(run, stop)
    assert ended.code == 0 and states == ["stalled"], (ended, states)
    same(result(run), lab.unhurt)
    shutil.rmtree(run)
