"""The search over short runs: many learning rates briefly, the best of them longer.

Successive halving (Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization") over the learning rate, then over batch and length. Each short run is
complete: it warms up and decays within its own length, so its val loss is what a run of that
length ends with, and the lengths are points of the curve that the forecast extends. Imports no
torch: what it searches is any function of (tokens per step, rate, length in tokens).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

STEP = 2.0
"""Ratio of neighbouring learning rates."""
LENGTHS = (1, 2, 4)
"""Lengths of the short runs, in units of the first."""
HALF = 0.5
"""Length of the shortest run, in the same unit: another point of the curve, for the forecast."""
FALL, MOST = 0.25, 4.0
"""The best rate falls with the length to this power, and for a run much longer than the longest
short one by at most this factor. Of two lengths of one text the longer wants less (docs/advice.md),
so each length after the first tries the best rate of the one before and half of it."""
COST = 20.5
"""What all of it takes, with the larger batch, in units of the first length, at most about."""
LEAST_STEPS = 8
"""Optimizer steps of the shortest runs."""
LARGER = 4
"""A batch this many times larger is tried against the first one."""
OFTEN = 3.0
"""Epochs beyond which a run repeats its text often."""
RISE = 0.003
"""Nats above a shorter run from which a longer one counts as worse."""
LEAST_EPOCHS = 2.0
"""Where no turn was seen, a run is at most this many epochs or the longest short run, whichever is
more: what a text gives when it is seen again cannot be told from runs that saw it less often."""

Measure = Callable[[int, float, int], float]
"""The val loss after a run of (tokens per step, learning rate, length in tokens)."""


@dataclass(frozen=True)
class Short:
    """A short run: its settings, its length in tokens, and the val loss that it ended with."""

    step_tokens: int
    rate: float
    tokens: int
    loss: float
    """Nats per token; infinite where it diverged."""


class Search:
    """Short runs, each made once, within a budget of tokens."""

    def __init__(self, measure: Measure, step_tokens: int, target: int, budget: int) -> None:
        """For a final run of `target` tokens; lengths are multiples of `step_tokens`."""
        self._measure, self.step_tokens = measure, step_tokens
        self.target, self._budget = target, budget
        self.runs: list[Short] = []

    def try_run(self, rate: float, tokens: int, step_tokens: int | None = None) -> Short:
        """Make a run, unless it was made."""
        step = step_tokens or self.step_tokens
        for run in self.runs:
            if (run.step_tokens, run.rate, run.tokens) == (step, rate, tokens):
                return run
        loss = self._measure(step, rate, tokens)
        self.runs.append(Short(step, rate, tokens, loss if math.isfinite(loss) else math.inf))
        return self.runs[-1]

    def affords(self, tokens: int) -> bool:
        """Whether the budget has room for another run of this length."""
        return sum(run.tokens for run in self.runs) + tokens <= self._budget

    def leave_edge(self, tokens: int) -> None:
        """Try further rates, twice at most, while the best of this length is the last one tried."""
        for _ in range(2):
            rates = [run.rate for run in self.runs if run.step_tokens == self.step_tokens]
            best = self.at(tokens)[0].rate
            if best in (min(rates), max(rates)) and self.affords(tokens):
                self.try_run(best / STEP if best == min(rates) else best * STEP, tokens)

    def at(self, tokens: int) -> list[Short]:
        """The runs of one length with the first batch, best first."""
        runs = (r for r in self.runs if (r.tokens, r.step_tokens) == (tokens, self.step_tokens))
        return sorted(runs, key=lambda run: run.loss)

    @property
    def curve(self) -> list[Short]:
        """The best run of each length with the first batch, the shortest first."""
        return [self.at(n)[0] for n in sorted({r.tokens for r in self.runs}) if self.at(n)]

    @property
    def best(self) -> Short:
        """The best run with the first batch."""
        return min(self.curve, key=lambda run: run.loss)

    @property
    def turned(self) -> bool:
        """Whether the longest run was worse than a shorter one: it memorizes the text."""
        return self.curve[-1].loss > self.best.loss + RISE

    def length(self, target: int, epoch: int) -> tuple[int, str]:
        """Tokens of a run that the time lets have `target`, and why it is not longer: `turned`,
        `unseen` or `time`.

        `epoch`: tokens of the training text.
        """
        if self.turned:
            return self.best.tokens, "turned"
        seen = max(self.curve[-1].tokens, int(LEAST_EPOCHS * epoch))
        return (seen, "unseen") if target > seen else (target, "time")

    def slower(self, tokens: int) -> float:
        """The factor on a rate of the longest short run that suits a run of `tokens` tokens."""
        return max(1 / MOST, min(1.0, math.pow(self.curve[-1].tokens / tokens, FALL)))

    @property
    def larger(self) -> Short | None:
        """The run with the larger batch; None where none was made."""
        return next((r for r in self.runs if r.step_tokens != self.step_tokens), None)


def search(
    measure: Measure, rate: float, step_tokens: int, target: int, budget: int, epoch: int
) -> Search:
    """Search around `rate`, with `step_tokens` tokens a step, for a run of `target` tokens.

    `budget`: tokens that all short runs may train on, about. `epoch`: tokens of the training text.
    Where the target repeats the text often, the length matters most: the first runs are as short
    as can be and no larger batch is tried, which leaves more to the long ones.
    """
    result = Search(measure, step_tokens, target, budget)
    repeats = target > OFTEN * epoch
    steps = 0 if repeats else min(budget / COST, target / LENGTHS[-1]) / step_tokens
    unit = step_tokens * max(LEAST_STEPS, round(steps))
    rates = [rate / STEP**2, rate / STEP, rate, rate * STEP]
    for length in LENGTHS:
        for each in rates:
            result.try_run(each, length * unit)
        result.leave_edge(length * unit)
        best = result.at(length * unit)[0].rate
        rates = [best, best / STEP]
        if result.turned:
            break
    last = result.curve[-1]
    if not repeats and not result.turned and 2 * last.tokens >= LEAST_STEPS * LARGER * step_tokens:
        result.try_run(last.rate * LARGER**0.5, last.tokens, LARGER * step_tokens)
    while not result.turned and 2 * last.tokens <= target and result.affords(2 * last.tokens):
        result.try_run(last.rate, 2 * last.tokens)
        last = result.curve[-1]
    if result.turned:
        _bracket(result)
    else:
        result.try_run(result.curve[0].rate, step_tokens * round(HALF * unit / step_tokens))
    return result


def _bracket(result: Search) -> None:
    """Try lengths around the best one, and lower rates, which memorize later, while the budget
    lasts; the most promising first.
    """
    best, step = result.best, result.step_tokens
    for factor, rate in (
        (2**0.5, best.rate / STEP),
        (2**0.5, best.rate),
        (1.0, best.rate / STEP),
        (2**-0.5, best.rate),
    ):
        tokens = step * max(LEAST_STEPS, round(best.tokens * factor / step))
        if result.affords(tokens):
            result.try_run(rate, tokens)
