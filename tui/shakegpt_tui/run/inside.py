"""What an inspection says of one token, as texts for the pane "inside". No widgets.

Each part is a question; its last line is what the answer does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from textual.content import Content

from shakegpt.format import probability as percent
from shakegpt.inspection.measures import block_attention, decided_at, sharpest
from shakegpt.runlog.schema import Inspection
from shakegpt.sanitize import one_line, printable
from shakegpt_tui.plot.bars import bar

MEAN = "all blocks, mean of their heads"
NAME_WIDTH = 12


def views(record: Inspection, position: int) -> list[tuple[str, list[float]]]:
    """(name, share of attention for each token of the context) of what can be shown: the mean over
    all blocks, the sharpest head, then of each block its mean and its recorded heads.
    """
    blocks = sorted({one.block for one in record.attention})
    means = {block: block_attention(record, block)[position] for block in blocks}
    shown = [(MEAN, [fmean(column) for column in zip(*means.values(), strict=True)])]
    heads = [one for one in record.attention if one.head is not None]
    if heads:
        one = dict(sharpest(record))[position]
        name = f"block {one.block + 1}, head {(one.head or 0) + 1}: the sharpest here"
        shown.append((name, [weight / 1000 for weight in one.rows[position]]))
    for block in blocks:
        shown.append((f"block {block + 1}, mean of its heads", means[block]))
        shown += [
            (
                f"block {block + 1}, head {(one.head or 0) + 1}",
                [w / 1000 for w in one.rows[position]],
            )
            for one in heads
            if one.block == block
        ]
    return shown


def looked_at(record: Inspection, name: str, weights: Sequence[float]) -> Content:
    """The context, each token the brighter the more attention it got."""
    highest = max(weights, default=0.0) or 1.0
    pieces: list[Content | tuple[str, str]] = [(f"{name}\n", "$quiet")]
    for (_, text), weight in zip(record.context, weights, strict=False):
        pieces.append((printable(text), _shade(weight / highest)))
    most = sorted(zip(weights, record.context, strict=False), key=lambda pair: -pair[0])[:3]
    words = ", ".join(f"{_name(text)} {percent(weight)}" for weight, (_, text) in most)
    pieces.append((f"\nMost: {words}.", "bold"))
    rest = 1 - sum(weights)
    if rest > 0.01:
        pieces.append((f" {percent(rest)} went to tokens before these.", ""))
    pieces.append(("\nIt says where the model read, not why it chose the token.", "italic $quiet"))
    return Content.assemble(*pieces)


def _shade(share: float) -> str:
    """Apart without colour too: dim, plain, bold, reversed."""
    if share >= 0.6:
        return "bold reverse $primary"
    if share >= 0.3:
        return "bold $primary"
    return "$foreground" if share >= 0.1 else "dim $quiet"


def decided(record: Inspection, position: int, rows: int, width: int) -> Content:
    """The likeliest token after each of at most `rows` blocks, with its probability as a bar."""
    guesses, (drawn, text) = record.guesses[position], record.drawn[position]
    last = len(guesses) - 1
    count = max(2, min(rows, len(guesses)))
    blocks = sorted({round(k * last / (count - 1)) for k in range(count)})
    lines, roomy = [], width >= 64
    for k in blocks:
        id, share = guesses[k].top[0]
        name = "before any" if k == 0 else f"block {k}"
        style = "bold $primary" if id == drawn else ""
        guess = _name(record.texts.get(id, ""))
        lines.append(
            Content.assemble(
                (f"{name:<11}", "$quiet"),
                (f"{guess:<{NAME_WIDTH + 3}}", style),
                (bar(share, max(6, width - (60 if roomy else 34))), "$secondary"),
                f" {percent(share):>6}",
                (f"  {_name(text)} is number {guesses[k].rank:,}" if roomy else "", "$quiet"),
            )
        )
    final = guesses[-1].top[0][0]
    lead, at = _name(record.texts.get(final, "")), decided_at(guesses)
    when = f"from block {at} of {last} on" if at else "from the start"
    drawn_too = "" if final == drawn else f", but the draw took {_name(text)}"
    lines.append(Content.styled(f"{lead} leads {when}{drawn_too}.", "bold"))
    lines.append(
        Content.styled(
            "Early guesses are read with a head trained for the last block: noisy in small models.",
            "italic $quiet",
        )
    )
    return Content("\n").join(lines)


def changed(record: Inspection, position: int, width: int, bars: bool = True) -> Content:
    """The probability of the drawn token before training and now, as `bars` and in a sentence."""
    after = record.guesses[position][-1].probability
    name = _name(record.drawn[position][1])
    if record.initial is None:
        first = record.iteration == 0
        text = (
            "This is the model before training."
            if first
            else "The model before training is not available."
        )
        return Content.styled(text, "$quiet")
    before, room = record.initial[position], max(6, width - 30)
    rows = (("before", before, "$secondary"), ("after", after, "$primary"))
    lines = [
        Content.assemble((f"{label:<8}", "$quiet"), (bar(share, room), style), f" {percent(share)}")
        for label, share, style in rows
        if bars
    ]
    way = "likelier" if after > before else "less likely"
    times = max(after, before) / max(min(after, before), 1e-6)
    lines.append(Content.styled(f"Training made {name} {times:,.1f} times {way} here.", "bold"))
    return Content("\n").join(lines)


def _name(text: str) -> str:
    return one_line(text.replace("\n", "↵"), NAME_WIDTH - 2).join("“”")
