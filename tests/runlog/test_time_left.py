"""The time left, from made-up logs: iterations of 1 s, an evaluation of 2.2 s every 5 of 20."""

from __future__ import annotations

import msgspec
import pytest

from shakegpt.cli.console import PlainConsole
from shakegpt.format import duration
from shakegpt.runlog import schema as ev
from shakegpt.runlog.eta import finished, time_left
from shakegpt.runlog.history import History
from shakegpt_tui.run.facts import facts
from tests.tui import logs

VISIT = 0.5 + 0.05 * len(logs.TEXT) + 0.1 + 0.2
"""An evaluation, its sample, its two saves."""
RESUMED = logs.resume(10, time=logs.T0 + 36_000)  # the next morning


def told(upto: int) -> History:
    return History().extend(logs.story(upto))


@pytest.mark.parametrize(
    ("upto", "seconds"),
    [(1, 19 + 4 * VISIT), (4, 16 + 4 * VISIT), (5, 15 + 3 * VISIT), (19, 1 + VISIT), (20, 0)],
)
def test_it_is_right_from_the_first_iteration_across_evaluations(upto: int, seconds: float) -> None:
    assert time_left(told(upto)) == pytest.approx(seconds)


def test_screen_and_console_say_the_same() -> None:
    history = told(7)
    *micro, step = logs.iteration(8, history.last_time)
    history.extend(micro[:2])
    assert finished(history) == 7.5
    assert facts(history, history.last_time).eta == time_left(history)
    lines = PlainConsole(history).lines(step)
    assert lines[0].endswith(f"eta {duration(12.5 + 3 * VISIT)}"), lines


def test_an_evaluation_that_is_due_is_still_to_come() -> None:
    history = told(9).extend(logs.iteration(10, logs.T0 + 20))
    assert time_left(history) == pytest.approx(10 + 3 * VISIT)
    history = told(19).extend(logs.iteration(20, logs.T0 + 40))
    assert time_left(history) == pytest.approx(VISIT)


def test_hours_without_a_trainer_change_nothing() -> None:
    history = told(12).extend([RESUMED])
    assert time_left(history) == pytest.approx(10 + 2 * VISIT)
    history.extend(logs.iteration(11, RESUMED.time + 3))
    assert time_left(history) == pytest.approx(9 + 2 * VISIT)


def test_a_pause_and_one_slow_iteration_change_nothing() -> None:
    history = told(7)
    before = time_left(history)
    history.add(logs.beat("paused", 7, history.last_time + 7200))
    assert time_left(history) == before
    *micro, step = logs.iteration(8, history.last_time)
    assert isinstance(step, ev.Step)
    history.extend([*micro, msgspec.structs.replace(step, seconds=300.0)])
    assert time_left(history) == pytest.approx(12 + 3 * VISIT)


def test_before_the_first_iteration_nothing_is_said() -> None:
    assert time_left(told(0)) is None and time_left(History()) is None
