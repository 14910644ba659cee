"""AdamW as GPT-2 is finetuned with, and the rate it goes at."""

from __future__ import annotations

import math

import torch

from shakegpt.config import FinetuneConfig
from shakegpt.model import GPT


def make_optimizer(model: GPT, config: FinetuneConfig) -> torch.optim.AdamW:
    """Fused AdamW; weight decay on matrices only, not on biases and LayerNorms."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True
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
