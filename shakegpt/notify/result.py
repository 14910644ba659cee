"""The result of a run from its log: as environment variables, and as one sentence."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from shakegpt import format
from shakegpt.runlog import history
from shakegpt.runlog.status import RunState, planned
from shakegpt.sanitize import sentence

LONGEST = 400
"""Most characters of the reason and of the sentence."""


@dataclass(frozen=True)
class Result:
    """A run's state and losses. A loss is in nats per token, None if it was not measured."""

    run: Path
    state: RunState
    exit_code: int | None
    """Of the trainer; None while it is alive, and if it was killed."""
    reason: str
    iteration: int
    max_iters: int
    first: float | None
    """Val loss of the first evaluation."""
    best: float | None
    last: float | None

    @property
    def message(self) -> str:
        """One sentence."""
        text = f"{self.run.name} {self.state} at iteration {self.iteration:,} of {self.max_iters:,}"
        if self.first is not None and self.best is not None:
            text += f", val loss {format.loss(self.first)} -> {format.loss(self.best)}"
        if self.reason and self.state is not RunState.FINISHED:
            text += f": {self.reason}"
        return sentence(text, LONGEST)

    def environment(self) -> dict[str, str]:
        """`SHAKEGPT_*` variables; "" for None."""
        values = {
            "RUN": self.run.absolute(),
            "STATE": self.state,
            "EXIT_CODE": self.exit_code,
            "REASON": self.reason,
            "ITERATION": self.iteration,
            "MAX_ITERS": self.max_iters,
            "FIRST_VAL_LOSS": self.first,
            "BEST_VAL_LOSS": self.best,
            "VAL_LOSS": self.last,
            "MESSAGE": self.message,
        }
        return {f"SHAKEGPT_{k}": "" if v is None else _encodable(str(v)) for k, v in values.items()}


def _resuming(run: Path) -> str:
    return shlex.join(["shakegpt", "finetune", "--resume", str(run)])


def _encodable(value: str) -> str:
    """`value` with a question mark for each character that the environment's encoding lacks."""
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        return value.encode(encoding, "replace").decode(encoding)
    return value


def result(
    run: Path, state: RunState | None = None, exit_code: int | None = None, reason: str = ""
) -> Result:
    """The result of the run directory `run`; with None as `state`, that of the log's end record.

    `reason`: that of a trainer which leaves with `exit_code`, for a log that could not be written.
    """
    past = history.losses(run)
    if state is None:
        missing = RunState.CRASHED if exit_code is None else RunState.FAILED
        state = RunState(past.end.status) if past.end is not None else missing
    first, best = past.first_eval, past.best_eval
    last = past.evals[max(past.evals)] if past.evals else None
    reasons = {
        RunState.CRASHED: f"its process is gone; continue with {_resuming(run)}",
        RunState.STALLED: "no log output for some time; its process is still running",
    }
    reason = reasons.get(state, past.end.reason if past.end is not None else reason)
    return Result(
        run=run,
        state=state,
        exit_code=exit_code,
        reason=sentence(reason, LONGEST),
        iteration=past.iteration,
        max_iters=planned(past),
        first=None if first is None else first.val_loss,
        best=None if best is None else best.val_loss,
        last=None if last is None else last.val_loss,
    )
