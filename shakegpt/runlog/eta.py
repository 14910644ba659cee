"""How far a run is and how much longer it takes, from the durations in its records.

The times of the records are not used: a pause, or the hours until a resume, change nothing.
Evaluations are counted where they are due, each with its sample and checkpoints.
"""

from __future__ import annotations

from itertools import islice
from statistics import median

from shakegpt.runlog.history import History

RECENT = 8
"""Iterations whose median predicts the next one: a slow one does not change it."""
NEVER = 1 << 31
"""An interval that no run reaches, for a header without one."""


def reached(history: History) -> int:
    """Updates made, those before a resume included."""
    return max(history.iteration, history.resumes[-1].iteration if history.resumes else 0)


def micro_step(history: History) -> tuple[int, int]:
    """(k, n): micro-step k of n in the current iteration; k is 0 between two, n before any."""
    if not history.progress:
        return 0, 0
    latest = history.progress[next(reversed(history.progress))]
    at_work = latest.iteration > reached(history)
    return latest.micro_step if at_work else 0, latest.micro_steps


def finished(history: History) -> float:
    """Iterations done, the current one by its micro-steps."""
    k, n = micro_step(history)
    return reached(history) + (k / n if n else 0.0)


def time_left(history: History) -> float | None:
    """Seconds of work to the end; None before the first iteration is done."""
    if not history.steps:
        return None
    recent = [step.seconds for step in islice(reversed(history.steps.values()), RECENT)]
    steps = max(0.0, history.max_iters - finished(history)) * median(recent)
    return steps + _visits_left(history) * _visit_seconds(history)


def _visits_left(history: History) -> int:
    """Evaluations still due: at each multiple of the interval and at the last iteration."""
    k, last, interval = reached(history), history.max_iters, _interval(history)
    whole = last // interval - k // interval
    now = k > 0 and (k % interval == 0 or k == last) and k not in history.evals
    return max(0, whole) + (last % interval != 0 and k < last) + now


def _interval(history: History) -> int:
    value = history.latest.config.get("eval_interval") if history.latest else None
    return value if isinstance(value, int) and value > 0 else NEVER


def _visit_seconds(history: History) -> float:
    """Seconds of an evaluation, its sample and its checkpoints: what the latest of each took."""
    evaluation = history.evals[max(history.evals)].seconds if history.evals else 0.0
    ends = (s.end for s in reversed(history.samples) if not s.start.requested and s.end)
    sample = next((end.seconds for end in ends), 0.0)
    saves = {c.kind: c.seconds for c in history.checkpoints[-2:]}
    return evaluation + sample + sum(saves.values())
