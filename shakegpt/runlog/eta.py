"""Progress of a run and its remaining time, from the durations in its records.

The times of the records are not used, so pauses and the hours until a resume do not count. An
evaluation counts with its sample and checkpoints.
"""

from __future__ import annotations

from itertools import islice
from statistics import median

from shakegpt.runlog.history import History

RECENT = 8
"""Latest iterations whose median duration predicts the next one."""
NEVER = 1 << 31
"""Evaluation interval of a log without one."""


def reached(history: History) -> int:
    """Number of updates, including those before a resume."""
    return max(history.iteration, history.resumes[-1].iteration if history.resumes else 0)


def micro_step(history: History) -> tuple[int, int]:
    """(k, n): micro-step k of n in the current iteration; k is 0 between iterations, n in none."""
    if not history.progress:
        return 0, 0
    latest = history.progress[next(reversed(history.progress))]
    current = latest.iteration > reached(history)
    return latest.micro_step if current else 0, latest.micro_steps


def finished(history: History) -> float:
    """Finished iterations, with the fraction of the current one."""
    k, n = micro_step(history)
    return reached(history) + (k / n if n else 0.0)


def time_left(history: History) -> float | None:
    """Remaining seconds; None before the first iteration is finished."""
    if not history.steps:
        return None
    recent = [step.seconds for step in islice(reversed(history.steps.values()), RECENT)]
    steps = max(0.0, history.max_iters - finished(history)) * median(recent)
    return steps + _remaining_evaluations(history) * _evaluation_seconds(history)


def _remaining_evaluations(history: History) -> int:
    """Evaluations still due: at each multiple of the interval and at the last iteration."""
    k, last = reached(history), history.max_iters
    value = history.latest.config.get("eval_interval") if history.latest else None
    interval = value if isinstance(value, int) and value > 0 else NEVER
    whole = last // interval - k // interval
    now = k > 0 and (k % interval == 0 or k == last) and k not in history.evals
    return max(0, whole) + (last % interval != 0 and k < last) + now


def _evaluation_seconds(history: History) -> float:
    """Seconds of the latest evaluation, its sample and its checkpoints."""
    evaluation = history.evals[max(history.evals)].seconds if history.evals else 0.0
    ends = (s.end for s in reversed(history.samples) if not s.start.requested and s.end)
    sample = next((end.seconds for end in ends), 0.0)
    saves = {c.kind: c.seconds for c in history.checkpoints[-2:]}
    return evaluation + sample + sum(saves.values())
