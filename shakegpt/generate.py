"""Sampling: predict, sample, append, repeat."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from shakegpt.data.tokenizer import Decoder, Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from shakegpt.nn.fast_decode import SlidingWindow
from shakegpt.runlog import schema
from shakegpt.runlog.schema import Candidate, Settings

CANDIDATES = 5
"""Number of the likeliest tokens that are recorded with each sampled one."""
COLDEST = 1e-30
"""Lower temperatures are raised to this, since float32 cannot divide by less."""
NUCLEUS = 256
"""Tokens that top-p considers first; 16 times as many each time they are too few."""


@dataclass(frozen=True)
class Draw:
    """One sampled token: probabilities as in `schema.Candidate`, rank from 1 by the logits."""

    id: int
    probability: float
    raw: float
    rank: int
    candidates: tuple[Candidate, ...]
    slid: bool
    """Whether the window was full and moved before this token."""
    u: float | None = None
    """The random number that selected it."""


@torch.inference_mode()
def generate(
    model: GPT,
    tokenizer: Tokenizer,
    context: list[int],
    settings: Settings,
    repetition_penalty: float = 1.0,
) -> Iterator[Draw]:
    """Continue `context` token by token, until an end-of-text token at most.

    An empty context starts a new text. Random numbers are from a generator on the CPU with
    `settings.seed`; the global one is not used. Probabilities and ranks include the
    `repetition_penalty`. Raises ShakegptError for a model whose logits are not finite.
    """
    context = context or [tokenizer.eot or 0]
    random = torch.Generator().manual_seed(settings.seed)
    window = SlidingWindow(model, tokenizer.n_vocab)
    if repetition_penalty != 1:
        window = PenalizedWindow(model, tokenizer.n_vocab, repetition_penalty)
    # region generate
    for _ in range(settings.max_new_tokens):
        logits = window.predict(context)  # score every token that could come next
        token, probabilities, u = sample(logits, settings, random)  # draw one of them
        yield describe(token, probabilities, logits, tokenizer, window.slid, u)
        context = [*context, token]  # append it, and again
        if token == tokenizer.eot:
            break
    # endregion generate


class PenalizedWindow(SlidingWindow):
    """A window that lowers the logits of tokens in the context: positive ones are divided by the
    penalty, negative ones multiplied (Keskar et al. 2019, "CTRL", section 4.1).
    """

    def __init__(self, model: GPT, n_vocab: int, penalty: float) -> None:
        super().__init__(model, n_vocab)
        self._penalty = penalty

    def predict(self, context: list[int]) -> Tensor:
        """Logits (V,) of the next token, penalized."""
        logits = super().predict(context).clone()
        seen = torch.tensor(sorted(set(context)))
        values = logits[seen]
        logits[seen] = torch.where(values > 0, values / self._penalty, values * self._penalty)
        return logits


def sample(
    logits: Tensor, settings: Settings, random: torch.Generator
) -> tuple[int, Tensor, float]:
    """Draw a token from logits (V,). Returns its id, the probability of each token (V,), and the
    random number in [0, 1) that selected it, by the cumulative probabilities.

    Raises ShakegptError for logits that are not finite.
    """
    V, heat = len(logits), max(settings.temperature, COLDEST)
    largest = logits.topk(min(max(settings.top_k or 0, CANDIDATES), V))  # sorted
    require_finite(largest.values)

    values, ids = logits, torch.arange(V)
    if settings.temperature == 0:  # greedy
        ids = logits.argmax().view(1)
        values = logits[ids]
    elif settings.top_k is not None and 0 < settings.top_k < V:  # the k largest logits
        values, ids = largest.values[: settings.top_k], largest.indices[: settings.top_k]

    probabilities = torch.softmax((values - largest.values[0]) / heat, 0)

    if settings.top_p is not None:  # the fewest of the likeliest tokens that add up to p
        if len(ids) == V:  # else they are sorted already
            probabilities, ids = likeliest(probabilities, settings.top_p)
        before = probabilities.cumsum(0) - probabilities
        count = max(1, int((before < settings.top_p).sum()))
        probabilities, ids = probabilities[:count] / probabilities[:count].sum(), ids[:count]

    up_to = probabilities.cumsum(0, dtype=torch.float64)
    u = torch.rand(1, generator=random, dtype=torch.float64)
    drawn = min(int(torch.searchsorted(up_to, u * up_to[-1], right=True)), len(ids) - 1)
    return int(ids[drawn]), torch.zeros(V).scatter_(0, ids, probabilities), float(u)


def likeliest(probabilities: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The largest probabilities and their ids, sorted, with a sum of at least `p`; no full sort."""
    count = NUCLEUS
    while True:
        top = probabilities.topk(min(count, len(probabilities)))
        if count >= len(probabilities) or float(top.values.sum()) >= p:
            return top.values, top.indices
        count *= 16


def require_finite(largest: Tensor) -> None:
    """Raise ShakegptError unless the largest logits are finite; NaN counts as the largest."""
    if not math.isfinite(largest[0]):
        raise ShakegptError(
            "the model's logits are not finite: its weights are damaged, or it was trained at too "
            "high a --learning-rate; use another checkpoint",
            exit_code=1,
        )


def describe(
    token: int,
    probabilities: Tensor,
    logits: Tensor,
    tokenizer: Tokenizer,
    slid: bool = False,
    u: float | None = None,
) -> Draw:
    """A token drawn by `sample` from these logits, with its rank and the likeliest candidates.

    `raw` probabilities are those at temperature 1 without top-k and top-p.
    """
    raw = torch.softmax(logits, 0)
    candidates = logits.topk(min(CANDIDATES, len(logits))).indices
    columns = (candidates.tolist(), probabilities[candidates].tolist(), raw[candidates].tolist())
    return Draw(
        id=token,
        probability=round(float(probabilities[token]), 6),
        raw=round(float(raw[token]), 6),
        rank=int((logits > logits[token]).sum()) + 1,
        candidates=tuple(
            Candidate(
                id=id,
                text=tokenizer.decode([id]),
                probability=round(probability, 6),
                raw=round(raw_probability, 6),
            )
            for id, probability, raw_probability in zip(*columns, strict=True)
        ),
        slid=slid,
        u=None if u is None else round(u, 6),
    )


def recorded(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    settings: Settings,
    iteration: int = 0,
    sample: int = 0,
    requested: bool = False,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[schema.Sample | schema.Token | schema.SampleEnd]:
    """A sample as the records of a run log: its start, each token, its end.

    `check` is called between tokens; its exceptions are raised after the end record of the partial
    sample. The seconds of the sample are those of `clock`.
    """
    ids = tokenizer.encode(prompt)
    tokens = tuple((id, tokenizer.decode([id])) for id in ids)
    key = {"iteration": iteration, "sample": sample}
    yield schema.Sample(
        **key, prompt=prompt, prompt_tokens=tokens, settings=settings, requested=requested
    )
    started, text, count, decoder = clock(), "", 0, Decoder(tokenizer)
    # whether the candidates are in descending order, which `Token.u` requires
    ordered = (
        settings.top_p is not None or (settings.top_k or tokenizer.n_vocab) < tokenizer.n_vocab
    )

    def end(complete: bool) -> schema.SampleEnd:
        seconds, whole = clock() - started, text + decoder.flush()
        return schema.SampleEnd(**key, text=whole, tokens=count, seconds=seconds, complete=complete)

    try:
        for draw in generate(model, tokenizer, ids, settings):
            check()
            added = decoder.add(draw.id)
            yield schema.Token(
                **key,
                index=count,
                id=draw.id,
                text=added,
                probability=draw.probability,
                raw=draw.raw,
                rank=draw.rank,
                candidates=draw.candidates,
                u=draw.u if ordered and settings.temperature > 0 else None,
            )
            text, count = text + added, count + 1
    except Exception:
        yield end(complete=False)
        raise
    yield end(complete=True)
