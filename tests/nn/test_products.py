"""Training's products by oneDNN are those of PyTorch's own, and where its heap lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from shakegpt.hardware import fast_paths
from shakegpt.nn import matmul
from tests.tiny import random_model

NEEDS_ONEDNN = pytest.mark.skipif(not matmul.onednn_works(), reason="no oneDNN here")
SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 48, "block_size": 70, "vocab_size": 50}


def passes(install: bool, frozen: bool) -> list[torch.Tensor | None]:
    """The loss of a model and all its gradients; `frozen`: of the weights of one layer, none."""
    model = random_model(**SHAPE)
    layer: Any = model.h[1]
    layer.mlp.c_fc.requires_grad_(not frozen)
    if install:
        matmul.install(model)
    idx = torch.randint(50, (3, 71), generator=torch.Generator().manual_seed(1))
    loss = model(idx[:, :-1], idx[:, 1:])
    loss.backward()
    return [loss.detach(), *(p.grad for _, p in sorted(model.named_parameters()))]


@NEEDS_ONEDNN
@pytest.mark.parametrize("frozen", [False, True])
def test_products_by_onednn_are_those_of_the_plain_model(frozen: bool) -> None:
    ours, plain = passes(True, frozen), passes(False, frozen)
    assert [mine is None for mine in ours] == [wanted is None for wanted in plain]
    assert (None in ours) == frozen
    for mine, wanted in zip(ours, plain, strict=True):
        if mine is not None and wanted is not None:
            torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-5)


@NEEDS_ONEDNN
def test_other_dtypes_are_left_to_pytorch() -> None:
    x, weight = torch.ones(2, 4), torch.ones(4, 3)
    assert matmul.can_use_onednn(x, weight)
    assert not matmul.can_use_onednn(x.double(), weight.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not matmul.can_use_onednn(x, weight)


def test_a_fast_path_that_fails_its_self_test_or_is_switched_off_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails() -> bool:
        raise RuntimeError("no such operator")

    assert fast_paths.self_test(lambda: True)()
    assert not fast_paths.self_test(lambda: False)() and not fast_paths.self_test(fails)()
    monkeypatch.setenv(fast_paths.PLAIN, "1")
    assert not fast_paths.self_test(lambda: True)()


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
given, many = allocator.keep_freed_memory(1 << 28), again()
allocator.available_memory = lambda: 10 << 30
kept, few = allocator.keep_freed_memory(1 << 28), again()
assert kept and not given and few < many / 100, (kept, given, few, many)
"""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
