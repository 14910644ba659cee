"""What the screens look like, kept as text: a change of layout shows as a difference to read.

To renew them after a change that was meant, and then to read the difference:
SNAPSHOTS=renew pytest tests/tui/test_snapshots.py
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from textual.pilot import Pilot

from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.run.feed import Still
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.screens.run import RunScreen
from shakegpt_tui.screens.run_list import RunList
from tests.tui import logs
from tests.tui.screens import steady, text, until

KEPT = Path(__file__).parent / "snapshots"
RUN = {
    "run-120x40": ((120, 40), []),
    "run-80x24": ((80, 24), []),
    "run-50x15": ((50, 15), []),
    "tokens-120x40": ((120, 40), ["b", "c", "t", "right"]),
    "plot-80x24": ((80, 24), ["g", "left"]),
}


def compare(
    name: str,
    app: ShakegptApp,
    size: tuple[int, int],
    ready: Callable[[], bool],
    keys: Sequence[str] = (),
) -> None:
    """The app's screen after `keys`, once it stands still, is what was kept under `name`.

    A busy machine paints late, so it is looked at until it is as kept, for some seconds.
    """
    file = KEPT / f"{name}.txt"
    renew = os.environ.get("SNAPSHOTS") == "renew"

    async def body() -> str:
        async with app.run_test(size=size) as pilot:
            await until(pilot, ready)
            await settled(pilot)
            if keys:
                await pilot.press(*keys)
            limit = time.monotonic() + 20
            shown = await settled(pilot)
            while not renew and shown != file.read_text("utf-8") and time.monotonic() < limit:
                shown = await settled(pilot)
            return shown

    shown = asyncio.run(body())
    if renew:
        file.parent.mkdir(exist_ok=True)
        file.write_text(shown, "utf-8")
    assert shown == file.read_text("utf-8")


async def settled(pilot: Pilot[str]) -> str:
    """What is on the screen, as soon as it is the same twice."""
    before, shown = "", text(pilot.app)
    while shown != before:
        await pilot.pause(0.35)  # longer than curves wait for their redraw
        before, shown = shown, text(pilot.app)
    return "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"


@pytest.fixture(autouse=True)
def clock_of_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("name", RUN)
def test_a_run_looks_as_it_did(tmp_path: Path, name: str) -> None:
    size, keys = RUN[name]
    run = logs.write(tmp_path / "run", logs.story(12))
    app = ShakegptApp(Still(run), config=tmp_path / "tui.json")

    def ready() -> bool:
        return isinstance(app.screen, RunScreen) and app.screen.caught_up

    compare(name, app, size, ready, keys)


@pytest.mark.parametrize("size", [(120, 40), (50, 15)], ids=str)
def test_home_looks_as_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    steady(monkeypatch)
    monkeypatch.chdir(tmp_path)
    logs.write(Path("runs/first"), [*logs.story(20), logs.end(20, logs.T0 + 33)])
    logs.write(Path("runs/second"), [*logs.story(6), logs.end(6, logs.T0 + 9, "stopped")])
    app = ShakegptApp(config=tmp_path / "tui.json")

    def ready() -> bool:
        home = app.screen
        return (
            isinstance(home, HomeScreen) and home.filled and bool(home.query_one(RunList).summaries)
        )

    keys = [] if size[0] > 50 else ["f3"]
    compare(f"home-{size[0]}x{size[1]}", app, size, ready, keys)
