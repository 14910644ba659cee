"""The start form on the screen: typing, keys, errors, presets, what it starts; at three sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import Key
from textual.widgets import OptionList, Static

from shakegpt_tui.widgets.start_form import StartForm
from tests.tui.home import SIZES, Host, base, run, shows
from tests.tui.screens import until

__all__ = ["base"]


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
            await until(pilot, lambda: app.field("max_iters").value == "140")

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
