"""Muon for a GPT-2: orthogonalized momentum for the matrices of the blocks.

The update of a matrix is its momentum with all singular values brought near one by a Newton-Schulz
iteration, so every direction of a layer learns at the same speed. Embeddings, biases and LayerNorms
are no such matrices: AdamW updates them.

The arithmetic is PyTorch's own, the function behind torch.optim.Muon; making an instance of that
class imports PyTorch's compiler, 70 MB and seconds. GPT-2 stores its weights (in, out) and the
query, key and value matrices of a block side by side in c_attn, so the function is given views:
each is one matrix (out, in) in the memory of the weight, of its gradient, of its momentum.

References: Keller Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
https://kellerjordan.github.io/posts/muon/; its tuning in github.com/KellerJordan/modded-nanogpt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim._muon import muon

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
"""Of the Newton-Schulz iteration: it brings singular values between about 0.7 and 1.2."""


def split_parameters(named: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters by name: the matrices of the blocks, which Muon updates, and all others."""
    matrices = {name: p for name, p in named.items() if name.startswith("h.") and p.dim() == 2}
    return matrices, {name: p for name, p in named.items() if name not in matrices}


def matrices_of(name: str, weight: Tensor) -> tuple[Tensor, ...]:
    """Views (out, in) of the matrices in a weight (in, out): three of c_attn, else one."""
    parts = weight.chunk(3, dim=1) if "c_attn" in name else (weight,)
    return tuple(part.t() for part in parts)


class Muon:
    """Muon over GPT-2's weights (in, out), by their names.

    `momentum` is all of its state: a tensor for each weight, in its shape, to be saved and copied
    back. `param_groups` holds the rate `lr`, as an optimizer's does.
    """

    def __init__(
        self,
        named: Mapping[str, Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = MOMENTUM,
    ) -> None:
        """For the weights `named`, whose updates have a spectral norm of about
        lr * sqrt(max(1, out / in)). Weight decay is decoupled: each update first multiplies the
        weight by 1 - lr * weight_decay.
        """
        self.named = dict(named)
        self.momentum = {name: torch.zeros_like(p) for name, p in self.named.items()}
        how = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        self.param_groups: list[dict[str, Any]] = [{"params": list(self.named.values()), **how}]

    @torch.no_grad()
    def step(self) -> None:
        """Update every weight that has a gradient."""
        (group,) = self.param_groups
        weights, gradients, buffers = list[Tensor](), list[Tensor](), list[Tensor]()
        for name, p in self.named.items():
            if p.grad is not None:
                weights += matrices_of(name, p)
                gradients += matrices_of(name, p.grad)
                buffers += matrices_of(name, self.momentum[name])
        muon(
            weights,
            gradients,
            buffers,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            nesterov=True,
            ns_coefficients=COEFFICIENTS,
            ns_steps=STEPS,
            eps=1e-7,
            adjust_lr_fn="original",
            has_complex=False,
        )
