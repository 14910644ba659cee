"""The run screen, driven by keys through a log that grows while the test runs."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from rich.style import Style
from textual.content import Content
from textual.pilot import Pilot

from shakegpt import events as ev
from shakegpt.control import CONTROL_NAME, Request
from shakegpt.runlog import LOG_NAME
from shakegpt_tui import feed, keys
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.screens.help import key_table
from shakegpt_tui.settings import load
from shakegpt_tui.widgets.following import Following
from shakegpt_tui.widgets.loss_plot import LossPlot
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.sample_pane import SamplePane
from shakegpt_tui.widgets.status import Status
from tests.tui import logs
from tests.tui.screens import LARGE, SMALL, USUAL, play, run_screen, text, until

Driver = Pilot[str]


def live(tmp_path: Path, upto: int = 7) -> Path:
    """A run whose last record is of this moment."""
    length = list(logs.story(upto))[-1].time - logs.T0
    start = time.time() - length
    return logs.write(tmp_path / "run", logs.story(upto, start=start))


def commands(run: Path) -> list[Request]:
    lines = (run / CONTROL_NAME).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Request) for line in lines]


@pytest.mark.parametrize("size", [LARGE, USUAL, SMALL])
def test_it_learns_before_your_eyes(tmp_path: Path, size: tuple[int, int]) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        assert "TRAINING" in text(app) and "iteration 7/20" in text(app)
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
            for size in ((200, 60), (90, 20), (41, 13), (12, 3), (1, 1), (70, 34)):
                await pilot.resize_terminal(*size)
                await pilot.press(*keys_of_mode)
                assert text(app) is not None

    play(live(tmp_path), script, config=tmp_path)


def test_stepping_back_and_comparing_with_the_first(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        shown = run_screen(app).query_one("#shown", SamplePane)
        await pilot.press("left")
        assert str(shown.border_title).startswith("iteration 5 · sample 2 of 3")
        await pilot.press("home")
        assert str(shown.border_title).startswith("iteration 0 · sample 1 of 3")
        await pilot.press("end", "b")
        await until(pilot, lambda: text(app).count("through yonder") == 2)
        assert "iteration 0 · sample 1" in text(app) and "iteration 10 · sample 3" in text(app)
        assert load(tmp_path / "tui.json").compare

    play(live(tmp_path, 12), script, config=tmp_path)


@pytest.mark.parametrize("size", [LARGE, USUAL, SMALL])
def test_a_token_and_what_could_have_stood_there(tmp_path: Path, size: tuple[int, int]) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("t", "right", "right", "right")
        await until(pilot, lambda: "token 4 of 28" in text(app))
        assert "▸ “ yonder”" in text(app) and "“ thee”" in text(app)
        assert "drawn at 5.0%, model 4.0%, rank 3" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: "token 4 of" not in text(app))

    play(live(tmp_path), script, size=size, config=tmp_path)


def test_a_click_chooses_the_token(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        lines = text(app).splitlines()
        row = next(y for y, line in enumerate(lines) if "yonder" in line)
        await pilot.click(offset=(lines[row].index("yonder") + 2, row))
        await until(pilot, lambda: "token 4 of 28" in text(app))

    play(live(tmp_path), script, config=tmp_path)


def test_probabilities_show_in_styles_with_a_legend(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("c")
        await until(pilot, lambda: "≥60% ≥30% ≥10% ≥2% <2%" in text(app))
        styles = _styles_of(app, "[east")
        assert any(style.underline and style.bold for style in styles)

    play(live(tmp_path), script, config=tmp_path)


def _styles_of(app: ShakegptApp, piece: str) -> list[Style]:
    strips = app.screen._compositor.render_strips()
    return [s.style or Style() for strip in strips for s in strip if piece in s.text]


def test_search_in_all_samples(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        screen = run_screen(app)
        await pilot.press("slash")
        await pilot.pause(0.2)
        await pilot.press(*"THE SUN", "enter")
        await until(pilot, lambda: screen.hit is not None)
        assert screen.hit is not None and screen.hit.sample == 2
        await pilot.press("n")
        assert screen.hit is not None and screen.hit.sample == 0
        await pilot.press("N")
        assert screen.hit is not None and screen.hit.sample == 2

    play(live(tmp_path, 12), script, config=tmp_path)


def test_commands_go_out_and_come_back(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("space", "v", "w", "s")
        await until(pilot, lambda: len(commands(run)) == 4)
        asked = commands(run)
        assert [request.verb for request in asked] == ["pause", "evaluate", "save", "sample"]
        assert "… pause" in text(app) and "… save" in text(app)
        answer = ev.Command(id=asked[0].id, verb="pause", status="done", iteration=7)
        logs.write(run, [answer, logs.beat("paused", 7, time.time())])
        await until(pilot, lambda: "✓ pause at 7" in text(app) and "PAUSED" in text(app))
        await until(pilot, lambda: "Go on" in text(app) and "space Pause" not in text(app))
        await pilot.press("space")
        assert commands(run)[-1].verb == "resume"
        refused = ev.Command(id=asked[1].id, verb="evaluate", status="refused", message="no",
                             iteration=7)  # fmt: skip
        logs.write(run, [refused])
        await until(pilot, lambda: "✗ evaluate: no" in text(app))

    play(run, script, config=tmp_path)


def test_an_own_prompt_with_its_settings(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("e")
        await pilot.pause(0.3)
        await pilot.press(*" o", "tab", "tab", *"hot", "ctrl+s")
        await until(pilot, lambda: "no number" in text(app))
        await pilot.press("backspace", "backspace", "backspace", *"0.5", "tab", *"0", "ctrl+s")
        await until(pilot, lambda: ">= 1" in text(app))
        await pilot.press("backspace", *"40", "ctrl+s")
        await until(pilot, lambda: (run / CONTROL_NAME).exists())
        (request,) = commands(run)
        assert (request.verb, request.prompt) == ("sample", "ROMEO: o")
        assert (request.temperature, request.top_k, request.top_p) == (0.5, 40, None)
        assert request.seed is not None
        assert load(tmp_path / "tui.json").prompt == "ROMEO: o"

    play(run, script, config=tmp_path)


def test_the_limit_is_asked_for_and_checked(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("i")
        await pilot.pause(0.3)
        await pilot.press(*"3", "enter")
        await until(pilot, lambda: "at least 7" in text(app))
        await pilot.press("3", "enter")
        await until(pilot, lambda: (run / CONTROL_NAME).exists())
        assert [(r.verb, r.max_iters) for r in commands(run)] == [("max_iters", 33)]

    play(run, script, config=tmp_path)


def test_leaving_a_live_run_asks_and_stopping_waits_for_the_save(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("q")
        await until(pilot, lambda: "leave it running" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "leave it running" not in text(app))
        await pilot.press("q")
        await until(pilot, lambda: "stop and save" in text(app))
        await pilot.press("s")
        await until(pilot, lambda: (run / CONTROL_NAME).exists())
        assert commands(run)[-1].verb == "stop"
        assert app.is_running
        logs.write(run, [logs.end(7, time.time(), "stopped")])
        await until(pilot, lambda: not app.is_running)

    app = play(run, script, config=tmp_path)
    assert app.return_value == f"stopped at iteration 7: {run}"


def test_detaching_leaves_it_running(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("q")
        await pilot.pause(0.3)
        await pilot.press("l")
        await until(pilot, lambda: not app.is_running)

    app = play(run, script, config=tmp_path)
    assert app.return_value == f"training goes on; to come back: shakegpt-tui {run}"
    assert not (run / CONTROL_NAME).exists()


def test_a_second_stop_offers_to_kill(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("x")
        await pilot.pause(0.1)
        await pilot.press("x")
        await until(pilot, lambda: "Kill the trainer?" in text(app))
        assert "iteration 5 is saved" in text(app)
        await pilot.press("k")  # there is none on this machine, and it says so
        await until(pilot, lambda: "no trainer of this run" in text(app))
        assert [request.verb for request in commands(run)] == ["stop"]

    play(run, script, config=tmp_path)


def test_a_crashed_run_says_so_with_its_last_words(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", logs.story(7))  # long ago, on another host
    (run / "trainer.log").write_bytes(b"fine\nRuntimeError: out of \x1b[31mmemory [bold]\xff\n")

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        assert "CRASHED" in text(app) and "r resumes from iteration 5" in text(app)
        words = run_screen(app).query_one("#messages", Following).said
        assert words == "fine\nRuntimeError: out of ␛[31mmemory [bold]\ufffd"
        await until(pilot, lambda: "r Resume" in text(app) and "x Stop" not in text(app))

    play(run, script, config=tmp_path)


def test_damage_and_warnings_are_messages(tmp_path: Path) -> None:
    run = live(tmp_path)
    with (run / LOG_NAME).open("a") as log:
        log.write('{"event":"step"}\n')
    logs.write(run, [ev.Warning(iteration=7, message="the disk [red]is full", time=time.time())])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        assert "the disk [red]is" in text(app) and "log line" in text(app)

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
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    assert play(run, script, config=tmp_path).return_code == 2


def test_a_replay_plays_and_takes_no_commands(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", [*logs.story(6), logs.end(6, logs.T0 + 60)])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        assert "REPLAY" in text(app)
        await pilot.press("space")
        await until(pilot, lambda: "held" in text(app))
        await pilot.press("s", "x", "plus", "plus", "space")
        await until(pilot, lambda: "80 × as fast" in text(app))
        await until(pilot, lambda: "FINISHED" in text(app))
        assert not (run / CONTROL_NAME).exists()
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    play(feed.ReplayFeed(run, 20), script, config=tmp_path)


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


def test_copies(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("y", "Y")
        written = run / "sample-1-iteration-5.txt"
        await until(pilot, written.exists)
        assert (
            app.clipboard
            == written.read_text()
            == run_screen(app).query_one("#shown", SamplePane).said
        )
        assert app.clipboard.startswith("ROMEO: What light")

    play(run, script, config=tmp_path)


def test_themes_go_round_and_are_remembered(tmp_path: Path) -> None:
    from shakegpt_tui.themes import CYCLE

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        for theme in (*CYCLE[1:], CYCLE[0], CYCLE[1]):
            await pilot.press("T")
            assert app.theme == theme
            assert "TRAINING" in text(app)

    play(live(tmp_path), script, config=tmp_path)
    assert load(tmp_path / "tui.json").theme == CYCLE[1]


def test_the_picture_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    from shakegpt_tui.picture import main

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
        status.show(now)
        lines = status.query(Quiet)
        assert [line.say(Content(line.said)) for line in lines if line.id == "brief"] == [True]
        status.show(now)
        await pilot.pause(0.2)
        painted = [line.id for line in lines if line._repaint_required]
        status.show(now)
        assert painted == [line.id for line in lines if line._repaint_required] == []

    play(live(tmp_path), script, config=tmp_path)
