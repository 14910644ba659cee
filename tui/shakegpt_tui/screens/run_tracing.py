"""A token of a sample through the training of its run, which another process makes again."""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field
from typing import Any

from textual import on

from shakegpt.runlog.control import Likelihood, Passage
from shakegpt.runlog.history import SampleView
from shakegpt.runlog.schema import Command
from shakegpt_tui.screens.run_inspecting import Inspecting, drawn_from
from shakegpt_tui.screens.run_sampling import Sampling


@dataclass
class Trace:
    """What is known so far of one token: how likely it was after each iteration, and which windows
    of the text moved it.
    """

    likelihoods: list[Likelihood] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    problem: str = ""
    """Why it cannot be computed, in a sentence."""
    request: str = ""
    """The request that is being answered; "" when none is."""
    started: float = 0.0
    """By the monotonic clock."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to compute."""
        windows = self.passages[0].windows if self.passages else -1
        return windows == len(self.passages)

    @property
    def stamp(self) -> tuple[object, ...]:
        """Differs when there is something new to show."""
        return len(self.likelihoods), len(self.passages), self.problem, self.request


class Tracing(Inspecting):
    """Has the training of an ended run made again for one token at a time."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self._traces: dict[tuple[int, int], Trace] = {}
        """By sample (its `id`) and the index of the token."""

    def trace_of(self, view: SampleView, token: int) -> Trace:
        """What is known of a token of a sample."""
        return self._traces.get((id(view), token)) or Trace()

    @property
    def tracing(self) -> tuple[int, Trace] | None:
        """The index of the token that is computed now, and what is known of it."""
        return next(((key[1], t) for key, t in self._traces.items() if t.request), None)

    def why_untraceable(self) -> str:
        """Why the training of this run cannot be made again here, in a sentence; "" if it can."""
        if self.replay is not None:
            return "A replay computes nothing: open the run itself."
        if not self.live:
            return "This view is read-only; use shakegpt inspect RUN --why TOKEN."
        if self.facts().moving:
            return "Once the run has ended, it can be trained again to see each iteration."
        if not self.history.steps:
            return "The run has made no update."
        return ""

    def training_seconds(self) -> float:
        """How long the updates of this run took."""
        return sum(step.seconds for step in self.history.steps.values())

    def trace(self, view: SampleView, token: int) -> None:
        """Compute what is not known of a token yet, in place of another that is computed."""
        known = self.trace_of(view, token)
        if known.request or known.complete or self.why_untraceable():
            return
        self.stop_tracing()
        values = {**drawn_from(view, token), "replay": str(self.run.absolute())}
        request = self.send(values)
        started = clock.monotonic()
        self._traces[id(view), token] = (
            Trace(problem=self.sampling_error)
            if request is None
            else Trace(request=request.id, started=started)
        )

    def stop_tracing(self) -> bool:
        """Stop what is computed of a token; whether there was anything. What is known stays."""
        if (now := self.tracing) is None:
            return False
        now[1].request = ""
        self.stop_drawing()
        return True

    @on(Sampling.Answered)
    def _traced(self, event: Sampling.Answered) -> None:
        if event.sampler is not self.sampler or (now := self.tracing) is None:
            return
        trace = now[1]
        for record in event.records:
            match record:
                case Likelihood() if record.request == trace.request:
                    trace.likelihoods.append(record)
                case Passage() if record.request == trace.request:
                    trace.passages.append(record)
                case Command() if record.id == trace.request:
                    trace.request = ""
                    trace.problem = record.message if record.status == "refused" else ""
        if not event.records:
            trace.request, trace.problem = "", event.sampler.failure()
