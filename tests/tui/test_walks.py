"""Walks through the app: every screen to every other and back; bursts of each dialog's keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from difflib import unified_diff
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Select

from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import delete_run, find_runs
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.bursts import BURST
from shakegpt_tui.processes import trainer
from shakegpt_tui.run.feed import LiveFeed
from shakegpt_tui.screens.dialogs import AskNumber, Choice, Way
from shakegpt_tui.screens.help import KeyHelp
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.screens.plot import PlotScreen
from shakegpt_tui.screens.plot_picker import PlotPicker
from shakegpt_tui.screens.presenter import PresenterScreen
from shakegpt_tui.screens.prompt import PromptEditor
from shakegpt_tui.screens.run import RunScreen
from shakegpt_tui.screens.run_list import RunList
from shakegpt_tui.screens.tour import STEPS, Tour
from shakegpt_tui.settings import Prompting
from shakegpt_tui.widgets.start_form import StartForm
from tests.tui import logs
from tests.tui.screens import burst, live, steady, text, until
from tests.tui.terminals import Terminal

SMALL, USUAL, LARGE = SIZES = (50, 15), (80, 24), (120, 40)
FIRST, SECOND, LIVE = Path("runs/first"), Path("runs/second"), Path("live/run")
DIALOGS: dict[str, Callable[[], Screen[Any]]] = {
    "question": lambda: Choice("Delete?", "All of it.", [Way("y", "delete", "yes", "error")]),
    "number": lambda: AskNumber("Until when?", "As far as that.", 20, 1),
    "prompt": lambda: PromptEditor(Prompting(), {"prompt": "ROMEO:", "top_k": 200}),
    "keys": lambda: KeyHelp([]),
    "picker": lambda: PlotPicker([FIRST, SECOND], []),
    "palette": CommandPalette,
    "tour": Tour,
}
"""Everything that can stand over a screen; escape takes each away."""
COUNTS = (2, 10)
"""Presses in a burst: the first may be the dialog's, the others go on to the screen under it.

Together they lead round the answers of a dialog, so that arrows leave the one that is chosen.
"""
PLACES = ("form", "runs", "run", "plot", "stage")
TOUR = [PLACES[i] for i in (0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 4, 2, 3, 0)]
"""From each of them to each other; to the stage and back from the run that it shows."""


ROUTES = {
    "delete": ("runs", "d", ("y", "enter")),
    "leave": ("live", "q", ("l", "s", "enter")),
    "kill": ("live", "xx", ("k", "enter")),
    "limit": ("run", "i", ("1", "enter")),
    "prompt": ("live", "e", ("1", "enter")),
    "keys": ("run", "?", ""),
    "picker": ("plot", "c", ""),
}
"""The place of each dialog, the keys that open it there, and keys that it has no binding for."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """With which arguments trainers were to be started; none is."""
    calls = []

    def refuse(*arguments: object) -> None:
        calls.append([str(argument) for argument in arguments])
        raise ShakegptError("no trainer in this test")

    monkeypatch.setattr(trainer, "start", refuse)
    monkeypatch.setattr(trainer, "resume", refuse)
    return calls


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[list[str]]) -> ShakegptApp:
    """The app in a directory with two runs that have ended."""
    steady(monkeypatch)
    monkeypatch.chdir(tmp_path)
    logs.write(FIRST, [*logs.story(20), logs.end(20, logs.T0 + 33)])
    logs.write(SECOND, [*logs.story(6), logs.end(6, logs.T0 + 9, "stopped")])
    return ShakegptApp(config=tmp_path / "tui.json")


async def go(pilot: Pilot[Any], app: ShakegptApp, place: str) -> None:
    """To one of `PLACES`, or to a run that trains, from any other."""
    if place in ("form", "runs"):
        app.open_home("form" if place == "form" else "runs")
        await until(pilot, lambda: _is_filled(app.screen))
        return
    if isinstance(app.screen, PlotScreen | PresenterScreen):
        await pilot.press("q")
    run = LIVE if place == "live" else FIRST
    if not isinstance(app.screen, RunScreen) or app.screen.run != run:
        app.open_run(LiveFeed(run))
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.caught_up)
    if place == "plot":
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, PlotScreen))
    if place == "stage":
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, PresenterScreen))


def _is_filled(screen: Screen[Any]) -> bool:
    return (
        isinstance(screen, HomeScreen)
        and screen.filled
        and bool(screen.query_one(RunList).summaries)
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
        async with app.run_test(size=SMALL) as pilot:

            async def is_as_before(size: tuple[int, int], place: str) -> None:
                with suppress(AssertionError):
                    await until(pilot, lambda: text(app) == before[size, place])
                pictures = before[size, place].splitlines(), text(app).splitlines()
                assert pictures[0] == pictures[1], "\n".join(unified_diff(*pictures, n=0))

            before = {}
            for place in PLACES:
                await go(pilot, app, place)
                for size in SIZES:
                    await pilot.resize_terminal(*size)
                    before[size, place] = await settled(pilot)
            await pilot.resize_terminal(*USUAL)
            under = {"form", "run"}  # a dialog is not another one on the second visit
            for place in TOUR:
                await go(pilot, app, place)
                await is_as_before(USUAL, place)
                for open_dialog in DIALOGS.values() if place in under else ():
                    await app.push_screen(open_dialog())
                    await pilot.press("escape")
                    await is_as_before(USUAL, place)
                under.discard(place)
            for place in PLACES:
                await go(pilot, app, place)
                for size in SIZES:
                    await pilot.resize_terminal(*size)
                    await is_as_before(size, place)

    asyncio.run(body())


@pytest.mark.parametrize("dialog", ROUTES)
def test_no_burst_of_a_dialogs_keys_takes_more_than_the_dialog(
    app: ShakegptApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialog: str
) -> None:
    """Never a blank screen, a traceback or a second run deleted."""
    place, way, more = ROUTES[dialog]
    live(tmp_path / "live")
    exits = []  # what ends the app is noted only: another would have to be started
    monkeypatch.setattr(ShakegptApp, "exit", lambda *_: exits.append(dialog))
    for number in range(len(COUNTS)):
        logs.write(Path(f"runs/more-{number}"), [*logs.story(1), logs.end(1, logs.T0 + 9)])

    async def opened(pilot: Pilot[Any], app: ShakegptApp) -> Screen[Any]:
        def is_open() -> bool:
            return isinstance(app.screen, ModalScreen)

        if not is_open():
            at = app.screen
            if place in ("form", "runs") and isinstance(at, HomeScreen):
                at.action_pane("form" if place == "form" else "runs")
            else:
                if isinstance(at, RunScreen) and at.leaving:
                    app.open_home()
                await go(pilot, app, place)
            for key in way:
                await pilot.press("question_mark" if key == "?" else key)
            await until(pilot, is_open)
        return app.screen

    async def bursts() -> None:
        app = ShakegptApp(config=tmp_path / "tui.json")
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: _is_filled(app.screen))
            shown = await opened(pilot, app)
            own = {key for key, b in shown.active_bindings.items() if b.node is shown}
            own -= {"tab", "shift+tab", "ctrl+c", "super+c"}  # of any screen
            for key, count in product(sorted(own | {*more}), COUNTS):
                logs.write(LIVE, [logs.beat("training", 7, time.time())])  # it lives on
                await opened(pilot, app)
                runs = len(find_runs())
                burst(app, *[key] * count)
                await until(pilot, lambda: not app.message_queue_size)
                await pilot.pause()
                while any(worker.group == "delete" for worker in app.workers):
                    await pilot.pause(0.02)
                assert runs - len(find_runs()) == (dialog == "delete" and key == "y")
                assert isinstance(app.screen, HomeScreen | RunScreen | PlotScreen | ModalScreen)
                await until(pilot, lambda: bool(text(app).strip()))
                if key == "question_mark":
                    await pilot.pause(BURST + 0.1)  # or the key that opens it anew is of the burst
            await settled(pilot)

    asyncio.run(bursts())


def test_a_burst_in_a_real_terminal_deletes_nothing_and_leaves_an_app_that_answers(
    app: ShakegptApp, tmp_path: Path
) -> None:
    with Terminal([], tmp_path) as terminal:
        terminal.until("GPT-2 Shakespeare")
        terminal.press("\x1bOR")  # F3
        terminal.until("2 runs")
        for keys in ("d", "dd", "ddd", "d" * 10):
            terminal.press(keys)
            terminal.until("Delete this run?")
        terminal.press("\x1b")
        terminal.forget()
        terminal.press("d")
        terminal.until("Delete this run?")
        time.sleep(2 * BURST)  # or the answer is of the burst that asked
        terminal.press("yyy")
        terminal.until("moved to runs/.trash/")
        terminal.forget()
        terminal.press("?")
        terminal.until("Go to the start form")
        assert len(find_runs()) == 1
        terminal.forget()
        terminal.press("qqq")  # of the help only
        terminal.until("by newest")
        while terminal.process.poll() is None:  # a busy machine hears of the burst late
            time.sleep(2 * BURST)
            terminal.press("q")
            terminal.read(0.1)
        assert terminal.wait() == 0 and "Traceback" not in terminal.plain


def test_no_screen_is_without_focus(app: ShakegptApp, started: list[list[str]]) -> None:
    """Also after a terminal was too small, a click beside everything, and with no runs at all."""

    async def body() -> None:
        async with app.run_test(size=SMALL) as pilot:

            async def is_focused() -> None:
                await until(pilot, lambda: app.focused is not None or not app.screen.focus_chain)
                if app.focused is not None:
                    await until(pilot, lambda: app.focused in app.screen.focus_chain)

            await until(pilot, lambda: _is_filled(app.screen))
            for place, *dialogs in (
                ("run", "number", "keys"),
                ("plot", "picker"),
                ("form", "prompt"),
                ("runs", "question"),
            ):
                await go(pilot, app, place)
                for name in (None, *dialogs):
                    if name is not None:
                        await app.push_screen(DIALOGS[name]())
                        await pilot.pause()
                    await is_focused()
                    before = app.focused
                    for size in ((30, 10), LARGE) if name else ((30, 10), SMALL, (80, 11), LARGE):
                        await pilot.resize_terminal(*size)
                        await until(
                            pilot,
                            lambda: size not in (SMALL, LARGE) or app.focused is before,  # noqa: B023
                        )
                    await pilot.click(offset=(1, 0))
                    await is_focused()
                await pilot.press(*["escape"] * len(dialogs))
            home = app.screen
            assert home.has_class("-runs")
            for path in (FIRST, SECOND):
                delete_run(path)
            home.query_one(RunList).look()
            await until(pilot, lambda: "No runs yet" in text(app))
            await is_focused()
            await pilot.press("f2", "f3", "f4")
            assert home.query_one(StartForm).has_class("-all") and home.has_class("-form")
            await pilot.press("f3", "f5")
            await until(pilot, lambda: started == [["[]"]])

    asyncio.run(body())


def test_a_start_that_fails_returns_to_the_form_as_it_was(
    app: ShakegptApp, started: list[list[str]]
) -> None:
    async def body() -> None:
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: _is_filled(app.screen))
            app.screen.query_one("#field-init_from", Input).value = "gpt2-medium"
            await pilot.pause()
            app.screen.query_one("#field-max_iters", Input).value = "7"
            await pilot.pause()
            before = app.screen
            for count in (1, 2):
                await pilot.press("f5")
                await until(pilot, lambda: len(started) == count)  # noqa: B023
            assert started[0] == started[1] and "--max-iters" in started[0][0]
            await until(pilot, lambda: app.screen is not before and _is_filled(app.screen))
            form = app.screen.query_one(StartForm)
            assert (form.preset, form.texts["max_iters"]) == ("gpt2", "7")
            assert app.screen.query_one("#field-learning_rate", Input).value == "3e-05"
            # its end is cut off where the form is narrow
            await until(pilot, lambda: "gpt2-medium, with" in text(app))
            assert "gpt2-medium, with the settings of gpt2" in str(form.query_one(Select).prompt)

    asyncio.run(body())


def test_titles_previews_and_the_way_back(app: ShakegptApp) -> None:
    """From the list, which previews, into a run and back with esc; the terminal's title follows."""

    async def body() -> None:
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: _is_filled(app.screen))
            await pilot.press("f3")
            await until(pilot, lambda: "What light through" in text(app))  # of the last sample
            await until(pilot, lambda: "choices" in text(app) and "iteration" in text(app))
            footer = text(app).splitlines()[-1]
            assert "⏎ Open" in footer and len(footer) > 100  # nearly as wide as the screen
            for run in (SECOND, FIRST):
                await pilot.press("enter")
                await until(pilot, lambda: isinstance(app.screen, RunScreen))
                await until(pilot, lambda: run.name in text(app).splitlines()[0])  # noqa: B023
                assert app.title.startswith(run.name)
                await pilot.press("t")
                await until(pilot, lambda: "token 1 of" in text(app))
                await pilot.press("escape", "escape")  # the tokens, then the run
                await until(pilot, lambda: _is_filled(app.screen))
                assert app.screen.has_class("-runs")
                await pilot.press("down")
                assert app.title == "shakegpt"
            await pilot.press("ctrl+p")
            await until(pilot, lambda: isinstance(app.screen, CommandPalette))
            await pilot.press(*"tour", "enter")
            for step in STEPS:
                await until(pilot, lambda: step.title in text(app))  # noqa: B023
                await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, HomeScreen))
            assert not app.screen.query(".-toured")

    asyncio.run(body())


def test_the_first_time_begins_with_the_tour(app: ShakegptApp, tmp_path: Path) -> None:
    with Terminal([str(FIRST)], tmp_path, XDG_CONFIG_HOME=str(tmp_path / "new")) as terminal:
        terminal.until(STEPS[0].title)
        terminal.press("\x1b")
        time.sleep(0.5)
        terminal.press("q")
        assert terminal.wait() == 0
        assert b"\x1b]2;first" in terminal.seen  # the terminal's title
    assert (tmp_path / "new" / "shakegpt" / "tui.json").exists()  # the next is not the first
