"""The optimizer of the loop: loss scaling, clipping, learning rate, and overflow around a step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError
from shakegpt.hardware.device import Place
from shakegpt.train.optimizer import AdamW
from shakegpt.train.supervisor import Supervisor

Schedule = Callable[[int], float]
"""From an iteration, counted from 1, to the learning rate of its update."""
Failure = Callable[[str], ShakegptError]
"""Saves the state; from a cause to the error to raise."""


class GuardedOptimizer:
    """An optimizer that scales, clips and checks the gradients before its step."""

    def __init__(
        self,
        inner: AdamW,
        schedule: Schedule,
        grad_clip: float | None,
        micro_steps: int,
        place: Place,
        team: Team,
        supervisor: Supervisor,
        failure: Failure,
    ) -> None:
        """`inner` sums the gradients of `micro_steps` backward passes of this process."""
        self.inner, self.schedule = inner, schedule
        self._max_norm, self._micro_steps = grad_clip or math.inf, micro_steps
        self._team, self._supervisor, self._failure = team, supervisor, failure
        self._scales = place.scales_loss
        self._scaler = torch.amp.GradScaler(place.device, enabled=self._scales)
        self.learning_rate, self.grad_norm = 0.0, 0.0
        """Of the latest step; the norm before clipping."""
        self.overflowed = False
        """Whether the latest step was skipped, because float16 gradients overflowed."""

    @property
    def loss_scale(self) -> float | None:
        """The scale of float16 training, else None."""
        return float(self._scaler.get_scale()) if self._scales else None

    def restore(self, loss_scale: float | None) -> None:
        """Continue with the loss scale of a saved state."""
        if loss_scale is not None:
            self._scaler.load_state_dict(self._scaler.state_dict() | {"scale": loss_scale})

    def scale_gradient(self, gradient: Tensor) -> Tensor:
        """The initial gradient of a micro-batch's backward pass, so that their sum is the mean."""
        scaled: Tensor = self._scaler.scale(gradient)
        return scaled / self._micro_steps

    def step(self) -> None:
        """Clip, update the weights with this iteration's rate, and count the iteration.

        If float16 gradients overflow, the step is skipped, `overflowed` is set, the loss scale is
        halved, and the iteration must be repeated. Raises ShakegptError for other gradients that
        are not finite.
        """
        inner, supervisor = self.inner, self._supervisor
        self._scaler.unscale_(inner)  # type: ignore[arg-type]
        self.grad_norm = self._team.norm(inner.clip(self._max_norm))
        scale = self._scaler.get_scale()
        if not math.isfinite(self.grad_norm) and (not self._scales or scale < 1):
            raise self._failure(f"the gradient norm is {self.grad_norm}")
        self.learning_rate = self.schedule(supervisor.iteration + 1)
        for group in inner.param_groups:
            group["lr"] = self.learning_rate
        with supervisor.weights_lock:
            self._scaler.step(inner)  # type: ignore[arg-type]
            self._scaler.update()
            self.overflowed = self._scaler.get_scale() < scale
            if not self.overflowed:
                supervisor.iteration += 1

    def zero_grad(self) -> None:
        """Reset the gradients of all parameters."""
        self.inner.zero_grad()
