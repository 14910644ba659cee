"""Replays: pace and order, holding, going to an iteration, looping; opened from the UI."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.run import replay_feed
from shakegpt_tui.run.feed import Batch
from shakegpt_tui.run.replay_feed import ReplayFeed, moment_after
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.screens.run import RunScreen
from shakegpt_tui.screens.run_list import RunList
from tests.tui import logs
from tests.tui.screens import Driver, live, play, run_screen, text, until


class Played:
    """What a replay has delivered, folded as the run screen does."""

    def __init__(self, replay: ReplayFeed) -> None:
        self.history, self.events, self.restarts = History(), list[ev.Event](), 0
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._read, args=[replay])
        self._thread.start()

    def _read(self, replay: ReplayFeed) -> None:
        for batch in replay.batches(self.stop):
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        if batch.restarted:
            self.history, self.events = History(), []
            self.restarts += 1
        self.events += batch.events
        self.history.extend(batch.events)

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def until(self, iteration: int) -> bool:
        limit = time.monotonic() + 10
        while self.history.iteration != iteration and time.monotonic() < limit:
            time.sleep(0.01)
        return self.history.iteration == iteration


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplayFeed, "TICK", 0.01)
    monkeypatch.setattr(ReplayFeed, "ENDED_TICK", 0.02)


def test_a_replay_keeps_the_order_and_ends_as_a_run_that_was_being_trained(tmp_path: Path) -> None:
    whole = list(logs.story(2))
    run = logs.write(tmp_path / "run", whole)
    replay = ReplayFeed(run, speed=100)
    with Played(replay) as played:
        assert played.until(2)
        assert replay.now() < time.time() - 1000 or replay.ended
        more = [*logs.iteration(3, whole[-1].time), logs.end(3, whole[-1].time + 1)]
        logs.write(run, more)
        assert played.until(3)
        while not replay.ended:
            time.sleep(0.01)
    assert played.events == whole + more and played.history.end is not None
    assert replay.now() > time.time() - 5


def test_a_replay_is_held_goes_to_iterations_and_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_feed, "LOOP_PAUSE", 0.1)
    run = logs.write(tmp_path / "run", [*logs.story(20), logs.end(20, logs.T0 + 60)])
    replay = ReplayFeed(run, speed=1)
    replay.paused = True
    with Played(replay) as played:
        for goal, reached in ((7, 7), (3, 3), (0, 0), (99, 20), (12, 12)):
            replay.seek(goal)
            assert played.until(reached), (goal, played.history.iteration)
            assert played.history.end is None and not replay.ended
        assert len(played.history.samples) == 3 and max(played.history.evals) == 10
        replay.seek(5)  # before its evaluation, so that it is watched
        assert played.until(5) and 5 not in played.history.evals
        before = played.restarts
        replay.loop, replay.paused, replay.chosen_speed = True, False, 5000
        limit = time.monotonic() + 10
        while played.restarts == before and time.monotonic() < limit:
            time.sleep(0.01)
        assert played.restarts == before + 1


def test_the_moment_after_an_iteration() -> None:
    events = [*logs.story(6), logs.end(6, logs.T0 + 60)]
    for iteration in range(7):
        history = History().extend(events[: moment_after(events, iteration)])
        assert history.iteration == iteration and history.end is None
    assert moment_after([], 3) == 0


def test_a_replay_without_a_speed_takes_a_minute_at_most(tmp_path: Path) -> None:
    for length, speed in ((4, 1.0), (600, 16.0)):
        run = logs.write(tmp_path / str(length), logs.story(1))
        logs.write(run, [logs.beat("training", 1, logs.T0 + 4 * k) for k in range(length // 4)])
        replay = ReplayFeed(run)
        next(replay.batches(threading.Event()))
        batches = replay.batches(threading.Event())
        next(batches), next(batches)
        assert replay.speed == speed


def test_dead_time_in_a_log_is_not_played() -> None:
    assert replay_feed.record_gaps([0, 1, 1000, 1001], 8) == [0, 1, 9, 10]


def test_p_plays_a_run_again_over_its_screen(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("p")
        await until(pilot, lambda: "REPLAY" in text(app) and run_screen(app).caught_up)
        await pilot.press("space", "i", "5", "enter")
        await until(pilot, lambda: "held" in text(app) and "iteration 5/20" in text(app))
        await pilot.press("right_square_bracket", "right_square_bracket")
        await until(pilot, lambda: "iteration 7/20" in text(app))
        await pilot.press("left_square_bracket", "f", "left_square_bracket", "f")
        await until(pilot, lambda: "iteration 5/20" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "TRAINING" in text(app) and "REPLAY" not in text(app))
        assert sum(isinstance(screen, RunScreen) for screen in app.screen_stack) == 1

    play(live(tmp_path), script, config=tmp_path)


def test_p_plays_a_run_of_the_list_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = logs.write(Path("runs/first"), [*logs.story(6), logs.end(6, logs.T0 + 60)])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        app.open_home("runs")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
        await until(pilot, lambda: bool(app.screen.query_one(RunList).summaries))
        await until(pilot, lambda: app.screen.query_one(RunList).chosen is not None)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "REPLAY" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    play(run, script, config=tmp_path)
