"""The sentences of inside.svg, from the `inspection` record of a sample. No matplotlib."""

from __future__ import annotations

from shakegpt.errors import ShakegptError
from shakegpt.format import probability
from shakegpt.inspection.measures import decided_at, looked_at, mean_decision
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import featured_sample
from shakegpt.runlog.schema import Inspection
from shakegpt_figures.words import visible, when_done

LIMITS = (
    "Attention says where heads read, not why. Early guesses are read with the head of the last "
    "block: noisy in a small model."
)
"""What the figure does not show."""


def inspected(history: History) -> SampleView | None:
    """The sample whose inspection is shown: the deck's own, else the last one that was inspected;
    None when the log has no such record.
    """
    shown = featured_sample(history)
    every = [*history.samples, *([shown] if shown is not None else [])]
    return next((s for s in reversed(every) if s.inspection and s.inspection.guesses), None)


def record_of(history: History) -> Inspection:
    """The record of `inspected`. Raises ShakegptError when the log has none."""
    sample = inspected(history)
    if sample is None or sample.inspection is None:
        raise ShakegptError(
            "inside.svg needs an `inspection` record, and this log has none: it is written with "
            "the first and the last evaluation of a run that samples; for a saved model, use "
            "`shakegpt inspect`"
        )
    return sample.inspection


def title(record: Inspection) -> str:
    """From which block on the final guess leads."""
    last = len(record.guesses[0]) - 1
    return f"On average the final guess leads from block {mean_decision(record):.1f} of {last} on"


def alt(history: History) -> str:
    """The figure in words; "" when the log has no record."""
    return record_alt(record_of(history)) if inspected(history) is not None else ""


def record_alt(record: Inspection) -> str:
    """A record's figure in words."""
    parts = [f"When did it decide? {title(record)}, {when_done(record.iteration)}."]
    for place, ((_, text), guesses) in enumerate(zip(record.drawn, record.guesses, strict=True)):
        final = record.texts[guesses[-1].top[0][0]]
        looked = looked_at(record, place, 1) if record.attention else []
        said = f"For {visible(text)} the final guess {visible(final)} leads from "
        said += f"block {decided_at(guesses)} on" if decided_at(guesses) else "the start"
        said += "".join(f", it looked most at {visible(word)}" for word, _ in looked)
        if record.initial is not None and record.iteration:
            before, now = (probability(p) for p in (record.initial[place], guesses[-1].probability))
            said += f", training took it from {before} to {now}"
        parts.append(said + ".")
    return " ".join([*parts, LIMITS])
