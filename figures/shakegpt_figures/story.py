"""What a run's outcome was, and the deck's sentences that depend on it.

A sentence may hold placeholders such as {curves.first}: paths of run.json, which the slide fills in
and marks as measured. No text of a log enters a sentence except through one of them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import fall, finite_evals, loss_of

Outcome = Literal["learned", "overfitted", "diverged", "worse", "unchanged", "unmeasured"]

SEEN = 0.005
"""Nats by which two losses must differ for a slide, which has two decimals, to show it."""
OVERFIT = 0.2
"""Part of the fall that val loss must lose again after its best for the run to have overfitted."""
DIVERGED = 1.0
"""Nats above its start at which a run has diverged: e times as many equally likely tokens."""


def outcome(history: History) -> Outcome:
    """How val loss ended.

    diverged: a loss after the first evaluation is not finite, or the last one is `DIVERGED` above
    the start. overfitted: val loss fell, then rose by `OVERFIT` of the fall. worse: it only rose.
    """
    change = fall(history)
    if change is None:
        return "diverged" if history.evals else "unmeasured"
    start, best, last = loss_of(change.start), loss_of(change.best), loss_of(change.last)
    if first_not_finite(history) is not None or last - start > DIVERGED:
        return "diverged"
    if change.start is change.last:
        return "unmeasured"
    if start - best >= SEEN:
        back = last - best
        return "overfitted" if back >= max(4 * SEEN, OVERFIT * (start - best)) else "learned"
    return "unchanged" if abs(last - start) < SEEN else "worse"


def first_not_finite(history: History) -> int | None:
    """The first iteration whose val loss, or at the end of the run train loss, was no number."""
    lost = [i for i in sorted(history.evals) if history.evals[i] not in finite_evals(history)]
    if lost:
        return lost[0]
    last = max(history.steps, default=None)
    return last if last is not None and history.steps[last].loss is None else None


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """A point to take home: its claim, and why."""

    claim: str
    why: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The deck's sentences, as this run bears them out."""

    title: str
    subtitle: str
    took: str
    trained: str
    goals: tuple[str, ...]
    curves: tuple[str, ...]
    heading: str
    """Over the samples."""
    writing: str
    copied: str
    """How much of the sample stands in the training text; "" where the log does not say."""
    lessons: tuple[Lesson, ...]
    closing: str


_TITLE: dict[Outcome, str] = {
    "learned": "GPT-2 learns {dataset.short}",
    "overfitted": "GPT-2 learns {dataset.short}, then overfits",
    "diverged": "GPT-2 reads {dataset.short} and diverges",
    "worse": "GPT-2 reads {dataset.short} and gets worse",
    "unchanged": "GPT-2 reads {dataset.short} and stays as it was",
    "unmeasured": "GPT-2 reads {dataset.short}",
}


def story(
    kind: Outcome, *, pretrained: bool, facts: dict[str, Any], invented: bool, play: bool
) -> Story:
    """The sentences for an outcome.

    `facts` says what was measured: noise, rise (val loss ever rose), not_finite (an iteration),
    before (an earlier sample of the same prompt), copied (words of the longest copied passage),
    quick (few iterations).
    """
    return Story(
        title=_TITLE[kind],
        subtitle="What one readable codebase and {run.iterations_noun} can teach",
        took=_took(pretrained),
        trained="I trained it on {dataset.short} for {run.iterations_noun}",
        goals=(
            "Can it pick up the style of {dataset.short}?"
            if pretrained
            else "Can it learn to write from {dataset.short} alone?",
            "How few iterations does that take?",
            "Can I see it learn, and trust what I see?",
        ),
        curves=(_starts(pretrained), _ends(kind, facts), _noise(kind, facts), _val(kind, facts)),
        heading="The same prompt, before and after" if facts.get("before") else "What it wrote",
        writing=_writing(kind, pretrained, invented, play),
        copied=_copied(facts.get("copied")),
        lessons=(_lesson(kind, pretrained, facts), _second(kind, facts), *_ALWAYS),
        closing=_closing(kind, pretrained),
    )


def _took(pretrained: bool) -> str:
    if pretrained:
        model = "{model.name}{model.about}: {model.n_params} parameters"
        return f"I took {model}, already trained{{model.on}}"
    return "I built a GPT-2 of {model.n_params} parameters, all of them random numbers"


def _starts(pretrained: bool) -> str:
    start = (
        "Val loss starts at {curves.first}: as unsure as picking among {curves.first_perplexity}"
    )
    start += " equally likely tokens"
    return start + ("" if pretrained else "; the model has read nothing yet")


def _ends(kind: Outcome, facts: dict[str, Any]) -> str:
    best = (
        "After {curves.best_iteration_noun} it is {curves.best}, or {curves.best_perplexity} tokens"
    )
    if kind == "learned":
        return best + "{curves.bits_change}"
    if kind == "overfitted":
        return best + "; from there it rises to {curves.last}: overfitting"
    if kind == "diverged":
        if facts.get("not_finite") is not None:
            return "At iteration {curves.not_finite} the loss is no longer a number: diverged"
        return "After {curves.last_iteration_noun} it is {curves.last}: training diverged"
    if kind == "worse":
        return "After {curves.last_iteration_noun} it is {curves.last}: nothing was learned"
    if kind == "unchanged":
        return "After {curves.last_iteration_noun} it is still {curves.last}: nothing was learned"
    return "There is no second evaluation yet, so nothing can be said about learning"


def _noise(kind: Outcome, facts: dict[str, Any]) -> str:
    if kind == "diverged":
        return "From there on train loss says nothing about the model either"
    if facts.get("noise"):
        return "Train loss is noisy: one micro-batch is off by about {curves.noise}"
    return "Too few micro-batches to say how noisy train loss is"


def _val(kind: Outcome, facts: dict[str, Any]) -> str:
    if kind == "unmeasured":
        return "Val loss is measured on text that the model never trains on"
    if kind == "diverged":
        return "Only the evaluations before that point count"
    if facts.get("rise"):
        return (
            "Val loss, measured on the same text each time, rose by {curves.largest_rise} at most"
        )
    return "Val loss, measured on the same text each time, never rose"


def _writing(kind: Outcome, pretrained: bool, invented: bool, play: bool) -> str:
    if invented:
        speakers = "Not in the text: {sample.invented}, invented by the model."
        return speakers + (" It learned the form of a play." if kind == "learned" else "")
    if kind == "diverged":
        return "Written by a model that diverged."
    if kind in ("worse", "unchanged", "unmeasured"):
        return "No evaluation says that the model has learned anything yet."
    if play and pretrained:
        return "Every speaker shown here is one of the text’s own."
    return "Every token was drawn from the model’s probabilities, none picked by hand."


def _copied(words: int | None) -> str:
    if words is None:
        return ""
    if words == 0:
        return "The last sample has no four words in a row from the training text."
    return "The longest copy from the training text in the last sample is {sample.longest_copy}."


def _lesson(kind: Outcome, pretrained: bool, facts: dict[str, Any]) -> Lesson:
    if kind == "learned" and pretrained:
        return Lesson(
            claim="Finetuning is quick." if facts["quick"] else "Finetuning works.",
            why="{run.iterations_noun}, no second pretraining",
        )
    if kind == "learned":
        return Lesson(
            claim="Learning can be watched.", why="{run.iterations_noun}, from random numbers on"
        )
    if kind == "overfitted":
        return Lesson(
            claim="Stop in time.", why="The best model is that of iteration {curves.best_iteration}"
        )
    if kind == "diverged":
        return Lesson(
            claim="Training can diverge.",
            why="This run did, at a learning rate of {settings.learning_rate}",
        )
    if kind == "unmeasured":
        return Lesson(claim="Measure first.", why="Before the next evaluation nothing is known")
    return Lesson(claim="Not every run learns.", why="{run.iterations_noun} did not lower val loss")


def _second(kind: Outcome, facts: dict[str, Any]) -> Lesson:
    if kind == "learned" and facts.get("noise"):
        return Lesson(claim="Small batches work.", why="Each is noisy, their sum gives a direction")
    return Lesson(claim="Watch val loss.", why="Only text kept aside tells what was learned")


_ALWAYS = (
    Lesson(claim="The code is plain.", why="{code.model} lines and the chain rule"),
    Lesson(claim="Source first, papers second.", why="What runs leaves nothing out"),
)


def _closing(kind: Outcome, pretrained: bool) -> str:
    if kind == "learned" and pretrained:
        return "From checkpoint to {dataset.short} in {run.wall}, on {run.place}"
    return "This run took {run.wall}, on {run.place}"
