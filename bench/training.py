"""One micro-batch of 1,024 tokens and a step of AdamW: ours, nanoGPT's, transformers'."""

from __future__ import annotations

import types
from pathlib import Path

import torch
from peers import SHAPE, load_nanogpt, nanogpt_model, our_model, transformers_model
from torch import Tensor
from turns import OURS, Job, table, turns

from shakegpt.config import FinetuneConfig
from shakegpt.optimizer import AdamW

TOKENS = 1024


def bench_training(nanogpt: Path | None, rounds: int) -> None:
    """One micro-batch of 1,024 tokens: forward, backward, one step of AdamW."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(SHAPE.vocab_size, (1, TOKENS + 1), generator=generator)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    jobs: dict[str, Job] = {OURS: our_step(x, y)}
    if nanogpt is not None:
        jobs["nanoGPT"] = nanogpt_step(load_nanogpt(nanogpt), x, y)
    jobs["transformers"] = transformers_step(x, y)
    table("training, a micro-batch of 1,024 and a step", turns(jobs, rounds), TOKENS, "tokens/s")


def our_step(x: Tensor, y: Tensor) -> Job:
    """Our training step on one micro-batch."""
    model = our_model().train()
    optimizer = AdamW(dict(model.named_parameters()), FinetuneConfig(learning_rate=3e-5))

    def step() -> None:
        model(x, y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def nanogpt_step(module: types.ModuleType, x: Tensor, y: Tensor) -> Job:
    """Its training step, as its train.py takes it on a CPU."""
    model = nanogpt_model(module).train()
    optimizer = model.configure_optimizers(0.1, 3e-5, (0.9, 0.95), "cpu")

    def step() -> None:
        _, loss = model(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def transformers_step(x: Tensor, y: Tensor) -> Job:
    """A plain loop around it, with PyTorch's default AdamW."""
    model = transformers_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.1)

    def step() -> None:
        logits = model(x).logits
        torch.nn.functional.cross_entropy(logits[0], y[0]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step
