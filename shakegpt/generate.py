"""Sampling: predict, sample, append, repeat. Yields tokens with the candidates they won against."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from shakegpt import events
from shakegpt.errors import ShakegptError
from shakegpt.events import Candidate, Settings
from shakegpt.model import GPT, KVCache
from shakegpt.tokenizer import Decoder, Tokenizer

CANDIDATES = 5
"""How many of the likeliest tokens are told with each drawn one."""
COLDEST = 1e-30
"""Temperatures below it draw as it does: the likeliest token."""
SLIDE_TO = 3 / 4
"""Share of the window that is kept when it is full: GPT-2's positions are learned, so a text longer
than the window goes on from its last tokens, computed again."""


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
    window = Window(model, tokenizer.n_vocab)
    # region generate
    for _ in range(settings.max_new_tokens):
        logits = window.predict(context)  # score every token that could come next
        token = sample(logits, settings, tokenizer, random, window.slid)  # draw one of them
        yield token
        context = [*context, token.id]  # append it, and again
        if token.id == tokenizer.eot:
            break
    # endregion generate


class Window:
    """The model's view of a growing text: computes only what is new, slides when it is full."""

    def __init__(self, model: GPT, n_vocab: int) -> None:
        """`n_vocab` may be less than the model's own: some checkpoints pad their embedding."""
        self._model, self._size, self._n_vocab = model, model.config.block_size, n_vocab
        self._cache: KVCache = model.new_cache()
        self._seen = 0
        self.slid = False

    def predict(self, context: list[int]) -> Tensor:
        """Logits (n_vocab,), float32 on the CPU, of the token that comes after `context`."""
        new = context[self._seen :]
        self.slid = self._cache.length + len(new) > self._size
        if self.slid:
            self._cache.length = 0
            new = context[-max(1, int(self._size * SLIDE_TO)) :]
        self._seen = len(context)
        idx = torch.tensor([new], device=self._model.wte.weight.device)
        logits: Tensor = self._model(idx, cache=self._cache)
        return logits[0, -1, : self._n_vocab].float().cpu()


def sample(
    logits: Tensor,
    settings: Settings,
    tokenizer: Tokenizer,
    random: torch.Generator,
    slid: bool = False,
) -> Draw:
    """Draw from logits (V,): temperature, then the k likeliest, then those that make up p."""
    raw = torch.softmax(logits, 0)
    if not raw.isfinite().all():
        raise ShakegptError(
            "the model's scores are not finite numbers: its weights are damaged or it was trained "
            "at too high a --learning-rate; take another checkpoint",
            exit_code=1,
        )
    probabilities, ids = _choices(logits, settings)
    place = int(torch.multinomial(probabilities, 1, generator=random))
    chosen = int(ids[place])
    used = dict(zip(ids.tolist(), probabilities.tolist(), strict=True)) if len(ids) < 1000 else None
    best = raw.topk(min(CANDIDATES, len(raw)))
    return Draw(
        id=chosen,
        probability=round(float(probabilities[place]), 6),
        raw=round(float(raw[chosen]), 6),
        rank=int((logits > logits[chosen]).sum()) + 1,
        candidates=tuple(
            Candidate(
                id=id,
                text=tokenizer.decode([id]),
                probability=round(_of(id, used, ids, probabilities), 6),
                raw=round(p, 6),
            )
            for p, id in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ),
        slid=slid,
    )


def _choices(logits: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Probabilities that sum to 1, and the ids they belong to, the likeliest first when cut."""
    if settings.temperature == 0:
        return torch.ones(1), logits.argmax().view(1)
    k = min(settings.top_k or len(logits), len(logits))
    # at most 0, and over no smaller a temperature than float32 knows: always numbers
    scaled = (logits - logits.max()) / max(settings.temperature, COLDEST)
    if settings.top_p is None and k == len(logits):
        return torch.softmax(scaled, 0), torch.arange(k)
    values, ids = scaled.topk(k)
    probabilities = torch.softmax(values, 0)
    if settings.top_p is not None:
        before = probabilities.cumsum(0) - probabilities
        keep = max(1, int((before < settings.top_p).sum()))
        probabilities, ids = probabilities[:keep] / probabilities[:keep].sum(), ids[:keep]
    return probabilities, ids


def _of(id: int, used: dict[int, float] | None, ids: Tensor, probabilities: Tensor) -> float:
    if used is not None:
        return used.get(id, 0.0)
    return float(probabilities[ids == id].sum())


def recorded(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    settings: Settings,
    iteration: int = 0,
    sample: int = 0,
    asked: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Iterator[events.Sample | events.Token | events.SampleEnd]:
    """A sample as the records of a run log: its beginning, each token, its end.

    `check` is called between tokens; what it raises comes through after the end of what there is.
    """
    ids = tokenizer.encode(prompt)
    tokens = tuple((id, tokenizer.decode([id])) for id in ids)
    key = {"iteration": iteration, "sample": sample}
    yield events.Sample(**key, prompt=prompt, prompt_tokens=tokens, settings=settings, asked=asked)
    started, text, count, decoder = time.monotonic(), "", 0, Decoder(tokenizer)

    def end(complete: bool) -> events.SampleEnd:
        seconds, whole = time.monotonic() - started, text + decoder.flush()
        return events.SampleEnd(**key, text=whole, tokens=count, seconds=seconds, complete=complete)

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


def _token(draw: Draw, text: str, index: int, key: dict[str, int]) -> events.Token:
    return events.Token(
        **key,
        index=index,
        id=draw.id,
        text=text,
        probability=draw.probability,
        raw=draw.raw,
        rank=draw.rank,
        candidates=draw.candidates,
    )
