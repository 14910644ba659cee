"""Walks through the app: from every screen to every other and back, each as it was before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.screen import Screen

from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.feed import LiveFeed
from shakegpt_tui.screens.dialogs import AskNumber, Choice, Way
from shakegpt_tui.screens.help import KeyHelp
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.screens.plot import PlotScreen
from shakegpt_tui.screens.plot_picker import PlotPicker
from shakegpt_tui.screens.prompt import PromptEditor
from shakegpt_tui.screens.run import RunScreen
from shakegpt_tui.settings import Settings
from shakegpt_tui.widgets.run_list import RunList
from tests.tui import logs
from tests.tui.screens import steady, text, until

SIZES = [(50, 15), (80, 24), (120, 40), (200, 60)]
FIRST, SECOND = Path("runs/first"), Path("runs/second")
DIALOGS: dict[str, Callable[[], Screen[Any]]] = {
    "question": lambda: Choice("Delete?", "All of it.", [Way("y", "delete", "yes", "error")]),
    "number": lambda: AskNumber("Until when?", "As far as that.", 20, 1),
    "prompt": lambda: PromptEditor(Settings(), "ROMEO:"),
    "keys": lambda: KeyHelp([]),
    "picker": lambda: PlotPicker([FIRST, SECOND], []),
    "palette": CommandPalette,
}
"""Everything that can stand over a screen; escape takes each away."""
PLACES = ("form", "runs", "run", "plot")
TOUR = [PLACES[i] for i in (0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3, 0)]
"""From each of them to each other."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShakegptApp:
    """The app in a directory with two runs that have ended."""
    steady(monkeypatch)
    monkeypatch.chdir(tmp_path)
    logs.write(FIRST, [*logs.story(20), logs.end(20, logs.T0 + 33)])
    logs.write(SECOND, [*logs.story(6), logs.end(6, logs.T0 + 9, "stopped")])
    return ShakegptApp(config=tmp_path / "tui.json")


async def go(pilot: Pilot[Any], app: ShakegptApp, place: str) -> None:
    """To one of `PLACES`, from any other."""
    if place in ("form", "runs"):
        app.open_home("form" if place == "form" else "runs")
        await until(pilot, lambda: _is_filled(app.screen))
        return
    if isinstance(app.screen, PlotScreen):
        await pilot.press("q")
    if not isinstance(app.screen, RunScreen):
        app.open_run(LiveFeed(FIRST))
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.caught_up)
    if place == "plot":
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, PlotScreen))


def _is_filled(screen: Screen[Any]) -> bool:
    return (
        isinstance(screen, HomeScreen) and screen.filled and bool(screen.query_one(RunList).found)
    )


async def settled(pilot: Pilot[Any]) -> str:
    """What is on the screen, as soon as it stands still."""
    before, shown = "", text(pilot.app)
    while shown != before:
        await pilot.pause(0.3)
        before, shown = shown, text(pilot.app)
    return shown


def test_every_screen_is_after_every_other_as_it_was(app: ShakegptApp) -> None:
    async def body() -> None:
        async with app.run_test(size=SIZES[0]) as pilot:

            async def is_as_before(size: tuple[int, int], place: str) -> None:
                await until(pilot, lambda: text(app) == before[size, place])

            before = {}
            for place in PLACES:
                await go(pilot, app, place)
                for size in SIZES:
                    await pilot.resize_terminal(*size)
                    before[size, place] = await settled(pilot)
            await pilot.resize_terminal(*SIZES[2])
            for place in TOUR:
                await go(pilot, app, place)
                await is_as_before(SIZES[2], place)
                for open_dialog in DIALOGS.values() if place in ("form", "run") else ():
                    await app.push_screen(open_dialog())
                    await pilot.press("escape")
                    await is_as_before(SIZES[2], place)
            for place in PLACES:
                await go(pilot, app, place)
                for size in SIZES:
                    await pilot.resize_terminal(*size)
                    await is_as_before(size, place)

    asyncio.run(body())
