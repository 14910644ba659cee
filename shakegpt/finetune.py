"""The training loop of the talk: batches, loss, backward, step, zero_grad.

An iteration is one optimizer step: the gradients of some micro-batches are averaged and clipped,
and AdamW updates the weights. Every `eval_interval` iterations the val loss is measured, always
over the same windows, and a sample is generated. Everything random is a pure function of seed and
iteration, so a run that was stopped and resumed computes the same numbers as an uninterrupted one.

The code around the loop is in `shakegpt.train`: `TrainingRun` writes the log and the states and
handles commands, `GuardedOptimizer` clips the gradients and scales them in float16.

References: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW); Brown et al.
2020, "Language Models are Few-Shot Learners", appendix B (schedule, clipping, weight decay).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from shakegpt.config import FinetuneConfig
from shakegpt.data.dataset import as_tensors
from shakegpt.train.guarded_optimizer import GuardedOptimizer
from shakegpt.train.run import TrainingRun


def learning_rate(config: FinetuneConfig, iteration: int) -> float:
    """The rate of the update of `iteration`, counted from 1: constant, or with --decay-lr a linear
    warm-up and a cosine down to `min_lr`.
    """
    if not config.decay_lr:
        return config.learning_rate
    if iteration <= config.warmup_iters:
        return config.learning_rate * iteration / (config.warmup_iters + 1)
    end = config.lr_decay_iters or config.max_iters
    progress = min(1.0, (iteration - config.warmup_iters) / max(1, end - config.warmup_iters))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))  # from 1 to 0
    return config.min_lr + cosine * (config.learning_rate - config.min_lr)


def parameter_groups(named: Mapping[str, Tensor], config: FinetuneConfig) -> list[dict[str, Any]]:
    """AdamW's groups of the parameters: weight decay on matrices, not on biases and LayerNorms."""
    common = {"lr": config.learning_rate, "betas": (config.beta1, config.beta2)}
    matrices = [p for p in named.values() if p.dim() >= 2]
    vectors = [p for p in named.values() if p.dim() < 2]
    return [
        {"params": matrices, "weight_decay": config.weight_decay, **common},
        {"params": vectors, "weight_decay": 0.0, **common},
    ]


class Finetuning(TrainingRun):
    """A run with its training loop; everything else is in `TrainingRun`."""

    def build_optimizer(self) -> GuardedOptimizer:
        """The optimizer of all trainable parameters."""
        groups = parameter_groups(self.trainable, self.config)
        return self.make_optimizer(groups, lambda k: learning_rate(self.config, k))

    def train(self) -> None:
        """Continue to `max_iters`. Raises Stopped on a stop, ShakegptError if training fails."""
        self.model.train()
        self.compile_blocks(lambda: self.loss(*next(self.batches(1))).backward())
        with self.supervisor.phase("training"):
            self.between_updates()
            while self.iteration < self.config.max_iters:
                self.update(self.iteration + 1)
                self.between_updates()

    def update(self, iteration: int) -> None:
        """One iteration. If float16 overflows, the step is skipped, and `train` repeats it."""
        self.start_update()
        # region loop
        for x, y in self.batches(iteration):  # a few windows of the text
            loss = self.loss(x, y)  # how wrong is every guess?
            loss.backward()  # which weights are to blame?
            self.progress(loss)
        self.optimizer.step()  # nudge all of them
        self.optimizer.zero_grad()  # and begin again
        # endregion loop
        self.finish_update()

    def batches(self, iteration: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets (B, T) of this process's micro-batches, on the device."""
        c, share = self.config, self.share
        for micro_step in self.team.micro_steps(share):
            self.micro_step = micro_step  # which `progress` reports
            if max(c.dropout, c.lora_dropout) > 0:
                torch.manual_seed(mix(c.seed + share.part, iteration, micro_step))
            windows = share.of(self.windows(iteration, micro_step))
            yield as_tensors(self.dataset.train, windows, self.place.device)

    def loss(self, x: Tensor, y: Tensor) -> Any:
        """Mean cross-entropy of a micro-batch, a tensor in nats per token.

        The gradients of an iteration's losses add up to the gradient of their mean.
        """
        with self.place.autocast():
            loss: Any = self.forward(x, y)
        loss.register_hook(self.optimizer.scale_gradient)
        return loss


def mix(seed: int, iteration: int, micro_step: int) -> int:
    """A seed for each micro-step of each run, the same after a resume."""
    return ((seed * 1_000_003 + iteration) * 1_000_003 + micro_step) % (1 << 63)
