"""Home in a terminal: start from the form, errors, presets, the list, deletion; at three sizes."""

from __future__ import annotations

import asyncio
import os
import time as clock
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color
from textual.app import App
from textual.binding import Binding
from textual.coordinate import Coordinate
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from shakegpt.runlog import schema as ev
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.runs import RunIndex, RunSummary
from shakegpt_tui import palette
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.dialogs import Choice
from shakegpt_tui.screens.help import key_table
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.screens.run_list import RunList, RunTable
from shakegpt_tui.settings import load
from shakegpt_tui.themes import CYCLE
from shakegpt_tui.widgets.start_form import StartForm
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
        return [row.path.name for row in self.screen.query_one(RunList)._shown]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def shows(pilot: Pilot[Any], words: str) -> None:
    await until(pilot, lambda: words in text(pilot.app), 5)


def has_colour(app: App[Any], words: str, wanted: str) -> bool:
    """Whether the first text on screen that begins with `words` has this colour."""
    strips = app.screen._compositor.render_strips()
    found = next(s for strip in strips for s in strip if s.text.startswith(words))
    assert found.style is not None and found.style.color is not None
    shown, colour = found.style.color, Color.parse(wanted)
    return (shown.number, shown.triplet) == (colour.number, colour.triplet)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_enter_starts_the_default_run(size: tuple[int, int], base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=size) as pilot:
            await app.settled(pilot)
            await pilot.press("enter")
            await pilot.pause()
            assert app.result == ("start", [])

    run(test())


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


def test_what_is_typed_becomes_flags(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            app.field("max_iters").focus()
            await pilot.press("4", "0", "f5")
            await pilot.pause()
            assert app.result == ("start", ["--max-iters", "40"])

    run(test())


def test_arrows_walk_a_form_that_scrolls_and_what_is_typed_follows(base: Path) -> None:
    """Also when all comes in one burst, as on a slow line."""

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(50, 15)) as pilot:
            await app.settled(pilot)
            models = app.screen.query_one("#models", OptionList)
            await pilot.press("down", *["down"] * models.option_count, "down")
            assert app.focused is app.field("dataset")
            await pilot.press("down", "4", "0", "down", "down", "8", "up", "2")
            await pilot.pause()
            assert app.field("max_iters").value == "40"
            assert app.field("batch_size").value == "8"
            assert app.field("learning_rate").value == "2"
            assert app.focused is app.field("learning_rate")
            assert app.screen.query_one("#settings").region.contains_region(app.focused.region)

    run(test())


def test_keys_are_obeyed_in_the_order_of_typing(base: Path) -> None:
    """Also when all come in one burst, as on a slow line."""

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            app.field("max_iters").focus()
            await pilot.pause()
            for key in ("ctrl+u", "4", "7", "backspace", "0", "home", "1"):
                app.post_message(Key(key, key if len(key) == 1 else None))
            await until(pilot, lambda: app.field("max_iters").value == "140", 5)

    run(test())


def test_an_error_stands_beside_its_field_and_holds_the_start(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            await pilot.press("f4")
            await pilot.pause()
            app.field("dropout").value = "2"
            await pilot.pause()
            await pilot.pause()
            form = app.screen.query_one(StartForm)
            (row,) = app.screen.query("FormRow.wrong")
            error = row.query_one(".error", Static)
            assert "<= 0.99" in str(error.content)
            assert error.region.height and form.has_class("-all")
            await pilot.press("f4", "f5")
            await pilot.pause()
            assert form.has_class("-all")
            assert app.result == "nothing yet"
            assert app.focused is app.field("dropout")
            app.field("dropout").value = "0.1"
            await pilot.pause()
            assert not app.screen.query("FormRow.wrong")

    run(test())


def test_presets_and_models_fill_the_form(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            await pilot.press("shift+tab", "enter", *["down"] * 3, "enter")
            await shows(pilot, "talk: GPT-2 Large on tinyshakespeare")
            assert app.field("init_from").value == "gpt2-large"
            assert app.field("learning_rate").value == "3e-05"
            app.field("learning_rate").value = "1.4"
            await shows(pilot, "training will likely diverge")  # it can be started all the same
            await pilot.press("enter", *["down"] * 3, "enter")  # the preset that is shown, again
            await until(pilot, lambda: app.field("learning_rate").value == "3e-05")
            models = app.screen.query_one("#models", OptionList)
            models.focus()
            await pilot.press("home", "enter")
            assert app.field("init_from").value == "pocket"
            await pilot.pause()
            assert "of memory" in str(app.screen.query_one("#need", Static).content)
            await pilot.press("home", "down", "enter", "f5")
            await pilot.pause()
            assert app.result == ("start", ["gpt2"])


def test_a_model_brings_what_suits_it_but_what_was_typed(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            app.field("max_iters").value = "40"
            app.field("init_from").value = "gpt2-medium"
            await pilot.pause()
            await shows(pilot, "gpt2-medium, with the settings of gpt2")
            assert (app.field("batch_size").value, app.field("max_iters").value) == ("1", "40")
            command = "shakegpt finetune gpt2 --init-from gpt2-medium --max-iters 40"
            await shows(pilot, f"$ {command}")
            app.field("prompt").focus()
            await pilot.resize_terminal(50, 15)
            await shows(pilot, "ROMEO:")
            await pilot.press("f5")
            await pilot.pause()
            assert app.result == ("start", command.split()[2:])

    run(test())


def test_help_follows_the_focus_and_all_settings_are_a_key_away(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(120, 40)) as pilot:
            await app.settled(pilot)
            app.field("prompt").focus()
            await pilot.pause()
            assert "Prompt of the sample" in str(app.screen.query_one("#help", Static).content)
            assert not app.screen.query("#field-beta2")
            await pilot.press("f4")
            await pilot.pause()
            app.field("beta2").focus()
            await pilot.pause()
            assert app.field("beta2").region.height
            assert "mean squared" in str(app.screen.query_one("#help", Static).content)
            await pilot.press("f4")
            await pilot.pause()
            assert not app.field("beta2").region.height

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
            await until(pilot, lambda: "newest" in app.names, 5)
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
            assert listed._shown[0].cells["val loss"][0] == "4.000 → 2.500"
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
            await pilot.press("escape", "f3")
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
