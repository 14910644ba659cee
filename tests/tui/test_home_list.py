"""The list of runs: open, sort, filter, delete, what is shown while runs change."""

from __future__ import annotations

import os
import time as clock
from pathlib import Path

import pytest
from textual.coordinate import Coordinate
from textual.widgets import Static

from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.runs import RunIndex, RunSummary
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.screens.dialogs import Choice
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.screens.run_list import RunList
from shakegpt_tui.settings import load
from shakegpt_tui.themes import CYCLE
from shakegpt_tui.widgets.run_table import RunTable
from tests.tui.home import SIZES, Host, base, has_colour, run, shows, write
from tests.tui.screens import text, until

__all__ = ["base"]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_run_is_opened_from_the_list(size: tuple[int, int], base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=size) as pilot:
            await app.settled(pilot)
            await pilot.press("f3", "down", "enter")
            await pilot.pause()
            assert app.result == ("open", base / "old-[red]")

    run(test())


def test_sort_and_filter(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            assert app.names == ["new", "old-[red]"]
            await pilot.press("f3")
            await pilot.pause()
            await pilot.press("s")
            await pilot.pause()
            assert app.names == ["old-[red]", "new"]
            await pilot.press("slash", "n", "e", "w", "enter")
            await pilot.pause()
            assert app.names == ["new"]
            await pilot.press("escape")
            await pilot.pause()
            assert len(app.names) == 2

    run(test())


def test_delete_asks_first_by_another_key_and_can_be_undone(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await app.settled(pilot)
            await pilot.press("f3")
            await pilot.pause()
            await pilot.press("d")
            await pilot.pause()
            assert isinstance(app.screen, Choice)
            await pilot.press("enter")
            await app.settled(pilot)
            assert (base / "new").exists()
            await pilot.press("d", "d", "d", "escape")
            await app.settled(pilot)
            assert (base / "new").exists()
            for keys in (["d", "y"], ["d", "left", "enter"]):  # the second run as the first
                await pilot.press(*keys)
                await app.settled(pilot)
            assert (app.names, len(list((base / ".trash").iterdir()))) == ([], 2)
            await shows(pilot, "No runs yet")
            for names in (["old-[red]"], ["new", "old-[red]"], ["new", "old-[red]"]):
                await pilot.press("u")
                await app.settled(pilot)
                await until(pilot, lambda: app.names == names, 5)  # noqa: B023
            await shows(pilot, "no deleted run")

    run(test())


def test_a_hostile_name_is_only_text(tmp_path: Path) -> None:
    name = "evil\x1b[31m\x9b2J[red]x\u202e\n2"
    write(tmp_path / "runs", name, 1000.0, [4.0, 3.0])

    async def test() -> None:
        app = Host(tmp_path / "runs")
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            for keys in ("f3", "d"):  # the list, the question
                await pilot.press(keys)
                await shows(pilot, "evil␛[31m\ufffd2J[red]x\ufffd↵2")
                assert not set("\x1b\x9b\u202e") & set(text(app))

    run(test())


def test_a_run_that_never_began_tells_why(tmp_path: Path) -> None:
    never = tmp_path / "runs" / "never"
    never.mkdir(parents=True)
    (never / "trainer.log").write_text("Traceback\nshakegpt: no \x1b[31mmodel\n")
    os.utime(never / "trainer.log", (1000, 1000))

    async def test() -> None:
        app = Host(tmp_path / "runs")
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            await shows(pilot, "no ␛[31mmodel")

    run(test())


def test_new_runs_appear_and_the_cursor_stays_with_its_run(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            listed = app.screen.query_one(RunList)
            await pilot.press("f3", "down")
            assert listed.chosen == base / "old-[red]"
            write(base, "newest", 3000.0, [2.0])
            listed.look()
            await app.settled(pilot)
            assert app.names == ["newest", "new", "old-[red]"]
            assert listed.chosen == base / "old-[red]"
            assert app.screen.query_one(RunTable).row_count == 3

    run(test())


def test_a_slow_disk_is_asked_one_question_at_a_time(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it takes longer than the time between two looks, or is asked to look at once."""
    monkeypatch.setattr("shakegpt_tui.screens.run_list.EVERY", 0.05)
    asked, at_once, most = 0, 0, 0
    refresh = RunIndex.refresh

    def slow(index: RunIndex) -> list[RunSummary]:
        nonlocal asked, at_once, most
        asked, at_once = asked + 1, at_once + 1
        most = max(most, at_once)
        clock.sleep(0.2)
        found = refresh(index)
        at_once -= 1
        return found

    monkeypatch.setattr(RunIndex, "refresh", slow)

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: asked > 0)
            listed = app.screen.query_one(RunList)
            write(base, "newest", 3000.0, [2.0])
            listed.look()
            await app.settled(pilot)  # raises when a look was cancelled
            await until(pilot, lambda: "newest" in app.names)
            assert most == 1 and len(app.workers) < 4

    run(test())


def test_columns_are_as_wide_as_what_they_say_at_every_size(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(50, 15)) as pilot:
            await app.settled(pilot)
            await pilot.press("f3")
            for size, losses in (((80, 24), "5.000 → 3.500"), ((50, 15), "5.00→3.50")):
                await pilot.resize_terminal(*size)
                await shows(pilot, losses)
                assert "✓ finished" in text(app)

    run(test())


def test_a_long_list_stays_where_it_is_scrolled_while_runs_change(tmp_path: Path) -> None:
    base = tmp_path / "runs"
    for number in range(30):
        write(base, f"run-{number:02}", 1000.0 + number, [4.0, 3.0])

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            listed, table = app.screen.query_one(RunList), app.screen.query_one(RunTable)
            await pilot.press("f3", "end", "up")
            await until(pilot, lambda: table.scroll_y == table.max_scroll_y > 0)
            table.scroll_to(y=3, animate=False)  # by the wheel: the cursor is out of sight
            with (base / "run-29" / LOG_NAME).open("ab") as log:
                log.write(b'{"event":"eval","time":1e9,"iteration":9,"val_loss":2.5,'
                          b'"tokens":1,"seconds":1.0,"best":true}\n')  # fmt: skip
            listed.look()
            await app.settled(pilot)
            assert table.rows_shown[0].cells["val loss"][0] == "4.000 → 2.500"
            assert (table.scroll_y, listed.chosen) == (3, base / "run-01")
            await pilot.press("d", "y")
            await app.settled(pilot)
            assert listed.chosen == base / "run-00"
            await pilot.press("s")  # by val loss
            await until(pilot, lambda: table.scroll_y == 0)
            await pilot.pause(0.2)
            assert listed.chosen == base / "run-29"

    run(test())


def test_a_theme_recolours_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs", "one", 1000.0, [4.0, 3.0])

    async def test() -> None:
        app = ShakegptApp(config=tmp_path / "tui.json")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
            table = app.screen.query_one(RunTable)
            await until(pilot, lambda: table.row_count == 1)
            for theme in CYCLE:
                app.theme = theme
                await pilot.pause()
                cell = table.get_cell_at(Coordinate(0, 2))
                assert cell.style == app.theme_variables["primary"].removeprefix("ansi_")
                wanted = app.theme_variables["primary"].lower().removeprefix("ansi_")
                await until(pilot, lambda: has_colour(app, "pocket  ", wanted), 5)  # noqa: B023

    run(test())


def test_without_runs_the_list_says_how_to_start_one(tmp_path: Path) -> None:
    async def test() -> None:
        app = Host(tmp_path / "nowhere")
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            assert "No runs yet" in str(app.screen.query_one("#none", Static).content)
            assert app.screen.query_one("#none").display

    run(test())


def test_the_order_is_remembered(tmp_path: Path) -> None:
    async def test() -> None:
        app = ShakegptApp(config=tmp_path / "tui.json")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
            await pilot.press("f3", "s")
            await until(pilot, lambda: load(tmp_path / "tui.json").order == "val loss")
            app.open_home()
            await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
            assert app.screen.query_one(RunList).order == "val loss"

    run(test())
