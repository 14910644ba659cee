"""Sampling: predict, sample, append, repeat. Yields tokens with the candidates they won against."""

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
"""How many of the likeliest tokens are told with each drawn one."""
COLDEST = 1e-30
"""Temperatures below it draw as it does: the likeliest token."""
NUCLEUS = 256
"""Tokens that top-p looks through at first; 16 times as many each time they are too few."""


@dataclass(frozen=True)
class Draw:
    """One drawn token: probabilities as in `events.Candidate`, rank from 1 by the logits."""

    id: int
    probability: float
    raw: float
    rank: int
    candidates: tuple[Candidate, ...]
    slid: bool
    """Whether the window was full and slid before this token."""


@torch.inference_mode()
def generate(
    model: GPT, tokenizer: Tokenizer, context: list[int], settings: Settings
) -> Iterator[Draw]:
    """Draw tokens that go on where `context` ends; stops early at the end of a text.

    An empty context begins a new text. Random numbers come from a generator of their own on the
    CPU: nothing else in the process changes them, and they change nothing else.
    """
    context = context or [tokenizer.eot or 0]
    random = torch.Generator().manual_seed(settings.seed)
    window = SlidingWindow(model, tokenizer.n_vocab)
    # region generate
    for _ in range(settings.max_new_tokens):
        logits = window.predict(context)  # score every token that could come next
        token = sample(logits, settings, tokenizer, random, window.slid)  # draw one of them
        yield token
        context = [*context, token.id]  # append it, and again
        if token.id == tokenizer.eot:
            break
    # endregion generate


def sample(
    logits: Tensor,
    settings: Settings,
    tokenizer: Tokenizer,
    random: torch.Generator,
    slid: bool = False,
) -> Draw:
    """Draw from logits (V,): temperature, then the k likeliest, then those that make up p."""
    top = logits.topk(min(max(CANDIDATES, settings.top_k or 0), len(logits)))
    if not math.isfinite(top.values[0]):  # what is no number counts as the largest
        raise ShakegptError(
            "the model's scores are not finite numbers: its weights are damaged or it was trained "
            "at too high a --learning-rate; take another checkpoint",
            exit_code=1,
        )
    probabilities, ids = _choices(logits, top.values, top.indices, settings)
    place = _draw(probabilities, random)
    chosen = place if ids is None else int(ids[place])
    raw = torch.softmax(logits, 0)
    ahead = top.values if logits[chosen] >= top.values[-1] else logits
    return Draw(
        id=chosen,
        probability=round(float(probabilities[place]), 6),
        raw=round(float(raw[chosen]), 6),
        rank=int((ahead > logits[chosen]).sum()) + 1,
        candidates=_candidates(top.indices[:CANDIDATES], raw, probabilities, ids, tokenizer),
        slid=slid,
    )


def _candidates(
    best: Tensor, raw: Tensor, probabilities: Tensor, ids: Tensor | None, tokenizer: Tokenizer
) -> tuple[Candidate, ...]:
    """The likeliest tokens, best first, each with the probability that the draw gave it."""
    if ids is None:  # in the order of their ids
        used = dict(zip(best.tolist(), probabilities[best].tolist(), strict=True))
    else:  # the likeliest first, but equal ones in any order
        some = 4 * CANDIDATES
        used = dict(zip(ids[:some].tolist(), probabilities[:some].tolist(), strict=True))
    return tuple(
        Candidate(
            id=id,
            text=tokenizer.decode([id]),
            probability=round(used.get(id, 0.0), 6),
            raw=round(p, 6),
        )
        for id, p in zip(best.tolist(), raw[best].tolist(), strict=True)
    )


def _draw(probabilities: Tensor, random: torch.Generator) -> int:
    """Place of the one that a random point of their sum falls on."""
    up_to = probabilities.cumsum(0, dtype=torch.float64)
    point = torch.rand(1, generator=random, dtype=torch.float64) * up_to[-1]
    return min(int(torch.searchsorted(up_to, point, right=True)), len(up_to) - 1)


def _choices(
    logits: Tensor, values: Tensor, indices: Tensor, settings: Settings
) -> tuple[Tensor, Tensor | None]:
    """Probabilities that sum to 1 and their ids, the likeliest first; None: all of them in order.

    `values` and `indices` are the largest logits, at least top_k of them.
    """
    if settings.temperature == 0:
        return torch.ones(1), logits.argmax().view(1)
    # at most 0, and over no smaller a temperature than float32 knows: always numbers
    heat = max(settings.temperature, COLDEST)
    k = min(settings.top_k or len(logits), len(logits))
    if k < len(logits):
        probabilities, ids = torch.softmax((values[:k] - values[0]) / heat, 0), indices[:k]
    else:
        probabilities = torch.softmax((logits - values[0]) / heat, 0)
        if settings.top_p is None:
            return probabilities, None
        probabilities, ids = _likeliest(probabilities, settings.top_p)
    if settings.top_p is not None:
        before = probabilities.cumsum(0) - probabilities
        keep = max(1, int((before < settings.top_p).sum()))
        probabilities, ids = probabilities[:keep] / probabilities[:keep].sum(), ids[:keep]
    return probabilities, ids


def _likeliest(probabilities: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The largest probabilities and their places, enough of them to make up `p`: no full sort."""
    count = NUCLEUS
    while True:
        top = probabilities.topk(min(count, len(probabilities)))
        if count >= len(probabilities) or float(top.values.sum()) >= p:
            return top.values, top.indices
        count *= 16


def recorded(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    settings: Settings,
    iteration: int = 0,
    sample: int = 0,
    asked: bool = False,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[schema.Sample | schema.Token | schema.SampleEnd]:
    """A sample as the records of a run log: its beginning, each token, its end.

    `check` is called between tokens; what it raises comes through after the end of what there is.
    The sample's seconds are those of `clock`.
    """
    ids = tokenizer.encode(prompt)
    tokens = tuple((id, tokenizer.decode([id])) for id in ids)
    key = {"iteration": iteration, "sample": sample}
    yield schema.Sample(**key, prompt=prompt, prompt_tokens=tokens, settings=settings, asked=asked)
    started, text, count, decoder = clock(), "", 0, Decoder(tokenizer)

    def end(complete: bool) -> schema.SampleEnd:
        seconds, whole = clock() - started, text + decoder.flush()
        return schema.SampleEnd(**key, text=whole, tokens=count, seconds=seconds, complete=complete)

    try:
        for draw in generate(model, tokenizer, ids, settings):
            check()
            added = decoder.add(draw.id)
            text, count = text + added, count + 1
            yield _token(draw, added, count - 1, key)
    except Exception:
        yield end(complete=False)
        raise
    yield end(complete=True)


def _token(draw: Draw, text: str, index: int, key: dict[str, int]) -> schema.Token:
    return schema.Token(
        **key,
        index=index,
        id=draw.id,
        text=text,
        probability=draw.probability,
        raw=draw.raw,
        rank=draw.rank,
        candidates=draw.candidates,
    )
