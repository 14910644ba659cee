"""Fused AdamW, equal to torch.optim.AdamW to the bit, with its state saved as safetensors.

It calls PyTorch's kernel without PyTorch's class, whose constructor imports the compiler: 70 MB and
half the time of `import torch`. Where the fused kernel fails its self-test, PyTorch's plain loop
over the parameters computes the update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.optim.adamw import adamw

from shakegpt.checkpoint import tensorfile
from shakegpt.errors import ShakegptError
from shakegpt.hardware.fast_paths import self_test
from shakegpt.hardware.resource_errors import reading

T = TypeVar("T")
Group = dict[str, Any]
"""Parameters that are updated alike: `params`, `weight_decay`, `lr`, `betas`."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Decaying means of the gradient and of its square, under PyTorch's names for them."""


class AdamW:
    """Fused AdamW. `param_groups` and `state` are laid out as those of torch.optim.AdamW."""

    def __init__(self, named: Mapping[str, Tensor], groups: list[Group]) -> None:
        """For the parameters `named`, all of which are in one of `groups`."""
        self.named, self.param_groups = named, groups
        self.with_moments = named
        """The parameters with AdamW's moments, by name: all, unless a subclass updates some."""
        self.state = dict[Tensor, dict[str, Tensor]]()

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            self.step_group(group)

    def step_group(self, group: Group) -> None:
        """Update the parameters of `group` that have a gradient."""
        params = [p for p in group["params"] if p.grad is not None]
        states = [self._state_of(p) for p in params]
        means, squares, steps = ([state[k] for state in states] for k in (*MOMENTS, "step"))
        update(group, params, [p.grad for p in params], means, squares, steps)

    def _state_of(self, p: Tensor) -> dict[str, Tensor]:
        """The moments of `p` and their number of updates; zeros before the first."""
        if p not in self.state:
            self.state[p] = {"step": torch.zeros((), device=p.device)}
            self.state[p] |= {key: torch.zeros_like(p) for key in MOMENTS}
        return self.state[p]

    def clip(self, max_norm: float) -> Tensor:
        """Scale the gradients down to `max_norm`; returns their previous norm, ()."""
        return torch.nn.utils.clip_grad_norm_(self.named.values(), max_norm)

    def zero_grad(self) -> None:
        """Zero the gradients in place: freeing them would fragment the heap."""
        for p in self.named.values():
            if p.grad is not None:
                p.grad.zero_()

    @torch.no_grad()
    def save(self, path: Path) -> str:
        """Write the moments of every parameter to a safetensors file; returns its sha256."""
        return self.write(self.moments(), path)

    def moments(self) -> dict[str, Tensor]:
        """The moments of all parameters, by name."""
        states = {name: self._state_of(p) for name, p in self.with_moments.items()}
        return {f"{key}.{name}": state[key] for name, state in states.items() for key in MOMENTS}

    def run_on_writer(self, job: Callable[[], T]) -> T | None:
        """Call `job`, which calls `write`; its result, or None in ranks that do not write."""
        return job()

    def write(
        self, tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
    ) -> str:
        """Write weights or moments under their names to a safetensors file; returns its sha256."""
        return tensorfile.write(tensors, path, metadata)

    def load(self, path: Path, steps: int) -> None:
        """Restore the moments that `save` wrote after `steps` updates, memory-mapped.

        Raises ShakegptError for a file that is damaged or of other parameters.
        """
        moments = read(path)
        for name, p in self.with_moments.items():
            saved = {key: moment_of(p, f"{key}.{name}", moments, path) for key in MOMENTS}
            self.state[p] = {"step": torch.tensor(float(steps), device=p.device), **saved}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a state's file, memory-mapped. Raises ShakegptError."""
    with reading(path):
        return load_file(path)


def moment_of(p: Tensor, name: str, moments: Mapping[str, Tensor], path: Path) -> Tensor:
    """The moment `name` of the parameter `p`, on its device. Raises ShakegptError."""
    moment = moments.get(name)
    if moment is None or moment.shape != p.shape:
        raise ShakegptError(f"{path} has no {name} of this model's shape", exit_code=1)
    return moment.to(p.device)


def update(
    group: Group,
    weights: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    fused: bool | None = None,
) -> None:
    """One AdamW update, in place; with None as `fused`, fused where that passes its self-test."""
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
        foreach=False,
        fused=fused_works(weights[0].device.type) if fused is None and weights else bool(fused),
        amsgrad=False,
        maximize=False,
    )


@self_test
def fused_works(device: str) -> bool:
    """Self-test: the fused kernel and the plain loop compute the same update."""
    results = []
    for fused in (True, False):
        p, m, v = (torch.linspace(0.1, 1, 7, device=device) for _ in range(3))
        group = {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.1}
        gradient, step = torch.linspace(-1, 1, 7, device=device), torch.zeros((), device=device)
        update(group, [p], [gradient], [m], [v], [step], fused)
        results.append(torch.stack([p, m, v]))
    return torch.allclose(results[0], results[1], rtol=1e-4, atol=1e-6)
