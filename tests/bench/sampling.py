"""Sampling: 200 tokens of 124M and of the pocket, beside the peers and beside the memory's speed.

Ours draws with all that a run records: candidates, ranks, probabilities. The greedy tokens are held
against those of transformers and llama.cpp before anything is timed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.data.dataset import Dataset, as_tensors
from shakegpt.data.sources import load_text
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.generate import generate
from shakegpt.model import GPT
from shakegpt.nn.fast_decode import store_by_output
from shakegpt.nn.quantize import Bits, losses, quantize
from shakegpt.runlog.schema import Settings
from tests.bench.llama import available, llama_samplings
from tests.bench.peers import load_nanogpt, nanogpt_model, our_model, transformers_model
from tests.bench.report import Row
from tests.bench.turns import OURS, Job, Seconds, faster, rate, table, turns

NEW_TOKENS = 200
LOSS_TOKENS = 2_048
BITS: tuple[Bits, ...] = ("bf16", "int8")
PROMPT = list(range(100, 108))
AIMS = {"float32": 0.95, "bf16": 0.95, "int8": 0.9}
"""Of llama.cpp's speed."""
READING = "reading weights"


class Numbers(Tokenizer):
    """Stands in for GPT-2's vocabulary, which may not be at hand: ids are shown as numbers."""

    def __init__(self, n_vocab: int) -> None:
        super().__init__(POCKET)
        self.n_vocab, self.eot = n_vocab, None  # no text ends early

    def decode(self, ids: Iterable[int]) -> str:
        """The ids themselves."""
        return " ".join(map(str, ids))


def bench_sampling(asked: argparse.Namespace) -> list[Row]:
    """124M with random weights, then the pocket; 200 tokens from a prompt of 8."""
    rows = []
    models: dict[str, Callable[[], GPT]] = {
        "124M": our_model,
        "the pocket": lambda: checkpoint.load(POCKET),
    }
    for name, make in models.items():
        model = make().eval()
        store_by_output(model)  # as `shakegpt sample` does
        jobs: dict[str, Job] = {OURS: our_sampling(model)}
        if asked.nanogpt is not None:
            jobs["nanoGPT"] = nanogpt_sampling(asked.nanogpt, model)
        jobs["transformers"] = transformers_sampling(model)
        for bits in BITS:
            jobs[f"{OURS} {bits}"] = our_sampling(narrowed(make().eval(), bits))
        with tempfile.TemporaryDirectory() as folder:
            if available():
                greedy = drawn(model, temperature=0.0)
                jobs |= llama_samplings(model, Path(folder), PROMPT, NEW_TOKENS, greedy)
            jobs[READING] = reading(model)
            seconds = turns(jobs, asked.rounds)
        table(f"sampling {NEW_TOKENS} tokens of {name}", seconds, NEW_TOKENS, "tokens/s")
        rows += _rows(name, seconds)
    return [*rows, _losses_of_fewer_bits()]


def _rows(name: str, seconds: Seconds) -> list[Row]:
    what = f"sampling {NEW_TOKENS} tokens of {name}, float32"
    rows = [Row(f"{what}: tokens/s", f"{rate(seconds, OURS, NEW_TOKENS):.0f}")]
    for peer, aim in (("nanoGPT", 4.0), ("transformers", 1.5)):
        if peer in seconds:
            ratio, told = faster(seconds, peer)
            rows.append(Row(f"{what}, beside {peer}", told, f"{aim:g} ×", ratio >= aim))
    fewer = (f"{bits} {rate(seconds, f'shakegpt {bits}', NEW_TOKENS):.0f}" for bits in BITS)
    rows.append(Row(f"the same with weights in fewer bits: tokens/s, {name}", ", ".join(fewer)))
    for bits, aim in AIMS.items():
        peer, ours = f"llama.cpp {bits}", OURS if bits == "float32" else f"{OURS} {bits}"
        if peer in seconds:
            ratio, told = faster(seconds, peer, ours)
            shares = f"{_share(seconds, ours, bits):.0%} and {_share(seconds, peer, bits):.0%}"
            figure = f"{told}; {shares} of the memory's speed"
            what = f"sampling {NEW_TOKENS} tokens of {name}, {bits}, beside llama.cpp"
            rows.append(Row(what, figure, f"{aim:g} ×", ratio >= aim))
    return rows


def _share(seconds: Seconds, name: str, bits: str) -> float:
    """Share of the speed of reading memory at which a job reads its weights: 4, 2 or 1 bytes."""
    narrower = {"float32": 1, "bf16": 2, "int8": 4}[bits]
    return faster(seconds, READING, name)[0] / narrower


def _losses_of_fewer_bits() -> Row:
    """What the fewer bits cost: the pocket's loss over the first held-out tokens of the plays."""
    text, whole = load_text(("plays",)), checkpoint.load(POCKET).eval()
    data = Dataset(text, checkpoint.vocabulary(POCKET), whole.config.block_size, 1)
    x, y = as_tensors(data.val, data.eval_windows(data.val, LOSS_TOKENS)[:8])
    exact = losses(whole, x, y)
    told = []
    for bits in BITS:
        off = losses(narrowed(checkpoint.load(POCKET).eval(), bits), x, y) - exact
        told.append(f"{bits} {off.mean():+.4f} ± {off.std() / off.numel() ** 0.5:.4f}")
    return Row(f"their loss, nats a token over {exact.numel():,} of the plays", ", ".join(told))


def narrowed(model: GPT, bits: Bits) -> GPT:
    """The same model with its weights in fewer bits."""
    quantize(model, bits)
    return model


NUMBERS = cache(Numbers)
"""Made once: reading a vocabulary takes as long as a token or two."""


def drawn(model: GPT, **how: Any) -> list[int]:
    """The ids of a sample by our loop, with the draw that a run records."""
    usual = {"max_new_tokens": NEW_TOKENS, "temperature": 0.8, "top_k": 200, "top_p": None}
    settings = Settings(**{**usual, "seed": 1, **how})
    return [d.id for d in generate(model, NUMBERS(model.config.vocab_size), PROMPT, settings)]


def our_sampling(model: GPT) -> Job:
    """Our sampling loop."""
    return lambda: drawn(model)


def nanogpt_sampling(checkout: Path, ours: GPT) -> Job:
    """NanoGPT's `generate`."""
    theirs: Any = nanogpt_model(load_nanogpt(checkout), ours.config).eval()
    idx = torch.tensor([PROMPT])
    return lambda: theirs.generate(idx, NEW_TOKENS, temperature=0.8, top_k=200)


def transformers_sampling(ours: GPT) -> Job:
    """`generate` with its cache, as a user would call it; the same greedy tokens, or no timing."""
    model = transformers_model(ours).eval()
    idx = torch.tensor([PROMPT])
    mask = torch.ones_like(idx)

    def run(**how: Any) -> list[int]:
        ids = model.generate(
            idx, attention_mask=mask, max_new_tokens=NEW_TOKENS, pad_token_id=0, **how
        )
        return list(ids[0, len(PROMPT) :].tolist())

    same = run(do_sample=False) == drawn(ours, temperature=0.0)
    assert same, "the greedy tokens are not those of transformers"
    return lambda: run(do_sample=True, top_k=200, temperature=0.8)


def reading(model: GPT) -> Job:
    """As many bytes as the weights that a token needs, read by all threads, 200 times."""
    needed = model.config.n_params - model.config.block_size * model.config.n_embd
    numbers = torch.ones(needed)

    def job() -> None:
        for _ in range(NEW_TOKENS):
            numbers.sum()

    return job
