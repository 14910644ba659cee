"""Metrics of a run, each defined once, for figures, deck and claims.

Losses are nats per token. A loss that was not finite is None in the log and is left out; a number
that the log does not support is None here. Sums are exact (`math.fsum`): plain ones differ in their
last bit between Python 3.11 and 3.12, and the same log must give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.schema import Eval, Model, Run


@dataclass(frozen=True)
class Fall:
    """The change of val loss from the first evaluation to the best and to the last."""

    start: Eval
    best: Eval
    last: Eval

    @property
    def percent(self) -> float:
        """The fall from start to best in percent of the start; 0 if no evaluation is better."""
        return 100 * (loss_of(self.start) - loss_of(self.best)) / loss_of(self.start)

    @property
    def improved(self) -> bool:
        """Whether any evaluation is better than the first."""
        return loss_of(self.best) < loss_of(self.start)


def longest_copy(history: History) -> int | None:
    """Words of the longest passage of the training text in a sample after the first update, 0 for
    none; None without that record. The model before training has not seen the text.
    """
    trained = (s.copies for s in history.samples if s.start.iteration > 0)
    return max((copies.longest for copies in trained if copies is not None), default=None)


def bits_per_character(nats: float | None, tokens: int, characters: int | None) -> float | None:
    """A mean loss over a text, from nats per token to bits per character, which are comparable
    between vocabularies. None where one of the numbers is unknown.
    """
    if nats is None or not math.isfinite(nats) or not characters:
        return None
    return nats * tokens / characters / math.log(2)


def total(values: Iterable[float]) -> float:
    """The exact sum, rounded once; infinite on overflow."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def loss_of(evaluation: Eval) -> float:
    """The val loss of an evaluation with a finite one."""
    assert evaluation.val_loss is not None
    return evaluation.val_loss


def fall(history: History) -> Fall | None:
    """Start, best and last of the finite evaluations; None without any."""
    finite = finite_evals(history)
    if not finite:
        return None
    return Fall(finite[0], min(finite, key=loss_of), finite[-1])


def finite_evals(history: History) -> list[Eval]:
    """Evaluations whose val loss is a number above 0, by iteration."""
    evals = [history.evals[iteration] for iteration in sorted(history.evals)]
    return [e for e in evals if e.val_loss is not None and 0 < e.val_loss < math.inf]


def micro_losses(history: History) -> list[float]:
    """The finite train losses of all micro-batches, in the order of the run."""
    records = (history.progress[key] for key in sorted(history.progress))
    return [record.loss for record in records if record.loss is not None]


def noise(losses: Sequence[float]) -> float | None:
    """Spread of a micro-batch's loss around the trend, nats: the root mean square of the
    differences between neighbours, over the square root of 2.

    For independent draws around a slowly moving mean this is their standard deviation, and unlike
    the plain one it does not count the fall of the loss itself. None with fewer than 2 losses.
    """
    if len(losses) < 2:
        return None
    squares = [(after - before) * (after - before) for before, after in pairwise(losses)]
    return math.sqrt(total(squares) / len(squares) / 2)


def upward_share(losses: Sequence[float]) -> float | None:
    """The rises of a curve as a share of its total variation, from 0 to 1.

    0 for a curve that only falls, about 0.5 for pure noise: smoothness of val loss and noisiness of
    train loss on one scale. None with fewer than 3 losses or a constant curve.
    """
    moves = [after - before for before, after in pairwise(losses)]
    variation = total(abs(move) for move in moves)
    if len(moves) < 2 or not variation:
        return None
    return total(move for move in moves if move > 0) / variation


def epochs(run: Run, iterations: int) -> float | None:
    """How often `iterations` see each training token on average; None without a text."""
    names = ("batch_size", "gradient_accumulation_steps", "block_size")
    sizes = [run.config.get(name) for name in names]
    sizes[2] = sizes[2] or run.model.block_size
    tokens = math.prod(size if isinstance(size, int) else 0 for size in sizes)
    return iterations * tokens / run.dataset.train_tokens if run.dataset.train_tokens else None


def largest_rise(losses: Sequence[float]) -> float | None:
    """The largest rise between neighbours, nats; 0 for a curve that never rises."""
    rises = [after - before for before, after in pairwise(losses)]
    return max(0.0, *rises) if rises else None


@dataclass(frozen=True)
class Parameters:
    """Number of parameters of each part of a GPT-2; `head` is 0 for a tied one."""

    wte: int
    wpe: int
    ln_1: int
    c_attn: int
    attn_proj: int
    ln_2: int
    c_fc: int
    mlp_proj: int
    n_layer: int
    ln_f: int
    head: int

    @property
    def block(self) -> int:
        """One block."""
        attention = self.ln_1 + self.c_attn + self.attn_proj
        return attention + self.ln_2 + self.c_fc + self.mlp_proj

    @property
    def blocks(self) -> int:
        """All blocks together."""
        return self.n_layer * self.block

    @property
    def total(self) -> int:
        """The whole model."""
        return self.wte + self.wpe + self.blocks + self.ln_f + self.head


def parameters(model: Model) -> Parameters:
    """The parameters of a GPT-2 of this shape, biases included."""
    C = model.n_embd
    return Parameters(
        wte=model.vocab_size * C,
        wpe=model.block_size * C,
        ln_1=2 * C,
        c_attn=C * 3 * C + 3 * C,
        attn_proj=C * C + C,
        ln_2=2 * C,
        c_fc=C * 4 * C + 4 * C,
        mlp_proj=4 * C * C + C,
        n_layer=model.n_layer,
        ln_f=2 * C,
        head=0 if model.tied else model.vocab_size * C,
    )


def featured_sample(history: History) -> SampleView | None:
    """The sample for figures, deck and claims: the last complete one, else the last one with
    tokens; None when no token was recorded.
    """
    samples = [sample for sample in history.samples if sample.tokens]
    complete = [sample for sample in samples if sample.complete]
    return next(reversed(complete or samples), None)


def wall_seconds(history: History) -> float:
    """Seconds that the run has taken, loading and evaluations included; a live one so far."""
    if history.end is not None or history.run is None:
        return history.wall_seconds
    began = history.resumes[-1].time if history.resumes else history.run.time
    return history.wall_seconds + max(0.0, history.last_time - began)
