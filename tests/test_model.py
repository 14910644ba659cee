"""The model is GPT-2: the same logits and the same first updates as transformers' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.data.dataset import Dataset, as_tensors
from shakegpt.data.sources import load_text
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.model import GPT, GPTConfig
from shakegpt.nn import chunked_loss
from shakegpt.runlog import schema
from shakegpt.session import finetune
from tests.tiny import Listener, copy_vocabulary, random_model, tiny_config

SHAPES: list[dict[str, Any]] = [
    {"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 16, "vocab_size": 11},
    {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 24, "vocab_size": 300},
    {"n_layer": 5, "n_head": 3, "n_embd": 48, "block_size": 40, "vocab_size": 97},
    {"n_layer": 3, "n_head": 2, "n_embd": 24, "block_size": 7, "vocab_size": 50, "epsilon": 1e-3},
]


def reference(seed: int = 0, epsilon: float = 1e-5, **shape: Any) -> GPT2LMHeadModel:
    """Transformers' GPT-2 of a shape, with random weights, biases and LayerNorms."""
    config = GPT2Config(
        n_layer=shape["n_layer"],
        n_head=shape["n_head"],
        n_embd=shape["n_embd"],
        n_positions=shape["block_size"],
        vocab_size=shape["vocab_size"],
        layer_norm_epsilon=epsilon,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    model.train(False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            p.normal_(1.0 if "ln_" in name and p.dim() == 1 else 0.0, 0.15, generator=generator)
    return model


def tokens(vocab_size: int, *shape: int) -> Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def difference(ours: GPT, theirs: GPT2LMHeadModel) -> float:
    config = ours.config
    idx = tokens(config.vocab_size, 3, config.block_size)
    return float((ours(idx) - theirs(idx).logits).abs().max())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s['n_layer']}x{s['n_embd']}")
def test_random_checkpoints_give_the_logits_of_transformers(
    shape: dict[str, Any], tmp_path: Path
) -> None:
    theirs = reference(**shape)
    theirs.save_pretrained(tmp_path)
    assert difference(checkpoint.load(tmp_path), theirs) < 1e-4


def test_the_pocket_gives_the_logits_of_transformers() -> None:
    theirs: Any = GPT2LMHeadModel.from_pretrained(POCKET, dtype=torch.float32)
    assert difference(checkpoint.load(POCKET).eval(), theirs) < 1e-4


@torch.inference_mode()
def test_a_token_sees_nothing_of_what_comes_after_it() -> None:
    model = random_model(n_layer=2, n_head=2, n_embd=16, block_size=12, vocab_size=30).eval()
    idx = tokens(30, 1, 12)
    changed = idx.clone()
    changed[0, 8:] = (changed[0, 8:] + 1) % 30
    assert torch.equal(model(idx)[0, :8], model(changed)[0, :8])
    assert not torch.allclose(model(idx)[0, 8:], model(changed)[0, 8:])


@torch.inference_mode()
def test_losses_are_nats_a_token_in_their_places() -> None:
    model = random_model(n_layer=1, n_head=2, n_embd=16, block_size=12, vocab_size=30).eval()
    idx = tokens(30, 3, 13)
    x, y = idx[:, :-1], idx[:, 1:]
    each = chunked_loss.losses(model, x, y)
    expected = -model(x).log_softmax(-1).gather(2, y.unsqueeze(2)).squeeze(2)
    assert torch.allclose(each, expected, atol=1e-5)
    assert torch.allclose(model(x, y), each.mean())


def test_dropout_works_while_training_only() -> None:
    model = random_model(n_layer=2, n_head=2, n_embd=16, block_size=8, vocab_size=20, dropout=0.5)
    idx = tokens(20, 1, 8)
    model.train()
    assert not torch.equal(model(idx), model(idx))
    model.eval()
    assert torch.equal(model(idx), model(idx))


@pytest.mark.parametrize("shape", SHAPES[:3], ids=lambda s: f"{s['n_layer']}x{s['n_embd']}")
def test_parameters_are_counted_as_they_are(shape: dict[str, Any]) -> None:
    model = random_model(**shape)
    assert model.config.n_params == sum(p.numel() for p in model.parameters())


def test_the_released_sizes_have_their_published_parameter_counts() -> None:
    counts = {  # Hugging Face's files; the papers round them
        (12, 768): 124_439_808,
        (24, 1024): 354_823_168,
        (36, 1280): 774_030_080,
        (48, 1600): 1_557_611_200,
    }
    for (n_layer, n_embd), count in counts.items():
        assert GPTConfig(n_layer=n_layer, n_embd=n_embd).n_params == count


def test_initial_weights_are_those_of_gpt2s_training() -> None:
    model = random_model(n_layer=8, n_head=2, n_embd=64, block_size=64, vocab_size=500)
    model.initialize(torch.Generator().manual_seed(0))
    block: Any = model.h[3]
    assert block.attn.c_attn.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.c_proj.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert block.ln_1.weight.eq(1).all() and block.mlp.c_fc.bias.eq(0).all()


def plain_losses(
    theirs: GPT2LMHeadModel, dataset: Dataset, size: int, accumulate: int, rate: float
) -> list[float]:
    """Five updates by a loop of transformers and torch alone, on the same windows."""
    matrices = [p for p in theirs.parameters() if p.dim() >= 2]
    vectors = [p for p in theirs.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for iteration in range(1, 6):
        total = 0.0
        for micro_step in range(1, accumulate + 1):
            x, y = as_tensors(dataset.train, dataset.batch(iteration, micro_step, accumulate, size))
            logits = theirs(x).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
            torch.autograd.backward(loss / accumulate)
            total += loss.item() / accumulate
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses


def test_the_first_updates_are_those_of_a_plain_transformers_loop(
    tmp_path: Path, text_file: Path
) -> None:
    vocab_size = Tokenizer(POCKET).n_vocab
    theirs = reference(n_layer=2, n_head=2, n_embd=32, block_size=32, vocab_size=vocab_size)
    start = copy_vocabulary(tmp_path / "start")
    theirs.save_pretrained(start)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    dataset = Dataset(load_text([str(text_file)]), Tokenizer(start), 32, seed=1337)
    log = Listener()
    config = tiny_config(
        text_file,
        tmp_path / "run",
        init_from=str(start),
        block_size=None,
        max_iters=5,
        eval_interval=5,
        gradient_accumulation_steps=3,
        learning_rate=3e-3,
        max_new_tokens=0,
    )
    finetune(config, log)
    ours = [e for e in log.records if isinstance(e, schema.Step)]
    expected = plain_losses(theirs.train(), dataset, size=4, accumulate=3, rate=3e-3)
    assert [e.loss for e in ours] == pytest.approx(expected, abs=1e-4)
    assert any((e.grad_norm or 0) > 1 for e in ours), "clipping was not put to the test"
    assert expected[-1] < expected[0] - 0.5, "the updates were too small to tell anything"
