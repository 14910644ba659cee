"""One sentence on a run: each rule on curves of its kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from shakegpt.cli.console import PlainConsole
from shakegpt.runlog.advice import advice, evaluations_since_best
from shakegpt.runlog.history import History, load
from shakegpt.runlog.metrics import epochs
from shakegpt.runlog.schema import Eval, Step
from shakegpt.session import finetune
from tests.tiny import tiny_config


def run(val: Sequence[float | None], train: Sequence[float], every: int = 5) -> History:
    """A history with evaluations every 5 iterations; `train` is the mean loss before each."""
    history = History()
    for k, loss in enumerate(val):
        for i in range((k - 1) * every + 1, k * every + 1) if k else ():
            step = Step(
                iteration=i,
                loss=train[k - 1],
                learning_rate=1e-3,
                grad_norm=1.0,
                seconds=1.0,
                tokens_per_second=1.0,
                memory=1,
            )
            history.add(step)
        history.add(Eval(iteration=k * every, val_loss=loss, tokens=100, seconds=1.0, best=False))
    return history


CURVES: list[tuple[str, list[float | None], list[float]]] = [
    ("learning", [4.6, 4.2, 4.0, 3.87], [4.4, 4.1, 3.9]),
    ("level", [4.6, 3.9, 3.5, 3.497], [4.4, 3.8, 3.5]),
    ("level", [4.6, 3.9, 3.5, 3.503], [4.4, 3.8, 3.4]),
    ("memorizing", [3.6, 2.95, 3.1, 3.4], [3.3, 2.6, 2.0]),
    ("rising", [3.6, 2.95, 3.1], [3.3, 3.4]),
    ("gap", [3.6, 3.2, 3.1], [3.0, 2.4]),
    ("diverging", [3.6, 5.0], [4.4]),
    ("diverging", [3.6, 3.5, None], [3.5, 3.5]),
    ("diverging", [3.6, 3.5, math.nan], [3.5, 3.5]),
]


UNPLANNED: list[tuple[str | None, float, list[float | None], list[float]]] = [
    (None, 3.0, [None, 3.0], [3.0]),  # nothing to compare with
    (None, 3.0, [math.nan, 3.0], [3.0]),
    ("learning", 3.0, [None, 3.0, 2.5], [3.0, 3.0]),
    ("learning", 3.0, [4.6, math.nan, 4.0], [4.0, 4.0]),  # continued at a lower rate
    ("learning", 3.0, [4.6, math.inf, 4.0], [4.0, 4.0]),
    ("memorizing", 30.0, [4.2, 6.0], [2.0]),  # before the first evaluation after the start
    ("memorizing", 30.0, [4.2, 3.0, 6.0], [0.9, 0.95]),
    ("rising", 0.5, [4.2, 6.0], [3.5]),
    ("level", 3.0, [4.6, 3.0, 4.5, 2.999], [4.0, 4.0, 4.0]),  # back where it was
    ("rising", 3.0, [4.6, 3.0, 4.5, 3.1], [4.0, 4.0, 4.0]),
    ("learning", 3.0, [4.6, 3.9, 4.0, 3.8], [4.2, 4.1, 4.0]),  # up and down, but down
    ("diverging", 3.0, [4.6, 3.0, 9.0], [4.0, 9.5]),  # after a dip
    ("diverging", 3.0, [4.6, 3.0, 1e9], [4.0, 1e8]),
    ("gap", 0.2, [4.6, 4.5], [3.0]),
]


@pytest.mark.parametrize(("rule", "epochs", "val", "train"), UNPLANNED)
def test_curves_that_nobody_planned(
    rule: str | None, epochs: float, val: list[float | None], train: list[float]
) -> None:
    history = run(val, train)
    found = advice(history, epochs)
    assert (found and found.rule) == rule
    if found is None:
        return
    assert "nan" not in found.sentence and len(found.sentence) < 120
    assert ("memorize" in found.sentence) == (rule == "memorizing")  # none within an epoch
    if rule == "learning":  # the sentence and --patience agree
        assert evaluations_since_best(history) == 0


def test_a_slow_fall_is_shown_without_an_exponent() -> None:
    found = advice(run([4.6, 4.5], [4.5], every=2000), epochs=0.5)
    assert found is not None and found.rule == "learning"
    assert "0.005 in 100 iterations" in found.sentence


RECORDED: list[tuple[str, float, list[float], list[float]]] = [
    (
        "learning gap memorizing memorizing memorizing memorizing memorizing memorizing",
        0.83,  # a story of 7,426 tokens at a rate of 1.4e-3
        [4.242, 4.014, 3.98, 4.084, 4.168, 4.307, 4.472, 4.53, 4.651],
        [4.106, 3.371, 2.708, 2.294, 1.875, 1.482, 1.398, 1.006],
    ),
    (
        "diverging diverging diverging diverging diverging diverging",
        0.55,  # the same at a rate of 0.1
        [4.242, 23.945, 28.611, 25.173, 17.555, 9.676, 7.955],
        [17.718, 27.434, 27.028, 21.553, 13.875, 8.933],
    ),
    (
        "level level level level level level",
        0.55,  # the same at a rate of 1e-6
        [4.242, 4.239, 4.238, 4.238, 4.237, 4.237, 4.237],
        [4.197, 4.177, 4.212, 4.123, 4.192, 4.173],
    ),
    (
        "learning rising rising rising",
        0.014,  # plays in their first epoch, at a rate that rises to 1e-2
        [4.502, 4.243, 4.356, 4.538, 4.649],
        [4.436, 4.384, 4.274, 4.36],
    ),
    (
        "learning learning learning learning",
        0.051,  # the plays, the run that is shipped
        [4.599, 4.196, 4.021, 3.925, 3.872],
        [4.475, 4.073, 3.911, 3.881],
    ),
]
"""Of real runs: the rule after each evaluation, epochs between two, val losses, train losses."""


@pytest.mark.parametrize(("rules", "epochs", "val", "train"), RECORDED)
def test_recorded_runs_are_judged_alike_everywhere(
    rules: str, epochs: float, val: list[float], train: list[float]
) -> None:
    console, counts = PlainConsole(), []
    for n, rule in enumerate(rules.split(), 2):
        history = run(val[:n], train[: n - 1])
        found = advice(history, (n - 1) * epochs)
        assert found is not None and found.rule == rule
        assert any(found.sentence in line for line in console.lines(found))
        counts.append(evaluations_since_best(history))
    learns = [rule in ("learning", "gap") for rule in rules.split()]
    assert [count == 0 for count in counts] == learns  # --patience counts all others


@pytest.mark.parametrize(("rule", "val", "train"), CURVES)
def test_the_rule_that_holds(rule: str, val: list[float | None], train: list[float]) -> None:
    found = advice(run(val, train), epochs=3.0)
    assert found is not None and found.rule == rule
    assert found.iteration == 5 * (len(val) - 1) and found.sentence


def test_numbers_in_the_sentence() -> None:
    found = advice(run([3.6, 2.95, 3.1, 3.4], [3.3, 2.6, 2.0]), epochs=3.0)
    assert found is not None and "iteration 5 (2.95)" in found.sentence and "0.45" in found.sentence
    slope = advice(run([4.6, 4.2, 4.0], [4.4, 4.1]), epochs=3.0)
    assert slope is not None and "0.04" in slope.sentence


def test_nothing_is_said_before_two_evaluations() -> None:
    assert advice(History(), 0.0) is None and advice(run([4.6], []), 0.0) is None


def test_patience_counts_evaluations_without_a_real_gain() -> None:
    assert evaluations_since_best(run([4.6, 4.2, 4.0], [4.4, 4.1])) == 0
    assert evaluations_since_best(run([4.6, 4.2, 4.199, 4.3, None], [4.0] * 4)) == 3
    assert evaluations_since_best(History()) == 0


def test_a_run_logs_advice_and_copies_and_stops_by_patience(
    tmp_path: Path, text_file: Path
) -> None:
    run_dir = tmp_path / "run"
    config = tiny_config(text_file, run_dir, max_iters=40, eval_interval=2, learning_rate=1e-7)
    finetune(replace(config, patience=2, max_new_tokens=6))
    history, problems = load(run_dir)
    assert not problems and history.end is not None and history.end.status == "finished"
    assert sorted(history.evals) == [0, 2, 4]  # nothing got better after the first
    assert "--patience 2" in history.end.reason
    assert history.advice is not None and history.advice == advice_of(history)
    assert all(sample.copies is not None for sample in history.samples)


def test_max_minutes_ends_the_run_as_finished(tmp_path: Path, text_file: Path) -> None:
    config = tiny_config(text_file, tmp_path / "run", max_iters=10_000, eval_interval=10_000)
    finetune(replace(config, max_minutes=0.01, max_new_tokens=0))
    history, _ = load(tmp_path / "run")
    assert history.end is not None and history.end.status == "finished"
    assert 0 < history.iteration < 10_000 and "--max-minutes 0.01" in history.end.reason
    assert max(history.evals) == history.iteration  # the last weights are measured


def advice_of(history: History) -> object:
    """The advice that the log's own evaluations give, at the time of the record."""
    assert history.run is not None and history.advice is not None
    found = advice(history, epochs(history.run, history.advice.iteration) or math.inf)
    assert found is not None and history.advice is not None
    return msgspec.structs.replace(found, time=history.advice.time)
