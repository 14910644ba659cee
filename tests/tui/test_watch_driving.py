"""Driving a run from its screen: commands, prompt, limit, stop, leaving; a replay takes none."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from textual.widgets import TextArea

from shakegpt.runlog import schema as ev
from shakegpt.runlog.control import CONTROL_NAME, Request
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.run import feed
from shakegpt_tui.run.replay_feed import ReplayFeed
from shakegpt_tui.settings import load
from tests.tui import logs
from tests.tui.screens import SMALL, USUAL, Driver, burst, live, play, run_screen, text, until


def commands(run: Path) -> list[Request]:
    lines = (run / CONTROL_NAME).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Request) for line in lines]


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


def test_the_latest_command_is_in_sight_at_every_height(tmp_path: Path) -> None:
    """Also beside a sample's tokens and a long story, which leave little room for it."""
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("space")
        await until(pilot, lambda: len(commands(run)) == 1)
        done = ev.Command(id=commands(run)[0].id, verb="pause", status="done", iteration=7)
        story = [ev.RunWarning(iteration=7, message=f"{n} " + "a matter " * 9) for n in range(5)]
        logs.write(run, [*story, done, logs.beat("paused", 7, time.time())])
        for height in (*range(20, 45, 2), 60):
            await pilot.resize_terminal(120, height)
            await until(pilot, lambda: "✓ pause at 7" in text(app))
            await pilot.press("t")  # with the token's candidates, and without

    play(run, script, config=tmp_path)


def test_an_own_prompt_with_its_settings(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("e")
        await pilot.pause(0.3)
        burst(app, *"oh", "backspace", "left", "x", "home", "delete", "end", "backspace", "ctrl+u")
        burst(app, *"ROMEO:n", "backspace", *" a", "enter", "backspace", "backspace", "o")
        await until(pilot, lambda: app.screen.query_one(TextArea).text == "ROMEO: o")
        await pilot.press("tab", "tab", *"hot", "ctrl+s")
        await until(pilot, lambda: "a number >= 0" in text(app))
        await pilot.press("backspace", "backspace", "backspace", *"0.5", "tab", *"0", "ctrl+s")
        await until(pilot, lambda: "an integer >= 1" in text(app))
        await pilot.press("backspace", *"40", "ctrl+s")
        await until(pilot, lambda: (run / CONTROL_NAME).exists())
        (request,) = commands(run)
        assert (request.verb, request.prompt) == ("sample", "ROMEO: o")
        assert (request.temperature, request.top_k, request.top_p) == (0.5, 40, None)
        assert request.seed is not None
        assert load(tmp_path / "tui.json").prompting(run).prompt == "ROMEO: o"
        other = logs.header(time=time.time())
        other.config.update(prompt="JULIET: O", temperature=0.25)
        app.open_run(feed.LiveFeed(logs.write(tmp_path / "other", [other])))
        await until(pilot, lambda: run_screen(app).caught_up)
        await pilot.press("e")
        await until(pilot, lambda: "0.25 as the run" in text(app))
        assert app.screen.query_one(TextArea).text == "JULIET: O"
        assert "40" not in text(app)
        for size in (SMALL, USUAL):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "sample now" in text(app) and "keep for later" in text(app))
        await pilot.press("ctrl+s")
        (request,) = commands(tmp_path / "other")
        assert (request.prompt, request.temperature) == ("JULIET: O", None)

    play(run, script, config=tmp_path)


def test_the_limit_is_asked_for_and_checked(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("i")
        await pilot.pause(0.3)
        await pilot.press(*"3", "enter")
        await until(pilot, lambda: ">= 7" in text(app))
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
        burst(app, *"ssss")
        await until(pilot, lambda: (run / CONTROL_NAME).exists())
        await until(pilot, lambda: not app.message_queue_size)
        await pilot.pause(0.1)
        assert [request.verb for request in commands(run)] == ["stop"]
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


def test_a_replay_plays_and_takes_no_commands(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", [*logs.story(6), logs.end(6, logs.T0 + 60)])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        assert "REPLAY" in text(app)
        await pilot.press("space")
        await until(pilot, lambda: "held" in text(app))
        await pilot.press("s", "x", "plus", "plus", "plus", "plus", "minus", "space")
        await until(pilot, lambda: "8× speed" in text(app))
        await until(pilot, lambda: "FINISHED" in text(app))
        assert not (run / CONTROL_NAME).exists()
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    play(ReplayFeed(run, 1), script, config=tmp_path)


def test_a_finished_run_tells_its_time_and_resumes_with_a_new_limit(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", [*logs.story(20), logs.end(20, logs.T0 + 60)])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await until(pilot, lambda: "FINISHED" in text(app) and "time taken" in text(app))
        await pilot.press("r")
        await until(pilot, lambda: "Train until which iteration?" in text(app))
        assert "40" in text(app)
        await pilot.press("2", "0", "enter")
        await until(pilot, lambda: ">= 21" in text(app))
        await pilot.press("escape")

    play(run, script, config=tmp_path)


def test_the_terminal_is_notified_once_when_a_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, messages = live(tmp_path), list[str]()
    monkeypatch.setattr(
        ShakegptApp, "notify_terminal", lambda self, message: messages.append(message)
    )

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await until(pilot, lambda: run_screen(app).caught_up and not messages)
        logs.write(run, [logs.end(7, time.time())])
        await until(pilot, lambda: len(messages) == 1)
        await pilot.press("v")
        await pilot.pause(0.3)
        assert len(messages) == 1 and "finished" in messages[0] and run.name in messages[0]

    play(run, script, config=tmp_path)
