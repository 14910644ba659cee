"""AdamW to the bit as PyTorch's own, without importing PyTorch's compiler; and its rate."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from shakegpt.config import FinetuneConfig
from shakegpt.finetune import learning_rate
from tests.commands import ROOT
from tests.tiny import adamw, random_model

SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 8, "vocab_size": 20}


def test_updates_are_those_of_torch_to_the_bit() -> None:
    config = FinetuneConfig(weight_decay=0.3, beta1=0.8, beta2=0.95)
    ours, theirs = (random_model(1, **SHAPE) for _ in range(2))
    groups = [
        {"params": [p for p in theirs.parameters() if p.dim() >= 2], "weight_decay": 0.3},
        {"params": [p for p in theirs.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    one = adamw(dict(ours.named_parameters()), config)
    two = torch.optim.AdamW(groups, betas=(0.8, 0.95), fused=True)
    x = torch.randint(0, 20, (2, 8), generator=torch.Generator().manual_seed(1))
    for k in range(1, 6):
        for model, optimizer in ((ours, one), (theirs, two)):
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 / k
            model(x, x).backward()
            optimizer.step()
            optimizer.zero_grad()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)
        for key in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(one.state[p][key], two.state[q][key])


def test_weights_decay_in_matrices_only() -> None:
    model = random_model(**SHAPE)
    named = dict(model.named_parameters())
    decayed, plain = adamw(named, FinetuneConfig(weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3 and plain["weight_decay"] == 0
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(named)


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    plain = FinetuneConfig(learning_rate=1.0)
    assert {learning_rate(plain, k) for k in range(1, 30)} == {1.0}
    config = FinetuneConfig(
        learning_rate=1.0, decay_lr=True, warmup_iters=4, max_iters=14, min_lr=0.1
    )
    rates = [learning_rate(config, k) for k in range(1, 18)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[8] == pytest.approx(0.55), "half-way along the cosine"
    assert rates[13:] == pytest.approx([0.1] * 4)
    assert rates[4:14] == sorted(rates[4:14], reverse=True)


def test_training_does_without_the_compiler() -> None:
    """Importing it takes half as long as PyTorch itself, and 70 MB."""
    code = """if True:
        import sys, torch
        from shakegpt import config
        from shakegpt.checkpoint import io as checkpoint
        from shakegpt import finetune
        from shakegpt.train import optimizer
        model = checkpoint.load(checkpoint.POCKET)
        named = dict(model.named_parameters())
        groups = finetune.parameter_groups(named, config.FinetuneConfig())
        steps = optimizer.AdamW(named, groups)
        x = torch.zeros(1, 8, dtype=torch.long)
        model(x, x).backward()
        steps.step()
        steps.zero_grad()
        print(sorted({"torch._dynamo", "sympy", "transformers"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
