"""Muon: what an update does to each matrix, that it is PyTorch's own, and that it resumes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from shakegpt import session
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.errors import ShakegptError
from shakegpt.hardware import memory
from shakegpt.model import GPT
from shakegpt.runlog.history import load
from shakegpt.train.muon import Muon, orthogonalize, split_parameters
from tests.tiny import random_model, tiny_config

MATRICES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


@pytest.fixture
def model() -> GPT:
    return random_model(n_layer=2, n_head=2, n_embd=32, block_size=16, vocab_size=48)


def set_gradients(weights: dict[str, Tensor], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in weights.values():
        p.grad = torch.randn(p.shape, generator=generator)


def test_the_matrices_of_the_blocks_and_nothing_else_are_its_own(model: GPT) -> None:
    matrices, others = split_parameters(dict(model.named_parameters()))
    assert set(matrices) == {f"h.{n}.{name}.weight" for n in range(2) for name in MATRICES}
    assert {*matrices, *others} == set(dict(model.named_parameters()))
    assert {"wte.weight", "wpe.weight", "ln_f.bias", "h.0.attn.c_attn.bias"} <= set(others)


def test_an_update_is_orthogonal_in_query_key_and_value_each(model: GPT) -> None:
    weights, _ = split_parameters(dict(model.named_parameters()))
    before = {name: p.detach().clone() for name, p in weights.items()}
    set_gradients(weights, 1)
    with torch.no_grad():  # values far larger than queries: alone they would fill the update
        for name, p in weights.items():
            if "c_attn" in name:
                assert p.grad is not None
                p.grad[:, 64:] *= 1000
    Muon(weights).step(0.1)
    for name, p in weights.items():
        update = (before[name] - p.detach()) / 0.1
        for part in update.chunk(3, 1) if "c_attn" in name else [update]:
            scale = math.sqrt(max(1.0, part.size(1) / part.size(0)))  # Conv1D: (in, out)
            values = torch.linalg.svdvals(part) / scale
            # of a random square matrix the least singular values are near zero and come up slowly
            assert values.max() < 1.25, name
            assert values.median() > 0.65, name


def test_updates_are_those_of_torch_optim_muon(model: GPT) -> None:
    weights, _ = split_parameters(dict(model.named_parameters()))
    theirs = {
        name: [torch.nn.Parameter(part.clone().t()) for part in pieces(name, p.detach())]
        for name, p in weights.items()
    }
    reference = torch.optim.Muon(
        [part for parts in theirs.values() for part in parts], lr=0.05, weight_decay=0.1
    )
    ours = Muon(weights, weight_decay=0.1)
    for step in range(3):
        set_gradients(weights, step)
        for name, p in weights.items():
            assert p.grad is not None
            for part, grad in zip(theirs[name], pieces(name, p.grad), strict=True):
                part.grad = grad.t()
        ours.step(0.05)
        reference.step()  # type: ignore[no-untyped-call]
    for name, p in weights.items():
        found = torch.cat([part.detach().t() for part in theirs[name]], 1)
        assert torch.equal(p.detach(), found), name


@pytest.mark.parametrize("shape", [(256, 256), (64, 2048), (2048, 64)])
def test_matrices_together_are_those_alone_to_the_bit(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    stored = [torch.randn(shape, generator=generator) for _ in range(5)]
    together = orthogonalize([weight.t() for weight in stored])
    for weight, found in zip(stored, together, strict=True):
        assert torch.equal(orthogonalize([weight.t()])[0], found)


def pieces(name: str, weight: Tensor) -> tuple[Tensor, ...]:
    return weight.chunk(3, 1) if "c_attn" in name else (weight,)


def test_weight_decay_shrinks_whatever_the_gradient(model: GPT) -> None:
    weights, _ = split_parameters(dict(model.named_parameters()))
    plain, decayed = ({n: p.detach().clone() for n, p in weights.items()} for _ in range(2))
    for named, decay in ((plain, 0.0), (decayed, 0.5)):
        set_gradients(named, 1)
        Muon(named, decay).step(0.1)
    for name, p in weights.items():
        torch.testing.assert_close(plain[name] - decayed[name], 0.05 * p.detach())


def test_its_momentum_is_all_there_is_to_resume(model: GPT) -> None:
    weights, _ = split_parameters(dict(model.named_parameters()))
    first = Muon(weights, 0.1)
    set_gradients(weights, 1)
    first.step(0.05)
    resumed = {name: p.detach().clone() for name, p in weights.items()}
    second = Muon(resumed, 0.1)
    for name, tensor in first.momentum.items():
        assert tensor.shape == weights[name].shape
        assert tensor.is_contiguous()
        second.momentum[name].copy_(tensor)
    for optimizer, named in ((first, weights), (second, resumed)):
        set_gradients(named, 2)
        optimizer.step(0.05)
    for name, p in weights.items():
        assert torch.equal(p.detach(), resumed[name]), name


def test_weights_without_a_gradient_stay(model: GPT) -> None:
    weights, _ = split_parameters(dict(model.named_parameters()))
    before = {name: p.detach().clone() for name, p in weights.items()}
    optimizer = Muon(weights)
    set_gradients(weights, 1)
    still = "h.0.attn.c_attn.weight"
    weights[still].grad = None
    optimizer.step(0.0)
    assert all(torch.equal(p.detach(), before[name]) for name, p in weights.items())
    optimizer.step(0.1)
    changed = {name for name, p in weights.items() if not torch.equal(p.detach(), before[name])}
    assert changed == set(weights) - {still}


def test_a_run_resumes_to_the_bit_in_either_row_of_memory(tmp_path: Path, text_file: Path) -> None:
    settings: dict[str, Any] = {"optimizer": "muon", "max_new_tokens": 0, "max_iters": 6}
    session.finetune(tiny_config(text_file, tmp_path / "whole", **settings))
    low = settings | {"memory": "low", "max_iters": 3}
    session.finetune(tiny_config(text_file, tmp_path / "parts", **low))
    session.resume(tmp_path / "parts", max_iters=6)
    for name in ("weights", "optimizer"):
        one, other = (
            load_file(tmp_path / run / f"state/000006/{name}.safetensors")
            for run in ("whole", "parts")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert {key for key in one if key.endswith("h.0.mlp.c_fc.weight")} == {
        "momentum.h.0.mlp.c_fc.weight"
    }
    evals = [load(tmp_path / run)[0].evals[6].val_loss for run in ("whole", "parts")]
    assert evals[0] == evals[1]


def test_its_rate_follows_that_of_adamw(tmp_path: Path, text_file: Path) -> None:
    """In a warm-up to the tenth of both rates, a matrix moves a tenth as far."""
    moved = list[Tensor]()
    for changes in ({}, {"decay_lr": True, "warmup_iters": 9}):
        run = tmp_path / str(len(moved))
        config = {"optimizer": "muon", "max_iters": 1, "weight_decay": 0.0, "max_new_tokens": 0}
        session.finetune(tiny_config(text_file, run, **config, **changes))
        weights = load_file(run / "state/000001/weights.safetensors")["h.0.mlp.c_fc.weight"]
        start = GPT(GPTConfig(n_layer=2, n_head=2, n_embd=32, block_size=32, vocab_size=4096))
        start.initialize(torch.Generator().manual_seed(FinetuneConfig.seed))
        moved.append(weights - dict(start.named_parameters())["h.0.mlp.c_fc.weight"].detach())
    torch.testing.assert_close(moved[1], 0.1 * moved[0], rtol=0.02, atol=1e-5)


def test_the_estimate_counts_one_number_a_weight_of_the_blocks() -> None:
    shape = GPTConfig(n_layer=2, n_head=2, n_embd=64)
    muon, adamw = (
        memory.estimate(shape, FinetuneConfig(optimizer=name)).optimizer
        for name in ("muon", "adamw")
    )
    assert adamw - muon == 4 * 2 * 12 * 64**2


def test_it_does_not_go_with_adapters() -> None:
    with pytest.raises(ShakegptError) as refused:
        FinetuneConfig(optimizer="muon", lora_rank=4)
    assert refused.value.exit_code == 2
