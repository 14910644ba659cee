"""What the run screen says about a run at one moment, worked out from its history. No widgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from shakegpt import format
from shakegpt.runlog.eta import micro_step, reached, time_left
from shakegpt.runlog.history import History
from shakegpt.runlog.status import RunState, run_state
from shakegpt.sanitize import one_line

T = TypeVar("T")

WORKING = (RunState.TRAINING, RunState.PAUSED)
"""States in which there is a time left; a pause does not count as such."""


@dataclass(frozen=True)
class Facts:
    """One moment of a run. Losses in nats a token, times in seconds, memory in bytes."""

    state: RunState
    word: str
    """The state or, while it is live, what the trainer is busy with."""
    model: str
    dataset: str
    device: str
    iteration: int
    max_iters: int
    micro_step: int
    micro_steps: int
    eta: float | None
    tokens_per_second: float | None
    loss: float | None
    val_loss: float | None
    first_val: float | None
    best_val: float | None
    best_iteration: int | None
    learning_rate: float | None
    memory: int | None
    gpu_memory: int | None
    saved_iteration: int | None
    saved_age: float | None
    quiet: float
    """Seconds since the newest record."""
    took: float | None
    """Seconds of work, once it has ended."""

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1, the running iteration's part included."""
        if self.max_iters <= 0:
            return 0.0
        part = self.micro_step / self.micro_steps if self.micro_steps else 0.0
        return min(1.0, (self.iteration + part) / self.max_iters)

    @property
    def moving(self) -> bool:
        """Whether a trainer may still be at work."""
        return self.state.unfinished


def facts(history: History, now: float, *, exited: bool = False, launching: bool = False) -> Facts:
    """The facts of `history` at `now` (seconds since 1970).

    `exited`: the trainer's process is known to be gone, so that a log without an end is a crash
    at once instead of after `status.STALE_AFTER`. `launching`: a trainer was started that has not
    written yet, whatever the log of its predecessor says.
    """
    if launching:
        state = RunState.CRASHED if exited else RunState.STARTING
    else:
        state = run_state(history, now, alive=False if exited else None)
    run, step = history.run, _latest(history.steps)
    evaluation, best, first = _latest(history.evals), history.best_eval, history.first_eval
    at_work, of = micro_step(history) if state.unfinished else (0, 0)
    saved = history.checkpoints[-1] if history.checkpoints else None
    beat = history.heartbeat
    return Facts(
        state=state,
        word=_word(state, history),
        model=one_line(run.model.name, 40) if run else "",
        dataset=one_line(run.dataset.name, 40) if run else "",
        device=f"{one_line(run.device, 20)} {one_line(run.dtype, 20)}" if run else "",
        iteration=reached(history),
        max_iters=history.max_iters,
        micro_step=at_work,
        micro_steps=of,
        eta=time_left(history) if state in WORKING else None,
        tokens_per_second=step.tokens_per_second if step else None,
        loss=step.loss if step else None,
        val_loss=evaluation.val_loss if evaluation else None,
        first_val=first.val_loss if first else None,
        best_val=best.val_loss if best else None,
        best_iteration=best.iteration if best else None,
        learning_rate=step.learning_rate if step else None,
        memory=beat.memory if beat else step.memory if step else None,
        gpu_memory=step.gpu_memory if step else None,
        saved_iteration=saved.iteration if saved else None,
        saved_age=max(0.0, now - saved.time) if saved else None,
        took=history.wall_seconds if history.end is not None and not state.unfinished else None,
        quiet=max(0.0, now - history.last_time) if history.last_time else 0.0,
    )


def _latest(records: dict[int, T]) -> T | None:
    return records[max(records)] if records else None


def _word(state: RunState, history: History) -> str:
    if state is RunState.CRASHED and not history.last_time:
        return "did not start"  # no trainer ever wrote a word
    since = history.latest.time if history.latest else 0.0
    commands = [command for command in history.commands.values() if command.time >= since]
    if state.at_work and any(c.verb == "stop" and c.status == "accepted" for c in commands):
        return "stopping"
    pauses = [command.verb for command in commands if command.verb in ("pause", "resume")]
    if state is RunState.TRAINING and pauses[-1:] == ["pause"]:
        return "pausing"  # the micro-batch at work is finished first
    beat = history.heartbeat
    return beat.phase if state is RunState.TRAINING and beat is not None else state


def trend(f: Facts) -> str:
    """How far val loss came since the first evaluation, as `▼ 0.81`; empty before there are two."""
    if f.val_loss is None or f.first_val is None or f.val_loss == f.first_val:
        return ""
    change = f.val_loss - f.first_val
    return f"{'▼' if change < 0 else '▲'} {abs(change):.2f}"


def headline(f: Facts) -> str:
    """Where the run is: iteration, micro-step, percent; small screens have a bar for the last."""
    if not f.max_iters:
        return ""
    shown = f.micro_steps > 1 and (f.micro_step > 0 or f.word == RunState.TRAINING)
    micro = f" · micro-step {f.micro_step}/{f.micro_steps}" if shown else ""
    return f"iteration {f.iteration}/{f.max_iters}{micro} · {f.fraction:.0%}"


def loss_line(f: Facts) -> str:
    """The losses in one plain line."""
    parts = [f"val loss {format.loss(f.val_loss, 3)} {trend(f)}".rstrip()]
    parts.append(f"train loss {format.loss(f.loss, 3)}")
    if f.eta is not None:
        parts.append(f"time left {format.duration(f.eta)}")
    return "  ".join(parts)


def details(f: Facts) -> list[tuple[str, str]]:
    """(label, value) of the small print, most wanted first; what is unknown is left out.

    Short enough for 80 columns, but for a GPU's memory; a rate says by its unit what it is.
    """
    saved = format.ago(f.saved_age) if f.saved_age is not None else None
    best = f"{format.loss(f.best_val, 3)} at {f.best_iteration}" if f.best_val is not None else None
    rows = [
        ("best", best),
        ("", format.throughput(f.tokens_per_second) if f.tokens_per_second is not None else None),
        ("saved", saved),
        ("memory", format.size(f.memory) if f.memory else None),
        ("lr", format.rate(f.learning_rate) if f.learning_rate is not None else None),
        ("gpu", format.size(f.gpu_memory) if f.gpu_memory is not None else None),
    ]
    return [(label, value) for label, value in rows if value is not None]
