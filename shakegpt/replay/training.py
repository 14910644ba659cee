"""Repeat a finished run bit for bit: the effect of each update on the probability of one token.

The windows of an iteration are a function of seed and iteration, so a run's updates can be repeated
from its text and its initial model; each training loss is compared with the log's. The effect of a
window is measured by leaving it out: the update is repeated without it, from the same weights and
moments, and the effect is the difference of the two probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from shakegpt.data.dataset import Window, as_tensors
from shakegpt.errors import ShakegptError
from shakegpt.files import scratch_folder
from shakegpt.finetune import Finetuning
from shakegpt.hardware.device import free_memory
from shakegpt.replay.setup import replay_setup
from shakegpt.runlog.control import Inbox
from shakegpt.runlog.history import History, load_started
from shakegpt.train.setup import TrainingSetup, initial_model
from shakegpt.train.supervisor import NullLog, Supervisor

MOST_KEPT = 2 << 30
"""Bytes of snapshots kept for a second token, unless half of the free memory is less."""

Gradient = dict[str, Tensor]
"""Gradients by the names of the parameters, in their shapes."""


@dataclass(frozen=True)
class Snapshot:
    """Weights and moments by name after an update, and its gradient before clipping, if kept."""

    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    gradient: Gradient | None


class Unsaved(Finetuning):
    """Training that writes nothing to disk, not even when it fails."""

    between_batches: Callable[[], None] | None = None
    """Called after each micro-batch; an exception from it ends the update."""
    keeps_gradient = False
    """Whether `latest_gradient` is kept."""
    latest_gradient: Gradient | None = None
    """The gradient of the latest update, before it was clipped."""

    def save_state(self) -> None:
        """Do nothing."""

    def progress(self, loss: Tensor) -> None:
        """Also keep the gradient, and call `between_batches`."""
        super().progress(loss)
        if self.keeps_gradient and self.micro_step == self.config.gradient_accumulation_steps:
            self.latest_gradient = self.gradient()
        if self.between_batches is not None:
            self.between_batches()

    def gradient(self) -> Gradient:
        """A copy of the gradient so far."""
        named = self.trainable.items()
        return {name: p.grad.clone() for name, p in named if p.grad is not None}


@contextmanager
def unsaved(setup: TrainingSetup, scratch: Path) -> Iterator[Unsaved]:
    """A training at iteration 0, to be driven by `update`."""
    with Supervisor(NullLog(), Inbox(scratch), signals=False) as supervisor:
        yield Unsaved(setup, initial_model(setup), scratch, NullLog(), supervisor)


@dataclass(frozen=True)
class Effect:
    """Change of the token's probability by one window of an update: with it, minus without it."""

    window: Window
    effect: float


@contextmanager
def replaying(
    run: Path, check: Callable[[], None] = lambda: None, *, own_process: bool = False
) -> Iterator[Replay]:
    """A replay of the run directory `run`; `check` is called at least once in each micro-batch, and
    an exception from it ends the computation. With `own_process`, the allocator of this process is
    tuned, as in training. Raises ShakegptError if the run cannot be replayed.
    """
    past = load_started(run)
    with scratch_folder(own_process) as scratch:
        setup = replay_setup(run, past, scratch, own_process)
        check()
        with unsaved(setup, scratch) as training:
            training.between_batches = check
            yield Replay(past, setup, training, check)


class Replay:
    """Repeats the updates of a run: first call `probabilities`, then `effects`.

    Where all snapshots fit in memory (`keeps_all`), each update is computed once: `probabilities`
    can be called for another token, also after it was interrupted, and continues where it was.
    """

    def __init__(
        self,
        past: History,
        setup: TrainingSetup,
        training: Unsaved,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`training` is at iteration 0 of the run with the history `past`."""
        self.past, self.setup, self.training, self._check = past, setup, training, check
        self.iterations = max(past.steps, default=0)
        """Updates of the run."""
        size = 16 * sum(p.numel() for p in training.trainable.values())  # two moments, a gradient
        most = min(MOST_KEPT, free_memory(setup.place) // 2)
        self.keeps_all = (self.iterations + 1) * size <= most
        """Whether weights, moments and gradient of every update are kept in memory."""
        drops = max(training.config.dropout, training.config.lora_dropout) > 0
        training.keeps_gradient = self.keeps_all and not (drops or setup.place.scales_loss)
        self.largest = 0
        """The iteration whose update changed the probability most; 0 before `probabilities`."""
        self._reached = 0.0
        """The probability after the update `largest`."""
        self._snapshots = {0: self._snapshot()}
        """By finished iterations."""
        self._at: int | None = 0
        """The snapshot that the model equals; None after an update without a window."""

    @property
    def windows(self) -> int:
        """Windows of an update."""
        config = self.training.config
        return config.batch_size * config.gradient_accumulation_steps

    def probabilities(self, context: list[int], token: int) -> Iterator[tuple[int, float]]:
        """(iteration, probability of the token id `token` after the ids `context`), from iteration
        0 to the run's last one. Keeps what is needed to explain the update that changed it most.

        Raises ShakegptError if a training loss differs from the log.
        """
        self._context, self._token, self.largest = context, token, 0
        change, before = -1.0, 0.0
        for k in range(self.iterations + 1):
            self._check()
            self._go_to(k)
            now = self._probability()
            if k and abs(now - before) > change:
                change, self.largest, self._reached = abs(now - before), k, now
            if not self.keeps_all:
                needed = (self.largest - 1, k)
                self._snapshots = {i: s for i, s in self._snapshots.items() if i in needed}
            before = now
            yield k, now

    def effects(self) -> Iterator[Effect]:
        """The effect of each window of the update `largest`, in the order of its batch."""
        training, config, k = self.training, self.training.config, self.largest
        windows = [
            window
            for micro_step in range(1, config.gradient_accumulation_steps + 1)
            for window in training.windows(k, micro_step)
        ]
        n, optimizer = len(windows), training.optimizer
        if n < 2 or k == 0:
            return
        share = n / (n - 1)  # the mean is over one window less
        try:
            named = training.trainable
            total = {name: share * gradient for name, gradient in self._gradient(k).items()}
            for window in windows:
                self._check()
                self._restore(k - 1)
                self._at = None
                optimizer.zero_grad()
                training.model.train()
                x, y = as_tensors(training.dataset.train, [window])
                place = training.place
                training.loss(x.to(place.device), y.to(place.device)).backward()
                for name, gradient in total.items():
                    p = named[name]
                    assert p.grad is not None
                    # the loss of one window has the weight of a micro-batch: batch_size too much
                    torch.add(gradient, p.grad, alpha=-share / config.batch_size, out=p.grad)
                optimizer.step()
                yield Effect(window, self._reached - self._probability())
        finally:
            optimizer.zero_grad()

    def _gradient(self, k: int) -> Gradient:
        """The gradient of the update `k`, before clipping."""
        snapshot, training = self._snapshots.get(k), self.training
        if snapshot is not None and snapshot.gradient is not None:
            return snapshot.gradient
        self._restore(k - 1)
        training.model.train()
        for x, y in training.batches(k):
            training.loss(x, y).backward()
            self._check()
        return training.gradient()

    def _go_to(self, iteration: int) -> None:
        """Weights and moments as they were after `iteration`, whose predecessor was reached."""
        training, steps = self.training, self.past.steps
        if iteration in self._snapshots:
            self._restore(iteration)
            return
        self._restore(iteration - 1)
        self._at = None
        training.model.train()
        try:
            while training.iteration < iteration:  # again where float16 overflowed
                training.update(iteration)
        finally:
            training.optimizer.zero_grad()
        loss = training.curve.steps[iteration].loss
        if iteration in steps and steps[iteration].loss != loss:
            raise ShakegptError(
                f"the replay differs from the run at iteration {iteration}: its training loss is "
                f"{loss} and the log has {steps[iteration].loss}; it repeats only on the same kind "
                "of processor, with the same versions",
                exit_code=1,
            )
        self._snapshots[iteration], self._at = self._snapshot(), iteration

    def _probability(self) -> float:
        """Of the token, by the model as it is."""
        model = self.training.model.eval()
        ids = torch.tensor([self._context], device=self.training.place.device)
        with torch.inference_mode():
            return float(model(ids)[0, -1].float().softmax(0)[self._token])

    def _snapshot(self) -> Snapshot:
        weights = {name: p.detach().clone() for name, p in self.training.trainable.items()}
        moments = self.training.optimizer.inner.moments()
        moments = {name: moment.clone() for name, moment in moments.items()}
        return Snapshot(weights, moments, self.training.latest_gradient)

    @torch.no_grad()
    def _restore(self, iteration: int) -> None:
        """Weights and moments of the snapshot after `iteration`."""
        if self._at == iteration:
            return
        snapshot = self._snapshots[iteration]
        inner = self.training.optimizer.inner
        for name, p in self.training.trainable.items():
            p.copy_(snapshot.weights[name])
        for name, moment in inner.moments().items():
            moment.copy_(snapshot.moments[name])
        for state in inner.state.values():
            state["step"].fill_(iteration)
        self.training.supervisor.iteration = iteration
        self._at = iteration
