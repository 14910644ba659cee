"""The picture that all readers share: keyed by iteration, a resume voids what came after it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, load
from shakegpt.runlog.log import LOG_NAME, RunLog, read
from shakegpt.runlog.status import (
    STALE_AFTER,
    current_state,
    is_local,
    machine,
    run_state,
    trainer_alive,
)
from shakegpt.session import finetune
from tests.tiny import tiny_config
from tests.tui import logs

NOBODY = 999_999_999


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> list[ev.Event]:
    run = tmp_path_factory.mktemp("runs") / "run"
    config = tiny_config(text_file, run, max_iters=4, eval_interval=2, max_new_tokens=3)
    return read(finetune(config) / LOG_NAME)[0]


def resumed(at: int, **changes: object) -> ev.Resume:
    here: dict[str, object] = {"host": socket.gethostname(), "pid": os.getpid()}
    return logs.resume(at, **{"time": time.time(), "config": {"max_iters": 4}, **here, **changes})


def test_a_finished_run(records: list[ev.Event]) -> None:
    history = History().extend(records)
    assert history.iteration == 4 == history.max_iters and list(history.evals) == [0, 2, 4]
    assert history.first_eval is history.evals[0] and history.best_eval is history.evals[4]
    assert run_state(history, 0) == "finished" and len(history.samples) == 3
    assert all(history.has_evaluation(k, samples=True) for k in (0, 2, 4))
    assert not history.has_evaluation(3, samples=False)


@pytest.mark.parametrize("at", range(5))
def test_a_resume_voids_what_came_after(records: list[ev.Event], at: int) -> None:
    history = History().extend(records)
    history.add(resumed(at))
    assert list(history.steps) == list(range(1, at + 1)) and history.end is None
    assert max(history.evals) <= at and all(k <= at for k, _ in history.progress)
    assert all(s.start.iteration <= at and s.complete for s in history.samples)
    again = [e for e in records if getattr(e, "iteration", -1) > at]
    history.extend(again)
    assert list(history.steps) == [1, 2, 3, 4] and list(history.evals) == [0, 2, 4]
    assert [s.start.sample for s in history.samples] == [0, 1, 2]


def test_wall_time_adds_up(records: list[ev.Event]) -> None:
    end = records[-1]
    assert isinstance(end, ev.End)
    history = History().extend([*records, resumed(4), end])
    assert history.wall_seconds == pytest.approx(2 * end.wall_seconds)


def test_states(records: list[ev.Event]) -> None:
    header = records[0]
    assert isinstance(header, ev.Run)
    beat = next(e for e in records if isinstance(e, ev.Heartbeat) and e.phase == "training")
    history = History().extend([header, beat])
    assert run_state(history, beat.time + 1) == "training"
    assert run_state(history, beat.time + STALE_AFTER + 1) == "stalled", "this process lives"
    history.add(resumed(0, pid=NOBODY))
    assert run_state(history, history.last_time + STALE_AFTER + 1) == "crashed"
    history.add(resumed(0, host="elsewhere"))
    assert run_state(history, history.last_time + STALE_AFTER + 1) == "crashed"
    phases: tuple[ev.Phase, ...] = ("paused", "starting")
    for phase in phases:
        history.add(ev.Heartbeat(phase=phase, iteration=0, max_iters=4, memory=1))
        assert run_state(history, history.last_time) == phase


def test_a_best_evaluation_without_its_model_is_not_done(records: list[ev.Event]) -> None:
    best = [e for e in records if not (isinstance(e, ev.Checkpoint) and e.kind == "best")]
    history = History().extend(best)
    assert history.has_evaluation(0, samples=True) and not history.has_evaluation(4, samples=True)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_order_and_any_loss_of_records_raises_nothing(
    records: list[ev.Event], data: st.DataObject
) -> None:
    some = data.draw(st.lists(st.sampled_from(records), max_size=30))
    history = History().extend(some)
    assert history.iteration >= 0 and history.max_iters >= 0
    run_state(history, 0.0)
    assert history.best_eval is None or history.best_eval.val_loss is not None
    assert all(isinstance(sample.text, str) for sample in history.samples)


def test_there_may_be_nothing(tmp_path: Path) -> None:
    history, problems = load(tmp_path)
    assert history.run is None and not problems and history.iteration == history.max_iters == 0


@pytest.mark.parametrize("config", [{}, {"max_iters": "x"}, {"max_iters": None}])
def test_a_configuration_of_another_hand_raises_nothing(
    records: list[ev.Event], config: dict[str, object]
) -> None:
    history = History()
    history.add(resumed(0, config=config))
    assert history.max_iters == 0


def test_a_clock_that_was_set_back_hides_no_crash_and_no_life(records: list[ev.Event]) -> None:
    begun, hour = records[:1], 3600.0
    live, dead = (History().extend([*begun, resumed(0, pid=pid)]) for pid in (os.getpid(), NOBODY))
    assert run_state(live, live.last_time - hour) == "starting"
    assert run_state(dead, dead.last_time - hour) == "crashed"
    afar = History().extend([*begun, resumed(0, pid=NOBODY, host="elsewhere")])
    assert run_state(afar, afar.last_time - hour) == "starting", "its clock may be ahead of ours"
    live.add(ev.RunWarning(time=live.last_time - hour, iteration=0, message="set back"))
    assert run_state(live, live.last_time + 1) == "starting"


def test_a_number_that_is_no_process_is_not_here(records: list[ev.Event]) -> None:
    history = History().extend([*records[:1], resumed(0, pid=10**30)])
    assert run_state(history, history.last_time + STALE_AFTER + 1) == "crashed"


def test_this_machine_is_known_by_more_than_its_name(records: list[ev.Event]) -> None:
    """A Mac renames itself; two containers may share one name."""
    renamed = History().extend([*records[:1], resumed(0, host="mac-2", machine=machine())])
    namesake = History().extend([*records[:1], resumed(0, machine="another boot")])
    older = History().extend([*records[:1], resumed(0)])
    assert [is_local(h) for h in (renamed, namesake, older, History())] == [
        True,
        False,
        True,
        False,
    ]
    header = records[0]
    assert isinstance(header, ev.Run) and header.machine == machine()


def test_what_is_known_of_the_process_decides(records: list[ev.Event], tmp_path: Path) -> None:
    history = History().extend([*records[:1], resumed(0)])
    late = history.last_time + STALE_AFTER + 1
    assert run_state(history, history.last_time, alive=False) == "crashed"
    assert run_state(history, late, alive=True) == "stalled"
    with RunLog(tmp_path / LOG_NAME) as log:
        log.write(resumed(0))
        assert trainer_alive(tmp_path, history) is True
        assert current_state(tmp_path, history) == "starting"
    assert trainer_alive(tmp_path, history) is False
    assert current_state(tmp_path, history) == "crashed"
    history.add(resumed(0, host="elsewhere"))
    assert trainer_alive(tmp_path, history) is None
    with RunLog(tmp_path / LOG_NAME) as log:
        log.write(records[-1])
    assert current_state(tmp_path, history.extend([resumed(0)])) == "finished", "a late last word"
