"""A head with weights of its own, and exact GELU: trained, saved and resumed like any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from shakegpt.checkpoint import io as checkpoint
from shakegpt.hardware import memory
from shakegpt.nn.quantize import losses, quantize
from shakegpt.runlog.history import load
from shakegpt.session import finetune, resume
from tests.gpt2s import Recipe, make
from tests.tiny import tiny_config

BATCH = torch.tensor([[1, 5, 30, 299, 2, 7]])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    make(Recipe(head="own", activation="gelu", rows_beyond=3), folder / "model", folder)
    return folder / "model"


def trained(source: Path, text_file: Path, out: Path, **changes: Any) -> Path:
    usual = {"init_from": str(source), "block_size": 16, "max_iters": 2, "eval_interval": 1}
    return finetune(tiny_config(text_file, out, **(usual | changes)))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(checkpoint.load(run / "model").named_parameters())


@pytest.fixture(scope="module")
def run(source: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(source, text_file, tmp_path_factory.mktemp("runs") / "run")


def test_head_and_embedding_learn_apart(source: Path, run: Path) -> None:
    before, after = dict(checkpoint.load(source).named_parameters()), weights(run)
    for name in ("wte.weight", "lm_head.weight"):
        assert not torch.equal(before[name], after[name]), name
    header = load(run)[0].run
    assert header is not None and not header.model.tied
    assert header.model.n_params == sum(p.numel() for p in before.values())
    shape = checkpoint.read_config(source)
    assert memory.estimate(shape, tiny_config(source, run)).weights == 4 * header.model.n_params


def test_transformers_computes_the_same(run: Path) -> None:
    loader: Any = AutoModelForCausalLM
    theirs, told = loader.from_pretrained(run / "model", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    with torch.inference_mode():
        logits = checkpoint.load(run / "model").eval()(BATCH)
        assert torch.allclose(theirs.eval()(BATCH).logits, logits, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"memory": "low"}, {"memory": "lowest"}, {"gradient_accumulation_steps": 1}]
)
def test_a_resumed_run_is_the_same_to_the_bit(
    changes: dict[str, Any], source: Path, text_file: Path, tmp_path: Path
) -> None:
    whole = trained(source, text_file, tmp_path / "whole", **changes)
    stopped = trained(source, text_file, tmp_path / "stopped", **changes, max_iters=1)
    resume(stopped, 2)
    ours, theirs = weights(whole), weights(stopped)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_lora_leaves_it_alone(source: Path, text_file: Path, tmp_path: Path) -> None:
    adapted = trained(source, text_file, tmp_path / "run", lora_rank=2, learning_rate=1e-1)
    before, after = dict(checkpoint.load(source).named_parameters()), weights(adapted)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"h.0.attn.c_attn.weight", "h.1.attn.c_attn.weight"}


def test_in_eight_bits_it_loses_little(run: Path) -> None:
    model = checkpoint.load(run / "model").eval()
    exact = losses(model, BATCH[:, :-1], BATCH[:, 1:])
    quantize(model, "int8")
    assert torch.allclose(losses(model, BATCH[:, :-1], BATCH[:, 1:]), exact, atol=0.3)
