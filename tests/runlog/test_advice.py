"""One sentence on a run: each rule on curves of its kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from shakegpt.runlog.advice import advice, evaluations_since_best
from shakegpt.runlog.history import History, load
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


@pytest.mark.parametrize(("rule", "val", "train"), CURVES)
def test_the_rule_that_holds(rule: str, val: list[float | None], train: list[float]) -> None:
    found = advice(run(val, train))
    assert found is not None and found.rule == rule
    assert found.iteration == 5 * (len(val) - 1) and found.sentence


def test_numbers_in_the_sentence() -> None:
    found = advice(run([3.6, 2.95, 3.1, 3.4], [3.3, 2.6, 2.0]))
    assert found is not None and "iteration 5 (2.95)" in found.sentence and "0.45" in found.sentence
    slope = advice(run([4.6, 4.2, 4.0], [4.4, 4.1]))
    assert slope is not None and "0.04" in slope.sentence


def test_nothing_is_said_before_two_evaluations() -> None:
    assert advice(History()) is None and advice(run([4.6], [])) is None


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
    assert history.advice is not None and history.advice == advice_of(history)
    assert all(sample.copies is not None for sample in history.samples)


def test_max_minutes_ends_the_run_as_finished(tmp_path: Path, text_file: Path) -> None:
    config = tiny_config(text_file, tmp_path / "run", max_iters=10_000, eval_interval=10_000)
    finetune(replace(config, max_minutes=0.01, max_new_tokens=0))
    history, _ = load(tmp_path / "run")
    assert history.end is not None and history.end.status == "finished"
    assert 0 < history.iteration < 10_000
    assert max(history.evals) == history.iteration  # the last weights are measured


def advice_of(history: History) -> object:
    """The advice that the log's own evaluations give, at the time of the record."""
    found = advice(history)
    assert found is not None and history.advice is not None
    return msgspec.structs.replace(found, time=history.advice.time)
