"""What a run shows, as numbers with a definition; figures, deck and claims take them from here.

Losses are nats a token. A loss that was not finite is None in the log and is left out; a number
that the log does not support is None here, never a guess. Sums are exact (`math.fsum`): plain ones
differ in their last bit between Python 3.11 and 3.12, and the same log gives the same bytes.
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
    """How val loss moved from the first evaluation to the best and to the last."""

    start: Eval
    best: Eval
    last: Eval

    @property
    def percent(self) -> float:
        """How far the best lies below the start, percent of the start's loss; 0 when none is."""
        return 100 * (loss_of(self.start) - loss_of(self.best)) / loss_of(self.start)

    @property
    def improved(self) -> bool:
        """Whether any evaluation is better than the first."""
        return loss_of(self.best) < loss_of(self.start)


def bits_per_character(nats: float | None, tokens: int, characters: int | None) -> float | None:
    """A mean loss in nats a token over a text, in bits a character: it does not depend on the
    vocabulary, so models with different ones compare. None where a part of it is not known.
    """
    if nats is None or not math.isfinite(nats) or not characters:
        return None
    return nats * tokens / characters / math.log(2)


def total(values: Iterable[float]) -> float:
    """The exact sum, rounded once; infinite where it is over the largest float."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def loss_of(evaluation: Eval) -> float:
    """The val loss of an evaluation that is known to be finite."""
    assert evaluation.val_loss is not None
    return evaluation.val_loss


def fall(history: History) -> Fall | None:
    """Start, best and last of the finite evaluations; None when there is none."""
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
    """Of all the way that a curve goes up and down, the part that it goes up, from 0 to 1.

    0 for a curve that only falls, about 0.5 for pure noise: smoothness of val loss and noisiness of
    train loss on one scale. None with fewer than 3 losses or when nothing moves.
    """
    moves = [after - before for before, after in pairwise(losses)]
    way = total(abs(move) for move in moves)
    if len(moves) < 2 or not way:
        return None
    return total(move for move in moves if move > 0) / way


def epochs(run: Run, iterations: int) -> float | None:
    """How often `iterations` see each training token, on average; None without a text."""
    names = ("batch_size", "gradient_accumulation_steps", "block_size")
    sizes = [run.config.get(name) for name in names]
    sizes[2] = sizes[2] or run.model.block_size
    tokens = math.prod(size if isinstance(size, int) else 0 for size in sizes)
    return iterations * tokens / run.dataset.train_tokens if run.dataset.train_tokens else None


def largest_rise(losses: Sequence[float]) -> float | None:
    """The largest step up between neighbours, nats; 0 for a curve that never rises."""
    rises = [after - before for before, after in pairwise(losses)]
    return max(0.0, *rises) if rises else None


@dataclass(frozen=True)
class Parameters:
    """How many parameters each part of a GPT-2 has. A tied head is the token embedding again."""

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
    """The parts of a GPT-2 of this shape: every layer has its bias, every norm scale and shift."""
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


def shown_sample(history: History) -> SampleView | None:
    """The sample that figures, deck and claims show: the last that is complete, else the last one
    that has tokens; None when no token was recorded.
    """
    drawn = [sample for sample in history.samples if sample.tokens]
    complete = [s for s in drawn if s.end is not None and s.end.complete]
    return next(reversed(complete or drawn), None)


def wall_seconds(history: History) -> float:
    """Time the run has trained, loading and evaluations included; until now for a live one."""
    if history.end is not None or history.run is None:
        return history.wall_seconds
    began = history.resumes[-1].time if history.resumes else history.run.time
    return history.wall_seconds + max(0.0, history.last_time - began)
