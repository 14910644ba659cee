"""Saving while a run trains: states that a resume continues from, and the best model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from shakegpt.checkpoint import io as checkpoint
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.distributed.group import Team
from shakegpt.model import GPT
from shakegpt.runlog import schema
from shakegpt.train import state
from shakegpt.train.guarded_optimizer import GuardedOptimizer
from shakegpt.train.supervisor import Log, Supervisor

SAVE_SECONDS = 600.0
"""Most seconds between two saved states: a kill loses no more."""


class Saver:
    """Writes the states and the best model of a run directory, and logs them."""

    def __init__(
        self,
        run: Path,
        model: GPT,
        tokenizer: Tokenizer,
        optimizer: GuardedOptimizer,
        keep: int,
        log: Log,
        supervisor: Supervisor,
        team: Team,
    ) -> None:
        """`keep`: how many states stay on disk."""
        self._run, self._model, self._tokenizer = run, model, tokenizer
        self._optimizer, self._keep = optimizer, keep
        self._log, self._supervisor, self._team = log, supervisor, team
        self._saved_iteration, self._saved_at = 0, time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the last state is older than `SAVE_SECONDS`."""
        return time.monotonic() - self._saved_at > SAVE_SECONDS

    def load_state(self, path: Path) -> None:
        """Continue from the state at `path`: moments, iteration and loss scale."""
        position = state.load(path, self._optimizer.inner)
        self._supervisor.iteration = self._saved_iteration = position.iteration
        self._saved_at = time.monotonic()
        self._optimizer.restore(position.loss_scale)

    def save_state(self) -> None:
        """Write a state unless it is on disk already; may be called from any thread."""
        with self._supervisor.weights_lock:
            k = self._supervisor.iteration
            if k in (0, self._saved_iteration) or not self._team.participates:
                return  # iteration 0 is the initial checkpoint
            started, optimizer = time.monotonic(), self._optimizer
            position = state.Position(iteration=k, loss_scale=optimizer.loss_scale)
            content = (self._run / "state", self._model, optimizer.inner, position, self._keep)
            path = optimizer.inner.run_on_writer(lambda: state.save(*content))
            self._saved_iteration, self._saved_at = k, time.monotonic()
        if path is not None:
            self._log_saved(k, "last", path, state.size(path), started)

    def save_model(self) -> None:
        """Write model/, the best so far; not at iteration 0, where it is the initial checkpoint."""
        k, writer = self._supervisor.iteration, self._optimizer.inner
        if k == 0 or not self._team.participates:
            return
        started, path = time.monotonic(), self._run / "model"
        content = (self._model, path, self._tokenizer, writer.write)
        with self._supervisor.phase("saving"):
            size = writer.run_on_writer(lambda: checkpoint.save(*content))
        if size is not None:
            self._log_saved(k, "best", path, size, started)

    def _log_saved(
        self, k: int, kind: Literal["best", "last"], path: Path, size: int, started: float
    ) -> None:
        self._log.write(
            schema.Checkpoint(
                iteration=k,
                kind=kind,
                path=str(path.relative_to(self._run)),
                bytes=size,
                seconds=time.monotonic() - started,
            )
        )
