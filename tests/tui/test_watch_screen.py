"""The run screen, driven by keys through a log that grows while the test runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from textual.content import Content

from shakegpt.runlog import schema as ev
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.status import STALE_AFTER
from shakegpt_tui import keys
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.processes.trainer import Trainer
from shakegpt_tui.screens.help import key_table
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.settings import load
from shakegpt_tui.widgets.following import Following
from shakegpt_tui.widgets.loss_plot import LossPlot
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.sparkline import LossSparkline
from shakegpt_tui.widgets.status import Status
from tests.tui import logs
from tests.tui.screens import LARGE, SMALL, USUAL, Driver, live, play, run_screen, text, until


@pytest.mark.parametrize("size", [LARGE, USUAL, SMALL])
def test_it_learns_before_your_eyes(tmp_path: Path, size: tuple[int, int]) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await until(pilot, lambda: "TRAINING" in text(app) and "iteration 7/20" in text(app))
        assert "yonder window" in text(app)
        *micro, step = logs.iteration(8, time.time())
        logs.write(run, micro[:3])
        await until(pilot, lambda: "micro-step 3/4" in text(app))
        logs.write(run, [*micro[3:], step])
        await until(pilot, lambda: "iteration 8/20" in text(app))
        streamed = list(logs.sample(2, 8, time.time(), prompt="NURSE:"))
        for event in streamed[:6]:
            logs.write(run, [event])
        await until(pilot, lambda: "NURSE: What light through yonder window" in text(app))
        assert "breaks" not in text(app)
        logs.write(run, streamed[6:])
        await until(pilot, lambda: "O, Romeo, wherefore" in text(app))
        assert size != SMALL or "val 4." in text(app)

    play(run, script, size=size, config=tmp_path)


@pytest.mark.parametrize(("width", "height"), [(30, 10), (39, 40), (120, 11), (40, 5)])
def test_a_terminal_too_small_gets_a_clear_word(tmp_path: Path, width: int, height: int) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await until(pilot, lambda: f"{width}×{height} is too small" in text(app))
        assert "TRAINING" not in text(app)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "TRAINING" in text(app) and "too small" not in text(app))

    play(live(tmp_path), script, size=(width, height), config=tmp_path)


def test_every_size_down_to_nothing_draws(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        for keys_of_mode in (["t"], ["b", "c"], ["m"]):
            for size in ((200, 60), (41, 13), (12, 3), (1, 1)):
                await pilot.resize_terminal(*size)
                await pilot.press(*keys_of_mode)
                assert text(app) is not None

    play(live(tmp_path), script, config=tmp_path)


def test_a_crashed_run_says_so_with_its_last_words(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", logs.story(7))  # long ago, on another host
    (run / "trainer.log").write_bytes(b"fine\nRuntimeError: out of \x1b[31mmemory [bold]\xff\n")

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        assert "CRASHED" in text(app) and "r resumes from iteration 5" in text(app)
        words = run_screen(app).query_one("#messages", Following).said
        assert words.endswith("\nfine\nRuntimeError: out of ␛[31mmemory [bold]\ufffd")
        await until(pilot, lambda: "r Resume" in text(app) and "x Stop" not in text(app))

    play(run, script, config=tmp_path)


def test_a_trainer_of_another_session_that_dies_is_named_at_once(tmp_path: Path) -> None:
    began = time.time() - 20
    head = logs.own_header(os.getpid(), began)  # a process that lives: its number proves nothing
    run = logs.write(tmp_path / "run", logs.story(7, start=began, head=head))
    log = RunLog(run / LOG_NAME)
    log.write(logs.beat("training", 7, time.time()))

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        assert "TRAINING" in text(app) and run_screen(app).facts().state == "training"
        log.close()  # as the kernel does when its process is killed
        said = "crashed: its process is gone · r resumes from iteration 5"
        await until(pilot, lambda: "CRASHED" in text(app) and said in text(app), STALE_AFTER / 2)
        screen = run_screen(app)  # resumed: the new trainer has not opened the log yet
        screen.trainer, screen.lives_before = cast(Trainer, SimpleNamespace(exit_code=None)), 1
        assert screen.facts().state == "starting"
        screen.trainer = None
        with RunLog(run / LOG_NAME) as again:
            again.write(logs.end(7, time.time(), "stopped"))
            await until(pilot, lambda: "STOPPED" in text(app))

    play(run, script, config=tmp_path)


def test_a_run_that_never_began_is_not_called_crashed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "trainer.log").write_text("shakegpt: no model of that name\n")
    os.utime(run, (1000, 1000))

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await until(pilot, lambda: "DID NOT START" in text(app))
        assert "the trainer did not start: no model of that name" in text(app)
        assert text(app).count("no model of that name") == 1
        assert "first sample comes" not in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
        assert app.screen.has_class("-form")

    play(run, script, config=tmp_path)


def test_damage_and_warnings_are_messages(tmp_path: Path) -> None:
    run = live(tmp_path)
    with (run / LOG_NAME).open("a") as log:
        log.write('{"event":"step"}\n')
    logs.write(run, [ev.RunWarning(iteration=7, message="the disk [red]is full", time=time.time())])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        words = run_screen(app).query_one("#messages", Following).said
        assert "the disk [red]is full" in words and "log line" in text(app)

    play(run, script, config=tmp_path)


def test_text_from_a_model_is_only_text(tmp_path: Path) -> None:
    run = live(tmp_path)
    nasty = "[bold]\x1b]0;title\x07\x1b[2J[@click=app.quit]x[/]\x9b31m\u202etxet"
    logs.write(run, list(logs.sample(2, 7, time.time(), prompt=nasty))[:3])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        seen = text(app)
        assert "[bold]␛]0;title␇␛[2J[@click=app.quit]x[/]" in seen.replace("\n", "")
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(seen)

    play(run, script, config=tmp_path)


def test_a_newer_log_is_refused_with_a_sentence(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / LOG_NAME).write_text('{"event":"run","schema":99}\n')

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await until(pilot, lambda: "upgrade" in text(app).replace("\n", ""))
        assert "UNREADABLE" in text(app) and "CRASHED" not in text(app)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    assert play(run, script, config=tmp_path).return_code == 2


def test_help_tells_what_the_table_says(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("question_mark")
        await until(pilot, lambda: "Driving the run" in text(app))
        assert "Colour tokens by probability" in text(app)

    play(live(tmp_path), script, config=tmp_path)
    table = key_table(keys.RUN_KEYS, lambda binding: binding.key).plain
    assert all(binding.tooltip in table for binding in keys.RUN_KEYS)


def test_help_tells_the_keys_of_the_widget_in_focus(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.focused, LossPlot))
        await pilot.press("question_mark")
        await until(pilot, lambda: "log" in text(app).lower())
        assert "zoom" in text(app).lower()

    play(live(tmp_path), script, config=tmp_path)


def test_each_key_of_the_table_has_an_action() -> None:
    from shakegpt_tui.screens.run import RunScreen

    for binding in keys.RUN_KEYS:
        name = binding.action.split("(")[0]
        owner = ShakegptApp if name.startswith("app.") else RunScreen
        assert hasattr(owner, f"action_{name.removeprefix('app.')}"), binding


def test_themes_go_round_and_are_remembered(tmp_path: Path) -> None:
    from shakegpt_tui.themes import CYCLE

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        for theme in CYCLE[1:]:
            await pilot.press("T")
            assert app.theme == theme
            assert "TRAINING" in text(app) and run_screen(app).facts().state == "training"

    play(live(tmp_path), script, size=USUAL, config=tmp_path)
    assert load(tmp_path / "tui.json").theme == CYCLE[-1]


def test_the_picture_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    from shakegpt_tui.commands.picture import main

    run, out = logs.write(tmp_path / "run", logs.story(12)), tmp_path / "run.svg"
    flags = [str(run), "--size", "100x36", "--at", "10", "--press", "b,c", "--out", str(out)]
    assert main(flags) == 0
    first = out.read_text()
    assert "url(http" not in first and "iteration&#160;10/20" in first
    assert main(flags) == 0
    assert out.read_text() == first


def test_nothing_is_repainted_that_did_not_change(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        status, now = run_screen(app).query_one(Status), run_screen(app).facts()
        status.show(now, "run")
        lines = status.query(Quiet)
        assert [line.say(Content(line.said)) for line in lines if line.id == "brief"] == [True]
        status.show(now, "run")
        await pilot.pause(0.2)
        painted = [line.id for line in lines if line._repaint_required]
        status.show(now, "run")
        assert painted == [line.id for line in lines if line._repaint_required] == []

    play(live(tmp_path), script, config=tmp_path)


def test_how_curves_are_drawn_is_remembered(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def change(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.focused, LossPlot))
        await pilot.press("b", "plus", "l", "escape")
        await until(pilot, lambda: run_screen(app).query_one(LossSparkline).symbols.name == "block")

    async def find(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("g")
        await until(pilot, lambda: "l log  +- not smoothed  b block" in text(app))

    play(run, change, size=USUAL, config=tmp_path)
    kept = load(tmp_path / "tui.json")
    assert (kept.symbols, kept.smoothing, kept.log) == ("block", 0.3, True)
    play(run, find, size=USUAL, config=tmp_path)
