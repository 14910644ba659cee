"""An `inspection` record as plain text, at most 80 columns wide. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from shakegpt.format import probability as percent
from shakegpt.inspection.measures import decided_at, looked_at, mean_decision
from shakegpt.runlog.schema import Inspection
from shakegpt.sanitize import printable

CELL = 9
"""Columns of one prediction."""
MOST_BLOCKS = 6
"""Blocks that fit beside each other; of a deep model, evenly spread ones."""


def report(record: Inspection, model: str) -> Iterator[str]:
    """Lines on the drawn tokens: when decided, attention, and what training changed."""
    last = len(record.guesses[0]) - 1
    blocks = sorted({round(k * last / (MOST_BLOCKS - 1)) for k in range(MOST_BLOCKS)})
    prompt = record.context[: len(record.context) - len(record.drawn) + 1]
    yield f"{model}, iteration {record.iteration}, after {visible(''.join(t for _, t in prompt))}"
    yield ""
    yield "When did it decide? The likeliest token after each block; * marks the drawn one."
    names = ("start" if k == 0 else f"block {k}" for k in blocks)
    yield f"{'drawn':<{CELL}} chance  " + "".join(f"{name:<{CELL + 1}}" for name in names).rstrip()
    for (id, text), guesses in zip(record.drawn, record.guesses, strict=True):
        cells = (
            f"{'*' if guesses[k].top[0][0] == id else ' '}"
            f"{clip(visible(record.texts[guesses[k].top[0][0]])):<{CELL}}"
            for k in blocks
        )
        chance = f"{clip(visible(text)):<{CELL}} {percent(guesses[-1].probability):>6} "
        yield (chance + "".join(cells)).rstrip()
    yield (
        f"The final guess leads from block {mean_decision(record):.1f} of {last} on, on average"
        f" (latest: block {max(map(decided_at, record.guesses))})."
    )
    yield ""
    yield "What did it look at? Mean attention of the recorded heads."
    for position, (_, text) in enumerate(record.drawn):
        parts = (
            f"{clip(visible(word))} {percent(share)}" for word, share in looked_at(record, position)
        )
        yield f"{clip(visible(text)):<{CELL}} " + ", ".join(parts)
    yield ""
    if record.initial is None:
        yield "What did training change? There is no model of iteration 0: inspect a run to see it."
    else:
        yield "What did training change? Probability of each drawn token before, and now."
        for (_, text), guesses, before in zip(
            record.drawn, record.guesses, record.initial, strict=True
        ):
            now = percent(guesses[-1].probability)
            yield f"{clip(visible(text)):<{CELL}} {percent(before):>7} -> {now}"
    yield ""
    yield "Attention says where a head read, not why a token was chosen. Early guesses are"
    yield "read with a head that was trained for the last block: noisy in small models."


def visible(text: str) -> str:
    """A token with visible blanks."""
    return printable(text.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣"))


def clip(text: str) -> str:
    """At most `CELL` - 1 characters."""
    return text if len(text) < CELL else text[: CELL - 2] + "…"
