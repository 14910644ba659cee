"""Muon for a GPT-2: orthogonalized momentum for the matrices of the blocks.

The update of a matrix is its momentum with all singular values brought close to one by a
Newton-Schulz iteration, so all directions of a layer learn at the same speed. Embeddings, biases
and LayerNorms are updated by AdamW.

The arithmetic is that of torch.optim.Muon to the bit (tested); an instance of that class would
import PyTorch's compiler, 70 MB and seconds. GPT-2 stores its weights as (in, out), and a block's
query, key and value matrices side by side in c_attn, so each update works on views: one matrix
(out, in) in the memory of the weight, of its gradient, or of its momentum.

References: Keller Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
https://kellerjordan.github.io/posts/muon/; its tuning in github.com/KellerJordan/modded-nanogpt.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from shakegpt.config import FinetuneConfig
from shakegpt.train.optimizer import AdamW, Group, moment_of, read

MOMENTUM = 0.95
"""Decay of the momentum per update, for runs of thousands of updates."""
FINETUNE_MOMENTUM = 0.9
"""The same for about twenty updates (docs/lab-log.md)."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
"""Newton-Schulz steps, which bring singular values between about 0.7 and 1.2."""
BATCH = 1 << 21
"""Numbers in the matrices that are orthogonalized together, 4 MB; larger ones are alone."""


def split_parameters(named: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters by name: the matrices of the blocks, which Muon updates, and all others."""
    matrices = {name: p for name, p in named.items() if name.startswith("h.") and p.dim() == 2}
    return matrices, {name: p for name, p in named.items() if name not in matrices}


def matrices_of(name: str, weight: Tensor) -> tuple[Tensor, ...]:
    """Views (out, in) of the matrices in a weight (in, out): three of c_attn, else one."""
    parts = weight.chunk(3, dim=1) if "c_attn" in name else (weight,)
    return tuple(part.t() for part in parts)


def orthogonalize(matrices: Sequence[Tensor]) -> Tensor:
    """Equally large matrices (m, n) as (b, m, n) in bfloat16, each with its singular vectors and
    singular values near 1.
    """
    a, b, c = COEFFICIENTS
    tall = matrices[0].size(0) > matrices[0].size(1)
    parts = [x / x.norm().clamp(min=1e-7) for x in map(Tensor.bfloat16, matrices)]
    y = torch.stack([part.t() for part in parts])  # in the order of their memory
    y = y if tall else y.mT
    for _ in range(STEPS):  # each takes singular values s to a s + b s^3 + c s^5
        gram = torch.bmm(y, y.mT)
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return y.mT if tall else y


class Muon:
    """Muon over GPT-2's weights (in, out), by their names.

    `momentum`, a tensor in the shape of each weight, is its whole state; `decay` is its decay per
    update.
    """

    def __init__(
        self, named: Mapping[str, Tensor], weight_decay: float = 0.0, decay: float = MOMENTUM
    ) -> None:
        """For the weights `named`. Weight decay is decoupled: an update first multiplies the weight
        by 1 - lr * weight_decay.
        """
        self.named, self.weight_decay, self.decay = dict(named), weight_decay, decay
        self.momentum = {name: torch.zeros_like(p) for name, p in self.named.items()}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update every weight that has a gradient, with a spectral norm of about
        lr * sqrt(max(1, out / in)).
        """
        batches = defaultdict[torch.Size, list[tuple[Tensor, Tensor]]](list)
        for name, p in self.named.items():
            if p.grad is None:
                continue
            momentum = self.momentum[name].lerp_(p.grad, 1 - self.decay)
            views = (matrices_of(name, x) for x in (p, p.grad.lerp(momentum, self.decay)))
            for weight, nesterov in zip(*views, strict=True):
                batch = batches[weight.shape]
                batch.append((weight, nesterov.bfloat16()))
                if (len(batch) + 1) * weight.numel() > BATCH:
                    self._apply(batch, lr)
                    batch.clear()
        for batch in batches.values():
            if batch:
                self._apply(batch, lr)

    def _apply(self, batch: list[tuple[Tensor, Tensor]], lr: float) -> None:
        """Update weights (out, in) of one shape in the directions of their Nesterov momenta."""
        updates = orthogonalize([nesterov for _, nesterov in batch])
        for (weight, _), update in zip(batch, updates, strict=True):
            weight.mul_(1 - lr * self.weight_decay)
            ratio = math.sqrt(max(1, weight.size(0) / weight.size(1)))
            weight.add_(update, alpha=-lr * ratio)


class MuonAdamW(AdamW):
    """Muon for the matrices of the blocks, AdamW for all other parameters, as one optimizer.

    The rate of all groups is AdamW's; Muon's has a constant ratio to it.
    """

    def __init__(
        self, named: Mapping[str, Tensor], groups: list[Group], config: FinetuneConfig
    ) -> None:
        """For the parameters `named` of a whole model, with AdamW's `groups` of all of them."""
        matrices, others = split_parameters(named)
        by_adamw = set(others.values())
        groups = [g | {"params": [p for p in g["params"] if p in by_adamw]} for g in groups]
        super().__init__(named, groups)
        self.with_moments = others
        self._muon = Muon(matrices, config.weight_decay, FINETUNE_MOMENTUM)
        self._ratio = config.muon_learning_rate / config.learning_rate
        self._matrices: Group = {"params": list(matrices.values()), "lr": config.learning_rate}
        self.param_groups.append(self._matrices)

    def step_group(self, group: Group) -> None:
        """Update the parameters of `group` that have a gradient."""
        if group is self._matrices:
            self._muon.step(group["lr"] * self._ratio)
        else:
            super().step_group(group)

    def moments(self) -> dict[str, Tensor]:
        """AdamW's moments, and Muon's `momentum`, by name."""
        momentum = {f"momentum.{name}": buf for name, buf in self._muon.momentum.items()}
        return super().moments() | momentum

    @torch.no_grad()
    def load(self, path: Path, steps: int) -> None:
        """Restore the moments that `save` wrote after `steps` updates. Raises ShakegptError."""
        super().load(path, steps)
        moments = read(path)
        for name, buffer in self._muon.momentum.items():
            buffer.copy_(moment_of(buffer, f"momentum.{name}", moments, path))
