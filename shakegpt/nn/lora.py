"""LoRA: learn a small change beside some matrices of each block, and leave the model as it is.

A matrix W (in, out) is frozen, and x W becomes x W + x A B * alpha / rank with A (in, rank) drawn
at random and B (rank, out) zero, so that training begins at the model itself. Gradients, moments
and saved states are those of A and B alone: of GPT-2 Large's 774 million numbers, 1.5 million at
rank 8. Merged, W + A B * alpha / rank, it is an ordinary checkpoint.

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
    """A frozen matrix and the change that is learned beside it, `lora_a` times `lora_b`."""

    def __init__(self, matrix: Conv1D, config: FinetuneConfig, draw: Generator) -> None:
        """Takes the weights of `matrix`. A as `nn.Linear` begins, within 1 / sqrt(in); B zero."""
        nn.Module.__init__(self)
        self.weight, self.bias = matrix.weight, matrix.bias
        (n_in, n_out), rank = matrix.weight.shape, config.lora_rank or 0
        most = 1 / math.sqrt(n_in)
        self.lora_a = nn.Parameter(torch.empty(n_in, rank).uniform_(-most, most, generator=draw))
        self.lora_b = nn.Parameter(torch.zeros(rank, n_out))
        self.scale, self.dropout = config.lora_alpha / rank, config.lora_dropout

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out); the change goes by way of `rank` numbers a token."""
        low = F.dropout(x, self.dropout, self.training) @ self.lora_a
        return linear(x, self.weight, self.bias) + low @ (self.lora_b * self.scale)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The one matrix (in, out) that does the same."""
        return torch.addmm(self.weight, self.lora_a, self.lora_b, alpha=self.scale)


def adapt(model: GPT, config: FinetuneConfig) -> GPT:
    """Freeze `model` and begin a change beside each matrix that --lora-targets names."""
    model.requires_grad_(False)
    draw = Generator().manual_seed(config.seed)
    for block in model.h:
        for target in config.lora_targets:
            owner, _, leaf = target.partition(".")
            room = block.get_submodule(owner)
            setattr(room, leaf, Adapted(getattr(room, leaf), config, draw))
    return model


def trained(model: GPT) -> dict[str, nn.Parameter]:
    """Name -> parameter, of those that training changes: all, or those of the changes alone."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def merged(model: GPT) -> Iterator[tuple[str, Tensor]]:
    """The weights of the checkpoint that `model` amounts to, by name; `model` stays adapted."""
    for name, p in model.named_parameters():
        owner, _, leaf = name.rpartition(".")
        layer = model.get_submodule(owner)
        if isinstance(layer, Adapted) and leaf == "weight":
            yield name, layer.merged()
        elif not leaf.startswith("lora_"):
            yield name, p.detach()


def take(model: GPT, weights: dict[str, Tensor], base: str | None) -> None:
    """Put saved changes into `model`, when it is the one that they were learned beside.

    Raises ShakegptError when `base`, its `fingerprint` then, is not its fingerprint now.
    """
    ours = trained(model)
    if base != fingerprint(model) or ours.keys() != weights.keys():
        raise ShakegptError(
            "the model that this run began with is not what --init-from leads to now, and LoRA's "
            "state is a change of it: put it back, or start a new run"
        )
    with torch.no_grad():
        for name, p in ours.items():
            p.copy_(weights[name])


_FINGERPRINTS: WeakKeyDictionary[GPT, str] = WeakKeyDictionary()


def fingerprint(model: GPT) -> str | None:
    """A sha256 of the frozen weights, which no state of the run holds; None when all are learned.

    Taken once, a second or so a gigabyte: they do not change.
    """
    frozen = [(name, p) for name, p in model.named_parameters() if not p.requires_grad]
    if frozen and model not in _FINGERPRINTS:
        digest = hashlib.sha256()
        for name, p in frozen:
            digest.update(name.encode())
            digest.update(p.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        _FINGERPRINTS[model] = digest.hexdigest()
    return _FINGERPRINTS.get(model)
