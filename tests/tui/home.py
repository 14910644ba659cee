"""The home screen in a test: a directory of runs, an app with nothing else, what is on it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from shakegpt.runlog import schema as ev
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.widgets.run_table import RunTable
from tests.tui.screens import text, until

SIZES = [(120, 40), (80, 24), (50, 15)]


def write(base: Path, name: str, time: float, losses: list[float]) -> Path:
    run = base / name
    run.mkdir(parents=True)
    with RunLog(run / LOG_NAME) as log:
        for i, loss in enumerate(losses):
            log.write(
                ev.Eval(time=time, iteration=i, val_loss=loss, tokens=1, seconds=1.0, best=True)
            )
        log.write(
            ev.End(
                time=time,
                status="finished",
                reason="",
                iteration=1,
                best_val_loss=None,
                wall_seconds=1.0,
            )
        )
    return run


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write(tmp_path / "runs", "old-[red]", 1000.0, [4.0, 3.0])
    write(tmp_path / "runs", "new", 2000.0, [5.0, 3.5])
    return tmp_path / "runs"


class Host(App[None]):
    """Nothing but the screen under test, and what it returned."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self.base = base
        self.result: object = "nothing yet"

    def on_mount(self) -> None:
        self.push_screen(HomeScreen(self.base), self.keep)

    def keep(self, result: Any) -> None:
        self.result = result

    async def settled(self, pilot: Any) -> None:
        home = self.screen
        await until(pilot, lambda: not isinstance(home, HomeScreen) or home.filled)
        await self.workers.wait_for_complete()
        await pilot.pause()

    def field(self, name: str) -> Input:
        return self.screen.query_one(f"#field-{name}", Input)

    @property
    def names(self) -> list[str]:
        return [row.path.name for row in self.screen.query_one(RunTable).rows_shown]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def shows(pilot: Pilot[Any], words: str) -> None:
    await until(pilot, lambda: words in text(pilot.app))


def has_colour(app: App[Any], words: str, wanted: str) -> bool:
    """Whether the first text on screen that begins with `words` has this colour."""
    strips = app.screen._compositor.render_strips()
    found = next(s for strip in strips for s in strip if s.text.startswith(words))
    assert found.style is not None and found.style.color is not None
    shown, colour = found.style.color, Color.parse(wanted)
    return (shown.number, shown.triplet) == (colour.number, colour.triplet)
