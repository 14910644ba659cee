"""Numbers and sentences from an `inspection` record. Imports no torch: console, UI, figures and
claims read the same record.

What they do not show: attention says where a head read, not why a token was chosen; and the guess
after an early block is read with a head that was trained for the last one, so it is noisy in small
models.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from shakegpt.runlog.schema import AttentionMap, Inspection, Rung


def decided_at(ladder: tuple[Rung, ...]) -> int:
    """The first rung from which on the final guess stays the likeliest: 0 before the first block,
    then the number of the block.
    """
    final = ladder[-1].top[0][0]
    leading = len(ladder) - 1
    while leading > 0 and ladder[leading - 1].top[0][0] == final:
        leading -= 1
    return leading


def mean_decision(record: Inspection) -> float:
    """`decided_at`, the mean over the drawn tokens."""
    return fmean(decided_at(ladder) for ladder in record.ladder)


def block_attention(record: Inspection, block: int) -> list[list[float]]:
    """Attention of a block, mean over its recorded heads (the mean map where there is one): a row
    for each drawn token, shares of 1 for each token of the context up to it.
    """
    maps = [one for one in record.attention if one.block == block]
    means = [one for one in maps if one.head is None] or maps
    return [
        [fmean(column) / 1000 for column in zip(*rows, strict=True)]
        for rows in zip(*(one.rows for one in means), strict=True)
    ]


def share_of_last(record: Inspection, block: int, tokens: int = 5) -> float:
    """Share of a block's attention that goes to the last `tokens` tokens, mean over the drawn."""
    return fmean(sum(row[-tokens:]) for row in block_attention(record, block))


def sharpest(record: Inspection) -> Iterator[tuple[int, AttentionMap]]:
    """For each drawn token, the map of the head that pays most to a single token other than the
    first of the context, where heads with nothing to say rest.
    """
    heads = [one for one in record.attention if one.head is not None]
    for position in range(len(record.drawn)):
        yield position, max(heads, key=lambda one: max(one.rows[position][1:], default=0))


def looked_at(record: Inspection, position: int, count: int = 3) -> list[tuple[str, float]]:
    """The tokens of the context that a drawn token's prediction looked at most, (text, share of 1),
    mean over the recorded heads of all blocks.
    """
    blocks = sorted({one.block for one in record.attention})
    rows = [block_attention(record, block)[position] for block in blocks]
    means = [fmean(column) for column in zip(*rows, strict=True)]
    best = sorted(range(len(means)), key=lambda i: -means[i])[:count]
    return [(record.context[i][1], means[i]) for i in best]
