"""Short runs on the real model and text, all from the same weights, over the same windows.

They are made by the training loop itself (`finetune.Finetuning`), so a short run computes what a
run of that length would; nothing is logged or saved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.replay.training import unsaved
from shakegpt.train.evaluate import measure
from shakegpt.train.setup import TrainingSetup

WARMUP = 0.05
"""Share of the steps over which the rate rises; then it falls along a cosine to zero."""


class Trials:
    """Makes short runs and counts the tokens and seconds of their training."""

    def __init__(self, setup: TrainingSetup, scratch: Path, val_tokens: int) -> None:
        """`val_tokens`: of the validation part, predicted after each run, always the same ones."""
        self.setup, self._scratch, self._val_tokens = setup, scratch, val_tokens
        self.tokens, self.seconds = 0, 0.0
        """Trained on so far, and how long that took."""

    def loss(self, step_tokens: int, rate: float, tokens: int) -> float:
        """Val loss, in nats per token, after `tokens` tokens at a learning rate of `rate`.

        Infinite where training failed because the rate is too high.
        """
        length = self.setup.dataset.block_size
        config = schedule(self.setup.config, step_tokens, rate, tokens, length)
        return [loss for _, loss in self.losses(config, config.max_iters, self._val_tokens)][-1]

    def losses(
        self, config: FinetuneConfig, every: int, val_tokens: int
    ) -> Iterator[tuple[int, float]]:
        """(iteration, val loss) of a run, every so many iterations and at its end."""
        setup = replace(self.setup, config=config)
        update = config.batch_size * config.gradient_accumulation_steps
        with unsaved(setup, self._scratch) as training:
            while training.iteration < config.max_iters:
                training.model.train()
                started = time.monotonic()
                try:
                    training.update(training.iteration + 1)
                except ShakegptError:
                    yield training.iteration, math.inf
                    return
                self.seconds += time.monotonic() - started
                self.tokens += update * setup.dataset.block_size
                k = training.iteration
                if k % every == 0 or k == config.max_iters:
                    how = (config.batch_size, setup.place)
                    val = measure(training.model.eval(), setup.dataset, val_tokens, *how)
                    yield k, val.loss

    @property
    def speed(self) -> float:
        """Tokens per second of the runs so far."""
        return self.tokens / self.seconds if self.seconds else 0.0


def schedule(
    base: FinetuneConfig, step_tokens: int, rate: float, tokens: int, length: int
) -> FinetuneConfig:
    """`base` with the settings of a run over `tokens` tokens, in sequences of `length`.

    The ratio of Muon's rate to AdamW's stays.
    """
    sequences = max(1, step_tokens // length)
    batch = min(sequences, base.batch_size)
    steps = max(1, tokens // step_tokens)
    muon = base.muon_learning_rate
    if base.optimizer == "muon":
        muon = min(10.0, float(f"{muon * rate / base.learning_rate:.3g}"))
    return replace(
        base,
        learning_rate=rate,
        muon_learning_rate=muon,
        batch_size=batch,
        gradient_accumulation_steps=max(1, sequences // batch),
        max_iters=steps,
        decay_lr=True,
        warmup_iters=round(WARMUP * steps),
        min_lr=0.0,
        beta1=0.9,
        beta2=0.95,
    )
