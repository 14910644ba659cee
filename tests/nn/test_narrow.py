"""Weights in fewer bits: close to what they were, the same by every way, their cost told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.cli import main
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from shakegpt.nn import quantize, quantize_cost
from shakegpt.nn.fast_decode import SlidingWindow
from shakegpt.nn.quantize import FEW, Bf16, Bits, Int8, losses
from shakegpt.nn.quantize_cost import quantize_and_measure
from tests.runlog.test_runs import header
from tests.tiny import play, random_model

BITS: list[Bits] = ["bf16", "int8"]
TOKENIZER = Tokenizer(POCKET)
IDS = torch.tensor(TOKENIZER.encode(play())[: 4 * 128 + 1])


def pocket(bits: Bits | None = None) -> GPT:
    model = checkpoint.load(POCKET).eval()
    if bits is not None:
        quantize.quantize(model, bits)
    return model


@pytest.fixture(scope="module")
def exact() -> torch.Tensor:
    return losses(pocket(), IDS[:-1].view(4, 128), IDS[1:].view(4, 128))


@pytest.mark.parametrize("bits", BITS)
def test_the_pocket_loses_next_to_nothing(bits: Bits, exact: torch.Tensor) -> None:
    found = losses(pocket(bits), IDS[:-1].view(4, 128), IDS[1:].view(4, 128))
    assert abs(float((found - exact).mean())) < 0.01
    assert 0 < float((found - exact).abs().mean()) < 0.05, "or nothing was narrowed at all"


def test_the_losses_of_a_model_as_it_is_are_its_own(exact: torch.Tensor) -> None:
    with torch.inference_mode():
        logits = pocket()(IDS[:-1].view(4, 128))
    own = torch.nn.functional.cross_entropy(logits.flatten(0, 1), IDS[1:], reduction="none")
    assert torch.allclose(exact.flatten(), own, atol=1e-4)


@pytest.mark.parametrize("bits", BITS)
@torch.inference_mode()
def test_one_token_at_a_time_is_the_whole_text(bits: Bits) -> None:
    model, whole = pocket(bits), pocket()
    window, text = SlidingWindow(model, TOKENIZER.n_vocab), IDS[:40].tolist()
    for end in (30, 31, 32, 40):  # a prompt, one token, one more, several
        found = window.predict(text[:end]).log_softmax(0).exp()
        wanted = whole(torch.tensor([text[:end]]))[0, -1].softmax(0)
        assert float((found - wanted).abs().sum()) < 0.08, end


@torch.inference_mode()
def test_int8_rounds_to_the_nearest_of_255_steps_of_each_row() -> None:
    weight = torch.randn(40, 24, generator=torch.Generator().manual_seed(1))
    weight *= torch.logspace(-6, 3, 40).unsqueeze(1)
    weight[7] = 0
    matrix = Int8(weight)
    error = (matrix.row(torch.arange(40)) - weight).abs()
    step = weight.abs().amax(1, keepdim=True) / 127
    assert bool((error <= 0.75 * step + 1e-12).all())  # half a step, and the scale's own rounding
    assert bool((matrix.row(torch.tensor([7])) == 0).all())


@pytest.mark.parametrize("kind", [Int8, Bf16])
@torch.inference_mode()
def test_few_rows_and_many_are_multiplied_alike(kind: type[Int8 | Bf16]) -> None:
    random = torch.Generator().manual_seed(1)
    weight, x = torch.randn(64, 32, generator=random), torch.randn(3 * FEW, 32, generator=random)
    matrix = kind(weight)
    whole = matrix(x)
    assert torch.allclose(whole[:2], matrix(x[:2]), rtol=0.02, atol=0.05)
    assert torch.allclose(whole, x @ weight.t(), rtol=0.02, atol=0.3)


@pytest.mark.parametrize("works", [True, False])
@torch.inference_mode()
def test_int8_with_each_of_its_kernels(works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with none of them. Rows keep their own ranges, of whichever sign."""
    monkeypatch.setattr(quantize, "int8_products_work", lambda: False)
    monkeypatch.setattr(quantize, "int8_kernel_works", lambda: works)
    weight, x = torch.linspace(-1, 1, 32 * 64).sin().view(64, 32), torch.linspace(-3, 9, 96)
    x = x.view(3, 32) * torch.tensor([[1.0], [-50], [0]])
    expected = Int8(weight)(x)
    assert torch.allclose(expected, x @ weight.t(), rtol=0.02, atol=0.02 * float(x.abs().max()))
    monkeypatch.undo()
    for rows in (x, x[:1], x[1:2], x[2:]):
        error = Int8(weight)(rows) - rows @ weight.t()
        assert bool((error.abs() <= 0.04 * rows.abs().amax(1, keepdim=True) + 1e-6).all())


@pytest.mark.parametrize("width", [8, 20, 48, 100])
def test_int8_of_any_width(width: int) -> None:
    """In a process of its own: the kernel reads beyond rows that it is not made for."""
    code = f"""if True:
        import torch
        from shakegpt.nn.quantize import Int8
        weight = torch.linspace(-1, 1, 24 * {width}).view(24, {width}).sin()
        x = torch.linspace(-1, 1, 2 * {width}).view(2, {width})
        assert torch.allclose(Int8(weight)(x), x @ weight.t(), rtol=0.1, atol=0.1)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_int8_is_for_cpus() -> None:
    with torch.device("meta"):
        model = random_model(n_layer=1, n_head=1, n_embd=8, block_size=8, vocab_size=9).to("meta")
    with pytest.raises(ShakegptError, match=r"--dtype int8 is for CPUs.* meta"):
        quantize.quantize(model, "int8")


def test_the_cost_is_measured_on_the_text(text_file: Path) -> None:
    run = header(0, dataset=[str(text_file)])
    said = quantize_and_measure(pocket(), TOKENIZER, run, "int8")
    before, after = (float(said.split(" -> ")[k].split()[0 if k else -1]) for k in (0, 1))
    assert abs(after - before) < 0.05 and 2 < before < 12
    assert " tokens of " in said and "+-" in said


def test_without_the_text_it_says_that_nothing_was_measured(tmp_path: Path) -> None:
    run = header(0, dataset=[str(tmp_path / "gone.txt")])
    said = quantize_and_measure(pocket(), TOKENIZER, run, "bf16")
    assert "not measured" in said and "gone.txt" in said


def test_the_verb_says_the_cost_before_it_writes(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--dtype", "int8", "--max-new-tokens", "3", "--prompt", "ROMEO:"]
    assert main.main(["sample", "pocket", *flags]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("ROMEO:") and err.startswith("shakegpt: weights in int8")


def test_the_cost_is_measured_once_for_a_model(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again when the weights, the text or the dtype are others."""
    monkeypatch.setenv("SHAKEGPT_CACHE", str(tmp_path / "cache"))
    weights, run = tmp_path / "weights", header(0, dataset=[str(text_file)])
    weights.write_bytes(b"1")
    measured = []

    def measure(*_: object) -> torch.Tensor:
        measured.append(1)
        return torch.tensor([1.0, 2.0 + len(measured)])

    monkeypatch.setattr(quantize_cost, "_val_losses", measure)

    def say(bits: quantize.Bits = "int8") -> str:
        model = pocket()
        said = quantize_and_measure(model, TOKENIZER, run, bits, [weights])
        assert isinstance(model.wte, quantize.QuantizedEmbedding)
        return said

    first = say()
    assert len(measured) == 2 and say() == first and len(measured) == 2
    assert say("bf16") != first and len(measured) == 4
    weights.write_bytes(b"12")
    assert say() != first and len(measured) == 6
