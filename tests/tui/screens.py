"""Running the app in a test: a log on disk, an app that follows it, a script that presses keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.app import App
from textual.events import Key
from textual.pilot import Pilot

from shakegpt.hardware import memory
from shakegpt.runlog import schema as ev
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.home import machine, models
from shakegpt_tui.processes.trainer import Trainer
from shakegpt_tui.run.feed import Feed, LiveFeed
from shakegpt_tui.screens import run_list
from shakegpt_tui.screens.run import RunScreen
from tests.tui import logs

LARGE, USUAL, SMALL = (120, 40), (80, 24), (50, 15)
Driver = Pilot[str]
Script = Callable[["Pilot[str]", ShakegptApp], Awaitable[None]]


def live(tmp_path: Path, upto: int = 7) -> Path:
    """A run whose last record is of this moment."""
    length = list(logs.story(upto))[-1].time - logs.T0
    return logs.write(tmp_path / "run", logs.story(upto, start=time.time() - length))


def play(
    source: Path | Feed,
    script: Script,
    *,
    size: tuple[int, int] = LARGE,
    config: Path,
    trainer: Trainer | None = None,
) -> ShakegptApp:
    """Open a run in a headless app, wait until it has caught up, then follow the script."""
    feed = LiveFeed(source) if isinstance(source, Path) else source
    app = ShakegptApp(feed, trainer, config=config / "tui.json")

    async def body() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.caught_up)
            await pilot.pause()  # what it read is drawn, too
            await script(pilot, app)

    asyncio.run(body())
    return app


async def until(pilot: Pilot[Any], condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for the screen; fails when it does not come."""
    for _ in range(round(seconds / 0.05)):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssertionError(f"did not come within {seconds} s:\n{text(pilot.app)}")


def burst(app: App[Any], *keys: str) -> None:
    """Press keys all at once, as they come over a slow line."""
    for key in keys:
        app.post_message(Key(key, key if len(key) == 1 else "\r" if key == "enter" else None))


def text(app: App[Any]) -> str:
    """What is on the screen, as plain lines."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def run_screen(app: ShakegptApp) -> RunScreen:
    """The run screen, which may be under a dialog."""
    found = [screen for screen in app.screen_stack if isinstance(screen, RunScreen)]
    return found[-1]


def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the start form and the list of runs show depends on no machine, cache or clock."""
    here = machine.Machine(8 << 30, 12 << 30, "a GPU")
    monkeypatch.setattr(machine, "machine", lambda: here)
    monkeypatch.setattr(machine, "with_gpu", lambda: here)
    monkeypatch.setattr(models, "look", lambda found: found)
    monkeypatch.setattr(memory, "estimate", lambda shape, *_, **__: _needs(shape.n_layer))
    monkeypatch.setattr(run_list, "clock", SimpleNamespace(time=lambda: logs.T0 + 4000))


def _needs(gibibytes: int) -> ev.Memory:
    return ev.Memory(
        weights=gibibytes << 30,
        gradients=0,
        optimizer=0,
        activations=0,
        logits=0,
        process=1 << 30,
    )
