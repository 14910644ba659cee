"""A run as recorded in its log: the records folded into one object. No widgets, no drawing.

`History.add` takes events in the order of the log, live or from a finished file; a resumed run
overwrites its own tail. Console, terminal UI, figures and claims all read this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.log import LOG_NAME, Follower, Problem


@dataclass
class SampleView:
    """One sample: its start, its tokens so far, its end."""

    start: ev.Sample
    tokens: list[ev.Token] = field(default_factory=list)
    end: ev.SampleEnd | None = None
    copies: ev.Copies | None = None
    """Passages copied from the text; None in old logs and for very long texts."""
    inspection: ev.Inspection | None = None
    """The inside of the model, for the samples of the first and the last evaluation."""
    afterwards: bool = False
    """Whether a viewer drew it from the saved model, so that it is not in the log."""

    @property
    def text(self) -> str:
        """The text so far, without the prompt."""
        return "".join(token.text for token in self.tokens)

    @property
    def complete(self) -> bool:
        """Whether sampling reached its end."""
        return self.end is not None and self.end.complete


@dataclass
class History:
    """Everything in a log, keyed by iteration; `add` updates it."""

    run: ev.Run | None = None
    resumes: list[ev.Resume] = field(default_factory=list)
    progress: dict[tuple[int, int], ev.Progress] = field(default_factory=dict)
    """(iteration, micro_step) -> record, in the order of the run."""
    steps: dict[int, ev.Step] = field(default_factory=dict)
    evals: dict[int, ev.Eval] = field(default_factory=dict)
    samples: list[SampleView] = field(default_factory=list)
    checkpoints: list[ev.Checkpoint] = field(default_factory=list)
    commands: dict[str, ev.Command] = field(default_factory=dict)
    """id -> the latest record of that command."""
    warnings: list[ev.RunWarning] = field(default_factory=list)
    judgements: dict[int, ev.Advice] = field(default_factory=dict)
    """Advice by the iteration of the evaluation."""
    heartbeat: ev.Heartbeat | None = None
    end: ev.End | None = None
    """The last `end`, None again after a resume."""
    wall_seconds: float = 0.0
    """Summed over the processes that have ended."""
    last_time: float = 0.0
    """Time of the newest record, by the trainer's clock."""

    def add(self, event: ev.Event) -> None:
        """Add one record."""
        self.last_time = event.time  # not the largest: a clock may be set back
        match event:
            case ev.Progress():
                self.progress[event.iteration, event.micro_step] = event
            case ev.Token():
                if (sample := self._sample(event.sample)) is not None:
                    sample.tokens.append(event)
            case ev.Step():
                self.steps[event.iteration] = event
            case ev.Eval():
                self.evals[event.iteration] = event
            case ev.Sample():
                self.samples.append(SampleView(event))
            case ev.SampleEnd():
                if (sample := self._sample(event.sample)) is not None:
                    sample.end = event
            case ev.Inspection():
                if (sample := self._sample(event.sample)) is not None:
                    sample.inspection = event
            case ev.Copies():
                if (sample := self._sample(event.sample)) is not None:
                    sample.copies = event
            case ev.Advice():
                self.judgements[event.iteration] = event
            case ev.Checkpoint():
                self.checkpoints.append(event)
            case ev.Command():
                self.commands[event.id] = event
            case ev.Heartbeat():
                self.heartbeat = event
            case ev.RunWarning():
                self.warnings.append(event)
            case ev.Run():
                self.run = self.run or event
            case ev.Resume():
                self._rewind(event)
            case ev.End():
                self.end = event
                self.wall_seconds += event.wall_seconds

    def extend(self, records: Iterable[ev.Event]) -> History:
        """Add records; returns itself."""
        for record in records:
            self.add(record)
        return self

    def _sample(self, number: int) -> SampleView | None:
        for sample in reversed(self.samples):
            if sample.start.sample == number and not sample.afterwards:
                return sample
        return None

    def _rewind(self, resume: ev.Resume) -> None:
        at = resume.iteration
        self.resumes.append(resume)
        self.progress = {key: value for key, value in self.progress.items() if key[0] <= at}
        self.steps = {key: value for key, value in self.steps.items() if key <= at}
        self.evals = {key: value for key, value in self.evals.items() if key <= at}
        self.samples = [s for s in self.samples if s.start.iteration <= at and s.complete]
        self.checkpoints = [c for c in self.checkpoints if c.iteration <= at]
        self.judgements = {key: value for key, value in self.judgements.items() if key <= at}
        self.end = None

    @property
    def iteration(self) -> int:
        """Number of updates so far."""
        return max(self.steps, default=max(self.evals, default=0))

    @property
    def max_iters(self) -> int:
        """The current limit."""
        if self.heartbeat is not None:
            return self.heartbeat.max_iters
        limit = self.latest.config.get("max_iters") if self.latest is not None else None
        return limit if isinstance(limit, int) else 0

    @property
    def advice(self) -> ev.Advice | None:
        """The latest advice."""
        return self.judgements[max(self.judgements)] if self.judgements else None

    @property
    def first_eval(self) -> ev.Eval | None:
        """The earliest evaluation, normally that of the initial checkpoint."""
        return self.evals[min(self.evals)] if self.evals else None

    @property
    def best_eval(self) -> ev.Eval | None:
        """The evaluation with the lowest finite val loss."""
        finite = [
            e for e in self.evals.values() if e.val_loss is not None and math.isfinite(e.val_loss)
        ]
        return min(finite, key=lambda e: e.val_loss or math.inf, default=None)

    def has_evaluation(self, iteration: int, samples: bool) -> bool:
        """Whether the log has the evaluation of `iteration`, its saved model if it is the best, and
        with `samples` its sample.
        """
        if iteration not in self.evals:
            return False
        fixed = (
            s for s in self.samples if s.start.iteration == iteration and not s.start.requested
        )
        saved = (c for c in self.checkpoints if c.iteration == iteration and c.kind == "best")
        model = iteration == 0 or not self.evals[iteration].best or any(saved)
        return model and (not samples or any(s.complete for s in fixed))

    @property
    def latest(self) -> ev.Run | ev.Resume | None:
        """The latest resume, else the header."""
        return self.resumes[-1] if self.resumes else self.run


def load_started(run: Path) -> History:
    """The history of a run directory with a header. Raises ShakegptError for any other."""
    history, _ = load(run)
    if history.run is None:
        raise ShakegptError(f"{run} is no run: it has no {LOG_NAME} with a header")
    return history


LOSSES = (ev.Run, ev.Step, ev.Eval, ev.Resume, ev.End)
"""Kinds of records that the curves of a run need."""


def load(run: Path) -> tuple[History, list[Problem]]:
    """The history of a run directory, and the invalid lines of its log.

    Raises ShakegptError for a log that a newer version wrote.
    """
    follower = Follower(run / LOG_NAME)
    history = History().extend(follower.poll())
    return history, follower.problems


def header(run: Path) -> ev.Run | None:
    """The header of a run directory, with its latest settings; None without a run.

    Raises ShakegptError for a log that a newer version wrote.
    """
    if not (run / LOG_NAME).exists():
        return None
    past = History().extend(Follower(run / LOG_NAME, (ev.Run, ev.Resume)).poll())
    if past.run is None or past.latest is None:
        return None
    return msgspec.structs.replace(past.run, config=past.latest.config)


def losses(run: Path) -> History:
    """The history of a run directory with its `LOSSES` only; empty when it cannot be read."""
    with suppress(OSError, ShakegptError):
        return History().extend(Follower(run / LOG_NAME, LOSSES).poll())
    return History()
