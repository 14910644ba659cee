"""Home as a whole: mouse, a small terminal, help, palette."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding

from shakegpt_tui import palette
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.screens.help import key_table
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.widgets.start_form import StartForm
from tests.tui.home import Host, base, run
from tests.tui.screens import text, until

__all__ = ["base"]


def test_the_mouse_starts_and_opens(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            await pilot.click("#start")
            await pilot.pause()
            assert app.result == ("start", [])

    run(test())


@pytest.mark.parametrize("size", [(39, 24), (80, 11)], ids=str)
def test_a_terminal_too_small_gets_a_clear_word(size: tuple[int, int], base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=size) as pilot:
            await app.settled(pilot)
            shown = text(app)
            assert f"{size[0]}×{size[1]} is too small" in shown and "pocket" not in shown

    run(test())


def test_help_tells_the_keys_of_home(tmp_path: Path) -> None:
    async def test() -> None:
        app = ShakegptApp(config=tmp_path / "tui.json")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
            await pilot.press("question_mark")
            await until(pilot, lambda: "Go to the list of runs" in text(app))
            assert "Show all settings" in text(app)
            await pilot.press("escape", "f3", "question_mark")
            await until(pilot, lambda: "Only runs with these words" in text(app))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    run(test())


def test_help_wraps_below_its_own_words_and_names_a_key_once() -> None:
    bindings = [
        Binding("d,delete", "delete", "Delete", key_display="d", tooltip="Delete this run"),
        Binding("x", "x", "X", tooltip="A sentence that is longer than there is room for it"),
    ]
    each = [one for binding in bindings for one in binding.make_bindings([binding])]
    lines = key_table(each, lambda one: one.key_display or one.key, 40).plain.split("\n")
    assert lines[1:] == [
        "        d  Delete this run",
        "        x  A sentence that is longer",
        "           than there is room for it",
    ]


def test_the_palette_has_each_command_once_and_runs_it(tmp_path: Path) -> None:
    async def test() -> None:
        app = ShakegptApp(config=tmp_path / "tui.json")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
            for pane in ("f3", "f2"):
                await pilot.press(pane)
                await pilot.pause()
                listed = list(palette.commands(app, app.screen))
                commands = {command.title: command.run for command in listed}
                assert len(commands) == len(listed)
                assert not {"Screenshot", "Commands"} & set(commands)
                assert ("Settings", "f4") in [(each.title, each.key) for each in listed]
            await commands["Settings"]()  # a widget's, not the screen's
            assert app.screen.query_one(StartForm).has_class("-all")
            await pilot.press("ctrl+q")
            await pilot.pause()
            assert app.return_code == 0

    run(test())
