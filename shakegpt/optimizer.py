"""AdamW as GPT-2 is finetuned with, and the rate it goes at."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from shakegpt.config import FinetuneConfig
from shakegpt.lora import trained
from shakegpt.model import GPT


class AdamW:
    """Fused AdamW. `param_groups` and `state` are laid out as those of torch.optim.AdamW.

    Its kernel without its class: making one of those imports PyTorch's compiler, which takes as
    long as half of `import torch` and 70 MB that no step has any use for.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        """Each group has its `params` and `weight_decay`; `lr` may be changed in it at any time."""
        self.param_groups = [group | {"lr": lr, "betas": betas} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            kept = [self._kept(p) for p in moved]
            adamw(
                moved,
                [p.grad for p in moved],
                [state["exp_avg"] for state in kept],
                [state["exp_avg_sq"] for state in kept],
                [],
                [state["step"] for state in kept],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=1e-8,
                fused=True,
                amsgrad=False,
                maximize=False,
            )

    def _kept(self, p: Tensor) -> dict[str, Tensor]:
        """The moments of `p` and how many steps they have seen, zeros before the first."""
        if p not in self.state:
            self.state[p] = {
                "step": torch.zeros((), device=p.device),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
        return self.state[p]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None


def make_optimizer(model: GPT, config: FinetuneConfig) -> torch.optim.Optimizer:
    """Fused AdamW; weight decay on matrices only, not on biases and LayerNorms."""
    parameters = list(trained(model).values())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    # in all that the loop and a GradScaler ask of one
    return cast(
        "torch.optim.Optimizer", AdamW(groups, config.learning_rate, (config.beta1, config.beta2))
    )


def learning_rate(config: FinetuneConfig, iteration: int) -> float:
    """Rate of the update that makes iteration - 1 into `iteration`: constant, or with --decay-lr
    a linear warm-up and a cosine down to `min_lr`.
    """
    if not config.decay_lr:
        return config.learning_rate
    if iteration <= config.warmup_iters:
        return config.learning_rate * iteration / (config.warmup_iters + 1)
    end = config.lr_decay_iters or config.max_iters
    share = min(1.0, (iteration - config.warmup_iters) / max(1, end - config.warmup_iters))
    height = 0.5 * (1 + math.cos(math.pi * share))
    return config.min_lr + height * (config.learning_rate - config.min_lr)
