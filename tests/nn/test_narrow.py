"""Weights in fewer bits: close to what they were, the same by every way, their cost told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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
from shakegpt.nn.quantize import FEW, Bits, WeightedRows, losses
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


@pytest.fixture(params=["native", "bags", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> quantize.Way:
    """Each way to multiply a row."""
    found: quantize.Way = request.param
    if found == "native" and shutil.which("cc") is None:
        pytest.skip("no C compiler")
    works = {"native": quantize.native_products_work, "bags": quantize.weighted_rows_work}
    assert found == "plain" or all(works[found](bits) for bits in BITS)
    monkeypatch.setattr(quantize, "way", lambda bits, device: found)
    return found


@torch.inference_mode()
def test_int8_rounds_to_the_nearest_of_255_steps(way: quantize.Way) -> None:
    """Of the range of a block of an output's inputs, of a segment of an input's outputs, or of an
    output."""
    weight = torch.randn(1000, 24, generator=torch.Generator().manual_seed(1))
    weight *= (
        torch.logspace(-3, 3, 24) if way == "bags" else torch.logspace(-6, 3, 1000).view(-1, 1)
    )
    weight[7] = 0
    matrix = quantize.quantized(weight, "int8")
    assert isinstance(matrix, WeightedRows) is (way == "bags")
    error = (matrix.row(torch.arange(1000)) - weight).abs()
    step = weight.abs().amax(0 if way == "bags" else 1, keepdim=True) / 127
    assert bool((error <= 0.52 * step + 1e-12).all()) and float(error.max()) > 0


@pytest.mark.parametrize(("n_out", "n_in"), [(64, 32), (1000, 48), (9, 1), (385, 20), (5, 600)])
@pytest.mark.parametrize("bits", BITS)
@torch.inference_mode()
def test_few_rows_and_many_are_multiplied_alike(
    bits: Bits, n_out: int, n_in: int, way: quantize.Way
) -> None:
    """Of any width and height; rows keep their own ranges, of whichever sign."""
    random = torch.Generator().manual_seed(1)
    weight = torch.randn(n_out, n_in, generator=random)
    x = torch.randn(3 * FEW, n_in, generator=random)
    x[1] *= -50
    x[2] = 0
    matrix, plain = quantize.quantized(weight, bits), x @ weight.t()
    size = x.abs().amax(1, keepdim=True) * n_in**0.5
    for rows in (1, 2, 3, FEW, FEW + 1, 3 * FEW):
        found = matrix(x[:rows])
        assert found.shape == (rows, n_out) and found.dtype == torch.float32
        assert bool(((found - plain[:rows]).abs() <= 0.03 * size[:rows]).all()), rows
    ids = torch.tensor([[0, n_out - 1], [n_out // 2, 3]])
    assert torch.allclose(matrix.row(ids), weight[ids], rtol=0.01, atol=0.04)


@torch.inference_mode()
def test_a_quantized_model_has_the_numbers_of_its_matrices(way: quantize.Way) -> None:
    """They are moved side by side in memory: none overlaps another."""
    for bits in BITS:
        whole: Any = pocket()
        model: Any = pocket(bits)
        for block, plain in zip(model.h, whole.h, strict=True):
            for layer, conv in (
                (block.attn.c_proj, plain.attn.c_proj),
                (block.mlp.c_fc, plain.mlp.c_fc),
            ):
                wanted = quantize.quantized(conv.weight.t(), bits)
                ids = torch.arange(conv.weight.size(1))
                assert torch.equal(layer.matrix.row(ids), wanted.row(ids))


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
