"""The head in chunks: the loss and the gradients that plain autograd finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from shakegpt.distributed.group import Team
from shakegpt.hardware.device import Place
from shakegpt.model import GPT, GPTConfig
from shakegpt.nn import blocks, chunked_loss
from shakegpt.nn.chunked_loss import ChunkedCrossEntropy
from shakegpt.train.setup import training_loss

SMALL = GPTConfig(n_layer=2, n_head=2, n_embd=32, block_size=300, vocab_size=131)


def made(config: GPTConfig = SMALL) -> GPT:
    model = GPT(config)
    model.initialize(torch.Generator().manual_seed(1))
    return model.train()


def windows(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    some = torch.Generator().manual_seed(2)
    idx = torch.randint(SMALL.vocab_size, (batch, length + 1), generator=some)
    return idx[:, :-1], idx[:, 1:]


def backward(loss: torch.Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def gradients(model: GPT) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (2, 256), (2, 257), (4, 300)])
def test_losses_and_gradients_are_those_of_plain_autograd(
    batch: int, length: int, tied: bool
) -> None:
    shape = replace(SMALL, tie_word_embeddings=tied)
    model, other, (x, y) = made(shape), made(shape), windows(batch, length)
    lean = ChunkedCrossEntropy(model, 0.5)
    for _ in range(2):  # two micro-steps: gradients add up
        loss, plain = lean(x, y), other(x, y)
        backward(loss / 2)
        backward(plain / 2)
        assert loss.item() == pytest.approx(plain.item(), abs=1e-6)
    found, wanted = gradients(model), gradients(other)
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=2e-4, atol=2e-7, msg=name)


def test_in_bfloat16_they_agree_as_far_as_it_goes() -> None:
    model, other, (x, y) = made(), made(), windows(4, 300)
    with torch.autocast("cpu", torch.bfloat16):
        loss, plain = ChunkedCrossEntropy(model, 1.0)(x, y), other(x, y)
    backward(loss)
    backward(plain)
    assert loss.item() == pytest.approx(plain.item(), abs=1e-3)
    found, wanted = gradients(model), gradients(other)
    for name in wanted:
        assert found[name].dtype == torch.float32
        assert (found[name] - wanted[name]).norm() < 0.02 * wanted[name].norm(), name


def test_a_loss_multiplied_by_another_factor_is_refused() -> None:
    loss = ChunkedCrossEntropy(made(), 0.5)(*windows(1, 8))
    with pytest.raises(RuntimeError, match=r"gradient 0\.5, got 0\.25"):
        backward(loss / 4)


def test_a_frozen_head_gets_no_gradient_and_passes_the_same_on() -> None:
    model, other, (x, y) = made(), made(), windows(2, 64)
    for one in (model, other):
        one.wte.weight.requires_grad_(False)
    backward(ChunkedCrossEntropy(model, 1.0)(x, y))
    backward(other(x, y))
    assert model.wte.weight.grad is None
    for name, wanted in gradients(other).items():
        torch.testing.assert_close(gradients(model)[name], wanted, rtol=2e-4, atol=2e-7)


def test_losses_of_each_token() -> None:
    model, (x, y) = made().eval(), windows(4, 300)
    wanted = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="none")
    torch.testing.assert_close(chunked_loss.losses(model, x, y), wanted.view(4, 300))


def test_a_hopeless_guess_costs_what_it_costs() -> None:
    """A token of probability e^-200, which is zero in float32, still has a finite loss."""
    model = made().eval()
    with torch.no_grad():
        model.ln_f.weight.fill_(40.0)
        model.wte.weight.mul_(40.0)
    x, y = windows(1, 64)
    found = chunked_loss.losses(model, x, y)
    wanted = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="none")
    assert wanted.max() > 150
    torch.testing.assert_close(found[0], wanted)


def test_where_the_self_test_fails_the_loss_is_the_models_own() -> None:
    assert chunked_loss.chunked_loss_works("cpu")
    assert not chunked_loss.chunked_loss_works("meta"), "no numbers to compare there"
    place, model = Place("cpu", "", "float32", ""), made()
    assert isinstance(training_loss(model, 1, Team(), place), ChunkedCrossEntropy)
    assert training_loss(model, 1, Team(), replace(place, dtype="float16")) is model
    assert training_loss(model, 1, Team(), replace(place, device="meta")) is model


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_recomputed_blocks_change_no_bit(dropout: float) -> None:
    config = replace(SMALL, dropout=dropout)
    kept, again, (x, y) = made(config), made(config), windows(2, 64)
    blocks.install(kept, recompute=False)
    blocks.install(again, recompute=True)
    found = []
    for model in (kept, again):
        torch.manual_seed(3)
        loss = ChunkedCrossEntropy(model, 1.0)(x, y)
        backward(loss)
        found.append((loss, gradients(model)))
    (loss, wanted), (other, got) = found
    assert torch.equal(loss, other)
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)
