"""The `inspection` record of a sample: the guess after each block, attention, before and after."""

from __future__ import annotations

import torch
from msgspec.structs import replace
from torch import Tensor

from shakegpt.data.tokenizer import Tokenizer
from shakegpt.inspection.trace import lens, trace
from shakegpt.model import GPT
from shakegpt.runlog.schema import AttentionMap, BlockGuess, Inspection

POSITIONS = 16
"""Drawn tokens that are inspected, from the first on."""
CONTEXT = 64
"""Tokens at the end of the context whose attention is recorded."""
CANDIDATES = 3
"""Likeliest tokens that are recorded for each block."""
MOST_WEIGHTS = 50_000
"""Attention weights of a record with every head: about 4 bytes each, 200 kB."""
SHARPEST = 2
"""Heads of each block that are recorded where all of them are too many."""


@torch.inference_mode()
def inspect(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: list[int],
    drawn: list[int],
    *,
    iteration: int = 0,
    sample: int = 0,
    initial: GPT | None = None,
) -> Inspection | None:
    """Inspect how `model`, in eval mode, predicted the first token ids of `drawn` after `prompt`.

    `initial` is the model of iteration 0, for the probabilities before training. None when nothing
    was drawn, or the prompt leaves no room in the model's window.
    """
    n = min(POSITIONS, len(drawn), model.config.block_size + 1 - len(prompt))
    if n < 1 or not prompt:
        return None
    ids, drawn = [*prompt, *drawn[: n - 1]], drawn[:n]
    traced = trace(model, ids)
    guesses = _block_guesses(lens(model, traced.streams[:, -n:], tokenizer.n_vocab), drawn)
    begin = max(0, len(ids) - CONTEXT)
    recorded = {id for row in guesses for guess in row for id, _ in guess.top} | {*ids, *drawn}
    texts = {id: tokenizer.decode([id]) for id in sorted(recorded)}
    return Inspection(
        iteration=iteration,
        sample=sample,
        context=tuple((id, texts[id]) for id in ids[begin:]),
        drawn=tuple((id, texts[id]) for id in drawn),
        guesses=guesses,
        texts=texts,
        attention=_maps(traced.attention[:, :, -n:], begin),
        initial=(
            None if initial is None else _probabilities(initial, ids, drawn, tokenizer.n_vocab)
        ),
    )


@torch.inference_mode()
def add_initial(
    record: Inspection, initial: GPT, tokenizer: Tokenizer, prompt: list[int]
) -> Inspection:
    """`record`, made by `inspect` of `prompt`, with the probabilities under the model of iteration
    0: so that two large models need not be in memory at once.
    """
    drawn = [id for id, _ in record.drawn]
    ids = [*prompt, *drawn[:-1]]
    return replace(record, initial=_probabilities(initial, ids, drawn, tokenizer.n_vocab))


def _block_guesses(probabilities: Tensor, drawn: list[int]) -> tuple[tuple[BlockGuess, ...], ...]:
    """Guesses [drawn token][stream] from probabilities (L + 1, n, V)."""
    chosen = torch.tensor(drawn, device=probabilities.device).view(1, -1, 1)
    of_drawn = probabilities.gather(2, chosen.expand(len(probabilities), -1, 1))  # (L + 1, n, 1)
    ranks = (probabilities > of_drawn).sum(2) + 1  # (L + 1, n)
    top = probabilities.topk(min(CANDIDATES, probabilities.size(2)))
    return tuple(
        tuple(
            BlockGuess(
                rank=int(ranks[layer, position]),
                probability=round(float(of_drawn[layer, position]), 4),
                top=tuple(
                    (int(id), round(float(p), 4))
                    for id, p in zip(
                        top.indices[layer, position], top.values[layer, position], strict=True
                    )
                ),
            )
            for layer in range(len(probabilities))
        )
        for position in range(len(drawn))
    )


def _maps(attention: Tensor, begin: int) -> tuple[AttentionMap, ...]:
    """Maps from attention (L, nh, n, T), whose columns before `begin` are left out."""
    layers, heads, n, length = attention.shape
    thousandths = (1000 * attention[..., begin:]).round().int()

    def one(block: int, head: int | None, weights: Tensor) -> AttentionMap:
        ends = range(length - n + 1 - begin, length + 1 - begin)  # each row up to its own token
        rows = tuple(tuple(row[:end]) for row, end in zip(weights.tolist(), ends, strict=True))
        return AttentionMap(block=block, head=head, rows=rows)

    if layers * heads * n * (length - begin) <= MOST_WEIGHTS:
        return tuple(
            one(block, head, thousandths[block, head])
            for block in range(layers)
            for head in range(heads)
        )
    entropy = -(attention * attention.clamp_min(1e-12).log()).sum(3).mean(2)  # (L, nh)
    mean = (1000 * attention.mean(1)[..., begin:]).round().int()
    maps = []
    for block in range(layers):
        maps.append(one(block, None, mean[block]))
        sharpest = entropy[block].topk(min(SHARPEST, heads), largest=False).indices.tolist()
        maps += [one(block, head, thousandths[block, head]) for head in sharpest]
    return tuple(maps)


def _probabilities(model: GPT, ids: list[int], drawn: list[int], n_vocab: int) -> tuple[float, ...]:
    """Probability of each drawn token under `model`, in the same context."""
    probabilities = trace(model, ids).logits[-len(drawn) :, :n_vocab].softmax(-1)
    rows = torch.arange(len(drawn), device=probabilities.device)
    return tuple(round(p, 6) for p in probabilities[rows, drawn].tolist())
