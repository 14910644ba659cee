"""Measures of an `inspection` record, for console, terminal UI, figures and claims. No torch.

Their limits: attention shows where a head read, not why a token was chosen; and the prediction
after an early block is made by a head that was trained for the last one, so it is noisy in small
models.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from shakegpt.runlog.schema import AttentionMap, BlockGuess, Inspection


def decided_at(guesses: tuple[BlockGuess, ...]) -> int:
    """The block after which the final prediction stays the likeliest; 0: before the first one."""
    final = guesses[-1].top[0][0]
    leading = len(guesses) - 1
    while leading > 0 and guesses[leading - 1].top[0][0] == final:
        leading -= 1
    return leading


def mean_decision(record: Inspection) -> float:
    """Mean of `decided_at` over the drawn tokens."""
    return fmean(decided_at(guesses) for guesses in record.guesses)


def block_attention(record: Inspection, block: int) -> list[list[float]]:
    """Attention of a block, from its mean map, else the mean over its heads: for each drawn token,
    shares of 1 for each token of the context up to it.
    """
    maps = [attention for attention in record.attention if attention.block == block]
    maps = [attention for attention in maps if attention.head is None] or maps
    return [
        [fmean(column) / 1000 for column in zip(*rows, strict=True)]
        for rows in zip(*(attention.rows for attention in maps), strict=True)
    ]


def share_of_last(record: Inspection, block: int, tokens: int = 5) -> float:
    """Share of a block's attention on the last `tokens` tokens, mean over the drawn tokens."""
    return fmean(sum(row[-tokens:]) for row in block_attention(record, block))


def sharpest(record: Inspection) -> Iterator[tuple[int, AttentionMap]]:
    """For each drawn token, its index and the map of the head with the most attention on a single
    token, except the first of the context, on which idle heads rest.
    """
    heads = [attention for attention in record.attention if attention.head is not None]
    for index in range(len(record.drawn)):
        yield index, max(heads, key=lambda head: max(head.rows[index][1:], default=0))


def looked_at(record: Inspection, position: int, count: int = 3) -> list[tuple[str, float]]:
    """The tokens of the context with the most attention in a drawn token's prediction: (text, share
    of 1), mean over the recorded heads of all blocks.
    """
    blocks = sorted({attention.block for attention in record.attention})
    rows = [block_attention(record, block)[position] for block in blocks]
    means = [fmean(column) for column in zip(*rows, strict=True)]
    best = sorted(range(len(means)), key=lambda i: -means[i])[:count]
    return [(record.context[i][1], means[i]) for i in best]
