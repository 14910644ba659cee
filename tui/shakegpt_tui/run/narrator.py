"""The events of a run as plain sentences made from its numbers.

Every sentence is computed from the log alone, so that a replay and a test read the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from shakegpt import format
from shakegpt.data.speakers import invented, opening
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.schema import Eval, Run
from shakegpt.sanitize import one_line

MOST_EVENTS = 100
"""Evaluations, and samples, that get a sentence: the latest ones."""
NOTABLE = 1.5
"""Factor between the line lengths of two samples that is worth a sentence."""


@dataclass(frozen=True)
class Sentence:
    """One sentence, and the iteration that it belongs to."""

    iteration: int
    text: str


def narrate(history: History) -> list[Sentence]:
    """All sentences, in the order of the run."""
    if history.run is None:
        return []
    first = [Sentence(0, text) for text in (_opening(history.run), *history.run.dataset.notes)]
    rest = [*_of_evals(history), *_of_samples(history), *_of_judgements(history)]
    return first + sorted(rest, key=lambda sentence: sentence.iteration)  # stable


class Narrator:
    """Sentences that are made again only when the run has more to say."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._said: list[Sentence] = []

    def said(self, history: History) -> list[Sentence]:
        """As `narrate`."""
        last = history.samples[-1] if history.samples else None
        counts = (len(history.evals), len(history.samples), len(history.judgements))
        open_ended = last and (last.end is not None, last.copies is not None)
        key = (id(history), history.run is None, len(history.resumes), counts, open_ended)
        if key != self._key:
            self._key, self._said = key, narrate(history)
        return self._said


def _opening(run: Run) -> str:
    model, text = run.model, run.dataset
    return (
        f"{one_line(model.name, 40)}, {format.parameters(model.n_params)} parameters, reads "
        f"{one_line(text.name, 40)}: {text.train_tokens:,} tokens to learn from, "
        f"{text.val_tokens:,} held back to measure val loss on."
    )


def choices(loss: float | None) -> str:
    """A loss as the number of equally likely tokens that are as hard to choose from.

    >>> choices(4.598), choices(0.5), choices(30.0), choices(None)
    ('99', '1.6', '1.1e+13', '–')
    """
    if loss is None or not math.isfinite(loss):
        return format.NOTHING
    count = format.perplexity(loss)
    return f"{count:.1f}" if count < 9.95 else f"{count:,.0f}" if count < 1e9 else f"{count:.2g}"


def _of_evals(history: History) -> Iterator[Sentence]:
    iterations = sorted(history.evals)
    start = max(0, len(iterations) - MOST_EVENTS)
    below = start > 0
    for place, iteration in enumerate(iterations[start:], start):
        evaluation = history.evals[iteration]
        before = [history.evals[k] for k in iterations[:place]]
        yield Sentence(iteration, val_sentence(history, evaluation, before))
        train, loss = train_loss(history, evaluation), evaluation.val_loss
        if train is None or loss is None or not iteration:
            continue
        if train < loss and not below:
            yield Sentence(
                iteration,
                f"Train loss, {train:.2f}, is below val loss, {loss:.2f}: the model predicts the "
                "text it learns from better than text it has never seen.",
            )
        below = train < loss


def val_sentence(history: History, evaluation: Eval, before: list[Eval]) -> str:
    """What val loss says at an evaluation, compared with those `before` it."""
    loss = evaluation.val_loss
    if loss is None or not math.isfinite(loss):
        return "Val loss is not a finite number any more: training diverged."
    vocabulary = history.run.model.vocab_size if history.run else 0
    if vocabulary and format.perplexity(loss) > vocabulary:
        return f"Val loss {loss:.2f}: worse than picking blindly among its {vocabulary:,} tokens."
    losses = [e.val_loss for e in before if e.val_loss is not None]
    if not losses:
        start = " before training" if evaluation.iteration == 0 else ""
        return (
            f"Val loss {loss:.2f}{start}: as unsure as picking among {choices(loss)} equally "
            "likely tokens."
        )
    first, best = before[0].iteration, min(losses)
    if loss > best:
        best_at = next(e.iteration for e in before if e.val_loss == best)
        return (
            f"Val loss {loss:.2f}, {loss - best:.2g} above its best, {best:.2f} at iteration "
            f"{best_at}: as unsure as among {choices(loss)} tokens."
        )
    return (
        f"Val loss {loss:.2f}: as unsure as among {choices(loss)} tokens, "
        f"{choices(before[0].val_loss)} at iteration {first}."
    )


def train_loss(history: History, evaluation: Eval) -> float | None:
    """Train loss at an evaluation: measured there or, if not, the mean of the iterations since the
    evaluation before it.
    """
    if evaluation.train_loss is not None:
        return evaluation.train_loss
    last = evaluation.iteration
    first = max((k for k in history.evals if k < last), default=0) + 1
    steps = (history.steps.get(k) for k in range(max(first, last - 1000), last + 1))
    losses = [step.loss for step in steps if step is not None and step.loss is not None]
    return fmean(losses) if losses else None


def _of_samples(history: History) -> Iterator[Sentence]:
    complete = [view for view in history.samples if view.complete and not view.afterwards]
    for view in complete[-MOST_EVENTS:]:
        alike = (other for other in complete if other.start.prompt == view.start.prompt)
        first = next(alike, view)
        yield Sentence(view.start.iteration, sample_sentence(history, view, first))
        if copied := copies_sentence(view):
            yield Sentence(view.start.iteration, copied)


def sample_sentence(history: History, view: SampleView, first: SampleView) -> str:
    """What a sample looks like beside the `first` one with its prompt."""
    known = history.run.dataset.speakers if history.run else ()
    what = "Your sample" if view.start.requested else "The sample"
    then = first.start.iteration
    if known:
        lines, names, count = len(_lines(view)), speeches(view), len(speeches(first))
        verb = "name" if len(names) > 1 else "names"
        text = f"{what}: {len(names) or 'none'} of {lines} lines {verb} a speaker"
        text += f", {_known(names, known)}" if names else ""
        changed = first is not view and bool(names or count)
        return text + (f"; at iteration {then}, {count or 'none'} did." if changed else ".")
    length, before = _line_length(view), _line_length(first)
    if first is not view and max(length, before) > NOTABLE * min(length, before):
        return f"{what}: its lines have {length:.0f} characters, {before:.0f} at iteration {then}."
    words = view.text.split()
    different = len({word.casefold().strip(".,;:!?'\"") for word in words})
    return f"{what}: {len(words)} words, {different} of them different."


def _known(names: list[str], known: tuple[str, ...]) -> str:
    """How many of the speakers the text has."""
    distinct = list(dict.fromkeys(names))
    new = invented(distinct, known)
    if not new:
        return "from the text" if len(distinct) == 1 else "all from the text"
    if len(new) == len(distinct):
        return "an invented one" if len(distinct) == 1 else "all invented"
    return f"{len(new)} of {len(distinct)} invented"


def speeches(view: SampleView) -> list[str]:
    """The names that open a speech in a sample, one for each such line."""
    head = view.start.prompt.rpartition("\n")[2]
    lines = (head + view.text).split("\n")
    pairs = pairwise(lines if head else ["", *lines])  # a line of the prompt is not the model's
    openings = (opening(line, before) for before, line in pairs)
    return [one_line(match[0], 40) for match in openings if match is not None]


def _lines(view: SampleView) -> list[str]:
    return [line for line in view.text.split("\n") if line.strip()]


def _line_length(view: SampleView) -> float:
    """Median length of its lines, characters; at least 1."""
    return max(1.0, median([len(line) for line in _lines(view)] or [1]))


def copies_sentence(view: SampleView) -> str:
    """What it copied; "" where that is not known."""
    if view.copies is None:
        return ""
    if not view.copies.longest:
        return "No 4 words of it in a row stand in the training text."
    begin, end, words, _ = max(view.copies.passages, key=lambda passage: passage[2])
    text = one_line(view.text[begin:end], 60)
    return f"Copied from the training text, word for word: “{text}” ({words} words)."


def _of_judgements(history: History) -> Iterator[Sentence]:
    """Each judgement of `runlog.advice` that differs in its rule from the one before."""
    rule = ""
    for iteration in sorted(history.judgements):
        judgement = history.judgements[iteration]
        if judgement.rule != rule:
            text = one_line(judgement.sentence, 200)
            yield Sentence(iteration, f"{text[:1].upper()}{text[1:]}.")
        rule = judgement.rule


def outcome(history: History) -> str:
    """Where val loss came from and went to; "" before there are two evaluations."""
    first, best = history.first_eval, history.best_eval
    if first is None or best is None or first.val_loss is None or len(history.evals) < 2:
        return ""
    if best is first:
        last = history.evals[max(history.evals)]
        return f"val loss {first.val_loss:.2f} → {format.loss(last.val_loss, 2)}: nothing learned"
    return (
        f"val loss {first.val_loss:.2f} → {format.loss(best.val_loss, 2)}: "
        f"{choices(first.val_loss)} choices → {choices(best.val_loss)}"
    )
