"""Training's products by oneDNN are those of PyTorch's own, and where its heap lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shakegpt.nn import matmul

pytestmark = pytest.mark.skipif(not matmul.ONEDNN, reason="this PyTorch has no oneDNN")


def product(on: bool, frozen: bool, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor | None]:
    """A result of `affine` and the gradients of all that went in."""
    monkeypatch.setattr(matmul, "ONEDNN", on)
    draw = torch.Generator().manual_seed(1)
    shapes = ((70, 48), (48, 96), (96,))
    x, weight, bias = (torch.randn(s, generator=draw).requires_grad_() for s in shapes)
    weight.requires_grad_(not frozen)
    bias.requires_grad_(not frozen)
    y = matmul.affine(x, weight, bias)
    y.backward(torch.randn(y.shape, generator=draw))  # type: ignore[no-untyped-call]
    return [y.detach(), x.grad, weight.grad, bias.grad]


@pytest.mark.parametrize("frozen", [False, True])
def test_the_faster_products_are_the_same_ones(
    frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, plain = (product(on, frozen, monkeypatch) for on in (True, False))
    for mine, wanted in zip(ours, plain, strict=True):
        assert (mine is None) == (wanted is None)
        if mine is not None and wanted is not None:
            torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=2e-5)
    assert (ours[2] is None) == frozen


def test_narrow_arithmetic_and_other_numbers_are_left_to_pytorch() -> None:
    x, weight = torch.ones(2, 4), torch.ones(4, 3)
    assert matmul.suits(x, weight)
    assert not matmul.suits(x.double(), weight.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not matmul.suits(x, weight)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_a_run_that_fits_keeps_its_memory_and_one_that_does_not_gives_it_back() -> None:
    code = """
import resource, torch
from shakegpt.hardware import allocator
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def again():
    torch.ones(1 << 24); before = faults()
    for _ in range(3): torch.ones(1 << 24)
    return faults() - before
allocator.available_memory = lambda: 0
given, many = allocator.settle_allocator(1 << 28), again()
allocator.available_memory = lambda: 10 << 30
kept, few = allocator.settle_allocator(1 << 28), again()
assert kept and not given and few < many / 100, (kept, given, few, many)
"""
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
