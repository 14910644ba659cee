"""Inspections of a run's tokens: those of its log, and others from the weights that are saved."""

from __future__ import annotations

from typing import Any

from textual import on

from shakegpt.runlog.history import SampleView
from shakegpt.runlog.schema import Command, Inspection
from shakegpt_tui.processes.trainer import Trainer
from shakegpt_tui.run.feed import Feed
from shakegpt_tui.screens.run_sampling import Sampling, Weights

CHUNK = 16
"""Tokens that are inspected at once: as many as a record holds."""


class Inspecting(Sampling):
    """Finds or computes what happened inside the model when a token was predicted."""

    def __init__(self, feed: Feed, trainer: Trainer | None = None) -> None:
        super().__init__(feed, trainer)
        self.inspections: dict[tuple[int, int], Inspection] = {}
        """By sample (its `id`) and the index of the first token inspected."""
        self._inspecting: dict[str, tuple[int, int]] = {}
        """The same keys by request."""

    def inspection(self, view: SampleView, token: int) -> tuple[Inspection, int] | str:
        """A record and the place of the token in it, or in a sentence why there is none (yet)."""
        recorded = view.inspection
        if recorded is not None and token < len(recorded.drawn):
            return recorded, token
        first, record = self._computed(view, token)
        if record is not None:
            return record, token - first
        if self.sampling_error:
            return self.sampling_error
        return self._compute(view, first)

    def _computed(self, view: SampleView, token: int) -> tuple[int, Inspection | None]:
        """The first token and the record of the inspection that has `token`, or is to have it."""
        first = token - token % CHUNK
        record = self.inspections.get((id(view), first))
        moved = record is not None and token - first >= len(record.drawn)
        if moved:  # the model's window, over the tokens that are left
            first, record = token, self.inspections.get((id(view), token))
        return first, record

    def _compute(self, view: SampleView, first: int) -> str:
        """Request the inspection of the tokens from `first` on, once; the sentence to show."""
        key = id(view), first
        if any(self._inspecting.get(id) == key for id in self.waiting):
            return "looking inside …"
        now = self.facts()
        if not self.live or now.moving:
            return (
                "The log holds the first tokens of the first and the last sample. Others are "
                "computed once the run has ended."
            )
        iteration = view.start.iteration
        weights = self._weights_of(iteration)
        if weights is None:
            return (
                f"This sample is of iteration {iteration}, whose weights were not saved: look at "
                "the first or the last sample, or draw one with s."
            )
        before = self._weights("before")
        initial = before["model"] if before and iteration else None
        request = self.request({**drawn_from(view, first, CHUNK), "before": initial}, weights)
        if request is None:
            return self.sampling_error
        self._inspecting[request.id] = key
        return "looking inside …"

    def _weights_of(self, iteration: int) -> Weights | None:
        """Which of the saved weights are those of `iteration`."""
        kinds: tuple[Weights, ...] = ("best", "last_state", "before")
        for kind in kinds:
            weights = self._weights(kind)
            if weights is not None and weights.get("iteration", 0) == iteration:
                return kind
        return None

    @on(Sampling.Answered)
    def _inspected(self, event: Sampling.Answered) -> None:
        if event.sampler is not self.sampler:
            return
        asked = [id for id in self.waiting if id in self._inspecting]  # answered in their order
        for record in event.records:
            match record:
                case Inspection() if asked:
                    self.inspections[self._inspecting[asked[0]]] = record
                case Command() if record.id in asked:
                    asked.remove(record.id)


def drawn_from(view: SampleView, first: int, count: int = 1) -> dict[str, Any]:
    """The fields of a request that name `count` tokens of a sample from `first` on."""
    ids = tuple(token.id for token in view.tokens[: first + count])
    return {
        "context": tuple(id for id, _ in view.start.prompt_tokens),
        "drawn": ids,
        "skip": first,
    }
