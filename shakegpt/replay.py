"""A finished run trained again, to the bit: what each update did to the probability of one token.

Which windows an iteration sees is a function of seed and iteration, so the updates of a run can be
made again from its text and its first model; each training loss is compared with the log's. The
effect of one window is exact: the update is made again without it, from the same weights and
moments, and the difference of the two probabilities is what the window did.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from shakegpt.checkpoint.provenance import origin
from shakegpt.config import FinetuneConfig
from shakegpt.data.dataset import Window, as_tensors
from shakegpt.data.sources import BUILT_IN
from shakegpt.errors import ShakegptError
from shakegpt.finetune import Finetuning
from shakegpt.runlog import schema
from shakegpt.runlog.control import Inbox
from shakegpt.runlog.history import History, load_started
from shakegpt.train.compilation import upgraded
from shakegpt.train.setup import TrainingSetup, initial_model, prepare
from shakegpt.train.supervisor import Supervisor

KEPT = (
    *("max_iters", "eval_interval", "patience", "max_minutes", "dataset", "val_dataset"),
    *("prompt", "max_new_tokens", "temperature", "top_k", "top_p", "save_signal", "memory"),
)
"""Settings that a resume may have changed without changing an update."""


class Discard:
    """A log that discards its records."""

    def write(self, event: schema.Event) -> None:
        """Discard the record."""


class Unsaved(Finetuning):
    """Training that leaves nothing on disk, also where it fails."""

    def save_state(self) -> None:
        """Do nothing."""


@contextmanager
def unsaved(setup: TrainingSetup, scratch: Path) -> Iterator[Unsaved]:
    """A training at iteration 0, to be driven by `update`."""
    with Supervisor(Discard(), Inbox(scratch), signals=False) as supervisor:
        yield Unsaved(setup, initial_model(setup), scratch, Discard(), supervisor)


@dataclass(frozen=True)
class Effect:
    """What one window of an update did to the token's probability: with it, minus without it."""

    window: Window
    effect: float


@contextmanager
def replaying(run: Path) -> Iterator[Replay]:
    """A replay of the run directory `run`. Raises ShakegptError where that cannot be replayed."""
    past = load_started(run)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        setup = _setup(run, past, scratch)
        with unsaved(setup, scratch) as training:
            yield Replay(past, setup, training)


class Replay:
    """The updates of a run, made again: first call `probabilities`, then `effects`."""

    def __init__(self, past: History, setup: TrainingSetup, training: Unsaved) -> None:
        """`training` is at iteration 0 of the run with the history `past`."""
        self.past, self.setup, self.training = past, setup, training
        self._snapshots: dict[int, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def probabilities(self, context: list[int], token: int) -> Iterator[tuple[int, float]]:
        """(iteration, probability of the token id `token` after the ids `context`), from iteration
        0 to the run's last one. Keeps what is needed to explain the update that changed it most.

        Raises ShakegptError where a training loss is not the one in the log.
        """
        training, steps = self.training, self.past.steps
        self._context, self._token = context, token
        before = self._probability()
        yield 0, before
        largest = -1.0
        for k in range(1, max(steps, default=0) + 1):
            snapshot = self._snapshot()
            training.model.train()
            training.update(k)
            loss = training.curve.steps[k].loss
            if k in steps and steps[k].loss != loss:
                raise ShakegptError(
                    f"the replay differs from the run at iteration {k}: its training loss is "
                    f"{loss} and the log has {steps[k].loss}; it repeats only on the same kind of "
                    "processor, with the same versions",
                    exit_code=1,
                )
            now = self._probability()
            if abs(now - before) > largest:
                largest, self._snapshots = abs(now - before), {k: snapshot}
            before = now
            yield k, now

    @property
    def largest(self) -> int:
        """The iteration whose update changed the probability most."""
        return next(iter(self._snapshots))

    def effects(self) -> Iterator[Effect]:
        """The effect of each window of the update `largest`, in the order of its batch."""
        training, config, k = self.training, self.training.config, self.largest
        windows = [
            window
            for micro_step in range(1, config.gradient_accumulation_steps + 1)
            for window in training.windows(k, micro_step)
        ]
        n, optimizer = len(windows), training.optimizer
        if n < 2:
            return
        self._restore(k)
        training.model.train()
        for x, y in training.batches(k):
            training.loss(x, y).backward()
        named = training.trainable
        share = n / (n - 1)  # the mean is over one window less
        total = {name: share * p.grad for name, p in named.items() if p.grad is not None}
        optimizer.step()
        with_all = self._probability()
        for window in windows:
            self._restore(k)
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
            yield Effect(window, with_all - self._probability())
        optimizer.zero_grad()

    def _probability(self) -> float:
        """Of the token, by the model as it is."""
        model = self.training.model.eval()
        ids = torch.tensor([self._context], device=self.training.place.device)
        with torch.inference_mode():
            return float(model(ids)[0, -1].float().softmax(0)[self._token])

    def _snapshot(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        weights = {name: p.detach().clone() for name, p in self.training.trainable.items()}
        moments = self.training.optimizer.inner.moments()
        return weights, {name: moment.clone() for name, moment in moments.items()}

    @torch.no_grad()
    def _restore(self, iteration: int) -> None:
        """Weights and moments as they were before the update `iteration`."""
        weights, moments = self._snapshots[iteration]
        inner = self.training.optimizer.inner
        for name, p in self.training.trainable.items():
            p.copy_(weights[name])
        for name, moment in inner.moments().items():
            moment.copy_(moments[name])
        for state in inner.state.values():
            state["step"].fill_(iteration - 1)
        self.training.supervisor.iteration = iteration - 1


def _setup(run: Path, past: History, scratch: Path) -> TrainingSetup:
    """Text, model and settings of a run. Raises ShakegptError where they are not what they were."""
    header, latest = past.run, past.latest
    assert header is not None and latest is not None
    where = f"cannot replay {run}"
    if header.world is not None or any(part.world is not None for part in past.resumes):
        raise ShakegptError(f"{where}: it was trained by several processes")
    changed = sorted(
        name
        for part in past.resumes
        for name, value in part.config.items()
        if name not in KEPT and header.config.get(name, value) != value
    )
    if changed:
        raise ShakegptError(f"{where}: {', '.join(changed)} changed when it was resumed")
    try:
        config = msgspec.convert(upgraded(latest.config), FinetuneConfig)
    except msgspec.ValidationError as error:
        raise ShakegptError(f"{where}: its settings are invalid: {error}") from None
    for name in (*config.dataset, *(config.val_dataset or ())):
        if name not in BUILT_IN and not Path(name).exists():
            raise ShakegptError(f"{where}: its text {name} does not exist")
    config = replace(
        config,
        max_new_tokens=0,
        memory="normal",
        device="cpu" if header.device == "cpu" else config.device,
        dtype=header.dtype if config.dtype == "auto" else config.dtype,  # type: ignore[arg-type]
        compile="on" if header.compiled else "off",
        threads=header.threads,
    )
    try:
        setup = prepare(config, scratch, run)
        started = origin(config.init_from, setup.tokenizer)
    except ShakegptError as error:
        raise ShakegptError(f"{where}: {error}") from None
    if setup.dataset.text.sha256 != header.dataset.sha256:
        raise ShakegptError(f"{where}: its text {header.dataset.name} has changed")
    if header.model.sha256 is not None and started.sha256 != header.model.sha256:
        raise ShakegptError(f"{where}: the model it started from, {header.model.name}, has changed")
    return setup
