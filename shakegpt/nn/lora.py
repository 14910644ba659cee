"""LoRA: train low-rank adapters of some matrices of each block, with the model itself frozen.

A matrix W (in, out) is frozen, and x W becomes x W + x A B * alpha / rank with random A (in, rank)
and zero B (rank, out), so that training starts with the model itself. Gradients, moments and saved
states are those of A and B only: of GPT-2 Large's 774 million parameters, 1.5 million at rank 8.
Merged, W + A B * alpha / rank, it is an ordinary checkpoint.

Reference: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT, Conv1D
from shakegpt.nn.matmul import linear


class Adapted(Conv1D):
    """A frozen matrix with its adapter, `lora_a` times `lora_b`."""

    def __init__(self, matrix: Conv1D, config: FinetuneConfig, generator: Generator) -> None:
        """Shares the weights of `matrix`. A is uniform within 1 / sqrt(in), as in `nn.Linear`."""
        nn.Module.__init__(self)
        self.weight, self.bias = matrix.weight, matrix.bias
        (n_in, n_out), rank = matrix.weight.shape, config.lora_rank or 0
        bound = 1 / math.sqrt(n_in)
        a = torch.empty(n_in, rank).uniform_(-bound, bound, generator=generator)
        self.lora_a = nn.Parameter(a)
        self.lora_b = nn.Parameter(torch.zeros(rank, n_out))
        self.scale, self.dropout = config.lora_alpha / rank, config.lora_dropout

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        low = F.dropout(x, self.dropout, self.training) @ self.lora_a
        return linear(x, self.weight, self.bias) + low @ (self.lora_b * self.scale)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The equivalent matrix (in, out)."""
        return torch.addmm(self.weight, self.lora_a, self.lora_b, alpha=self.scale)


def adapt(model: GPT, config: FinetuneConfig) -> GPT:
    """Freeze `model` and add an adapter to each matrix in --lora-targets; returns `model`."""
    model.requires_grad_(False)
    generator = Generator().manual_seed(config.seed)
    for block in model.h:
        for target in config.lora_targets:
            owner, _, leaf = target.partition(".")
            parent = block.get_submodule(owner)
            setattr(parent, leaf, Adapted(getattr(parent, leaf), config, generator))
    return model


def trainable(model: GPT) -> dict[str, nn.Parameter]:
    """Trainable parameters by name: all, or with LoRA those of the adapters."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def merged(model: GPT) -> Iterator[tuple[str, Tensor]]:
    """The weights of the equivalent checkpoint by name; `model` keeps its adapters."""
    for name, p in model.named_parameters():
        owner, _, leaf = name.rpartition(".")
        layer = model.get_submodule(owner)
        if isinstance(layer, Adapted) and leaf == "weight":
            yield name, layer.merged()
        elif not leaf.startswith("lora_"):
            yield name, p.detach()


def restore(model: GPT, weights: dict[str, Tensor], base: str | None) -> None:
    """Restore saved adapters of `model`.

    Raises ShakegptError unless `base`, the `fingerprint` of their model, is that of `model`.
    """
    adapters = trainable(model)
    if base != fingerprint(model) or adapters.keys() != weights.keys():
        raise ShakegptError(
            "cannot resume: the model at --init-from has changed, and LoRA's saved state is an "
            "adapter of the old one; restore that model, or start a new run"
        )
    with torch.no_grad():
        for name, p in adapters.items():
            p.copy_(weights[name])


_FINGERPRINTS: WeakKeyDictionary[GPT, str] = WeakKeyDictionary()


def fingerprint(model: GPT) -> str | None:
    """The sha256 of the frozen weights, which no state contains; None if no weights are frozen.

    Computed once, in about a second per gigabyte, since they do not change.
    """
    frozen = [(name, p) for name, p in model.named_parameters() if not p.requires_grad]
    if frozen and model not in _FINGERPRINTS:
        digest = hashlib.sha256()
        for name, p in frozen:
            digest.update(name.encode())
            digest.update(p.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        _FINGERPRINTS[model] = digest.hexdigest()
    return _FINGERPRINTS.get(model)
