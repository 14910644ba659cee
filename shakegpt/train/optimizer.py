"""AdamW as GPT-2 is finetuned with, and the rate it goes at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.optim.adamw import adamw

from shakegpt.checkpoint import tensorfile
from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError

T = TypeVar("T")
Group = dict[str, Any]
"""Parameters that are updated alike: `params`, `weight_decay`, `lr`, `betas`."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's decaying means of the gradient and of its square, under PyTorch's names for them."""


class AdamW:
    """Fused AdamW. `param_groups` and `state` are laid out as those of torch.optim.AdamW.

    Its kernel without its class: making one of those imports PyTorch's compiler, which takes as
    long as half of `import torch` and 70 MB that no step has any use for.
    """

    def __init__(self, named: Mapping[str, Tensor], config: FinetuneConfig) -> None:
        """For the parameters `named`; weight decay on matrices only, not biases and LayerNorms."""
        self.named, self.state = named, dict[Tensor, dict[str, Tensor]]()
        matrices = [p for p in named.values() if p.dim() >= 2]
        rest = [p for p in named.values() if p.dim() < 2]
        how = {"lr": config.learning_rate, "betas": (config.beta1, config.beta2)}
        self.param_groups: list[Group] = [
            {"params": matrices, "weight_decay": config.weight_decay, **how},
            {"params": rest, "weight_decay": 0.0, **how},
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            self.step_group(group)

    def step_group(self, group: Group) -> None:
        """Update the parameters of `group` that have a gradient."""
        moved = [p for p in group["params"] if p.grad is not None]
        kept = [self._kept(p) for p in moved]
        means, squares, steps = ([some[key] for some in kept] for key in (*MOMENTS, "step"))
        update(group, moved, [p.grad for p in moved], means, squares, steps)

    def _kept(self, p: Tensor) -> dict[str, Tensor]:
        """The moments of `p` and how many steps they have seen, zeros before the first."""
        if p not in self.state:
            self.state[p] = {"step": torch.zeros((), device=p.device)}
            self.state[p] |= {key: torch.zeros_like(p) for key in MOMENTS}
        return self.state[p]

    def zero_grad(self) -> None:
        """Begin the gradients again, in the same memory: what else is freed stays in one piece."""
        for p in self.named.values():
            if p.grad is not None:
                p.grad.zero_()

    @torch.no_grad()
    def save(self, path: Path) -> None:
        """Write the moments of every parameter to a safetensors file."""
        self.write(self.moments(), path)

    def moments(self) -> dict[str, Tensor]:
        """All that a state needs besides the weights and the number of updates, by name."""
        kept = {name: self._kept(p) for name, p in self.named.items()}
        return {f"{key}.{name}": some[key] for name, some in kept.items() for key in MOMENTS}

    def lent(self, job: Callable[[], T]) -> T | None:
        """What `job`, which calls `write`, returns; where others have shares, the first one's."""
        return job()

    def write(
        self, tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
    ) -> None:
        """Write weights or moments under their names to a safetensors file."""
        tensorfile.write(tensors, path, metadata)

    def load(self, path: Path, steps: int) -> None:
        """Take up the moments that `save` wrote after `steps` updates, mapped from the file.

        Raises ShakegptError for a file that is torn or not of these parameters.
        """
        moments = read(path)
        for name, p in self.named.items():
            kept = {key: taken(moments, f"{key}.{name}", p, path) for key in MOMENTS}
            self.state[p] = {"step": torch.tensor(float(steps), device=p.device), **kept}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a saved file, mapped. Raises ShakegptError."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ShakegptError(f"{path} cannot be read: {error}", exit_code=1) from error


def taken(moments: Mapping[str, Tensor], name: str, p: Tensor, path: Path) -> Tensor:
    """The moment `name` of the parameter `p`, on its device. Raises ShakegptError."""
    found = moments.get(name)
    if found is None or found.shape != p.shape:
        raise ShakegptError(f"{path} holds no {name} of this model's shape", exit_code=1)
    return found.to(p.device)


def update(
    group: Group,
    weights: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
) -> None:
    """One step of AdamW in one kernel: everything but the gradients is updated in place."""
    adamw(
        weights,
        gradients,
        means,
        squares,
        [],
        steps,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=1e-8,
        fused=True,
        amsgrad=False,
        maximize=False,
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
