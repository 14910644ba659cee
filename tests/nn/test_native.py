"""What is computed in C is the same as without it, and nothing depends on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.data.cache import cache_dir
from shakegpt.model import GPT, Conv1D
from shakegpt.nn import native, quantize
from shakegpt.nn.fast_decode import Step, fastest_step, store_by_output
from shakegpt.nn.kv_cache import KVCache
from shakegpt.nn.native_step import NativeStep
from shakegpt.nn.quantize import Bits
from tests.commands import Commands
from tests.tiny import random_model

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
Hinder = Callable[[Path, pytest.MonkeyPatch], None]
BITS: list[Bits] = ["bf16", "int8"]
SAMPLE = ("sample", "pocket", "--prompt", "ROMEO:", "--temperature", "0", "--max-new-tokens", "8")


VOCABULARY = 91


def sampler(bits: Bits | None, **shape: Any) -> GPT:
    """A model that only samples; no size is a multiple of what a thread or vector takes at once."""
    sizes = {"n_layer": 3, "n_head": 3, "n_embd": 51, "block_size": 80, "vocab_size": VOCABULARY}
    model = random_model(**sizes, **shape).eval()
    if bits is None:
        store_by_output(model)
    else:
        quantize.quantize(model, bits)
    return model


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@needs_compiler
@pytest.mark.parametrize("shape", [(7, 1), (33, 256), (50, 300), (9, 3000)])
@pytest.mark.parametrize("bits", BITS)
@torch.inference_mode()
def test_the_product_is_that_of_the_dequantized_matrix(bits: Bits, shape: tuple[int, int]) -> None:
    """To the rounding of float32, or of a row to 16 bits; by one thread and two, to the bit."""
    matrix = quantize.NATIVE[bits](random(*shape[::-1]).t())  # as a `Conv1D` stores it
    x, bias = random(3, shape[1]) * torch.tensor([[1.0], [-300.0], [0.0]]), random(shape[0])
    wanted = F.linear(x, matrix.row(torch.arange(shape[0])), bias)
    found = matrix.plus(x, bias)
    size = x.abs().amax(1, keepdim=True) * shape[1] ** 0.5
    assert bool(((found - wanted).abs() <= 2e-4 * size + 1e-6).all())
    assert torch.equal(matrix(x), matrix.plus(x, torch.zeros(shape[0])))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        assert torch.equal(matrix.plus(x, bias), found)
    finally:
        torch.set_num_threads(threads)


@needs_compiler
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("bits", BITS)
@torch.inference_mode()
def test_what_is_not_finite_stays_so(bits: Bits, bad: float) -> None:
    x = random(2, 64)
    x[0, 3] = bad
    y = quantize.NATIVE[bits](random(5, 64))(x)
    assert not bool(y[0].isfinite().any()) and bool(y[1].isfinite().all())


@needs_compiler
@pytest.mark.parametrize("bits", [None, *BITS])
@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_a_step_is_that_of_the_model(bits: Bits | None, tied: bool) -> None:
    """Token after token, over a context of 70; by one, two and three threads, to the bit."""
    model = sampler(bits, tie_word_embeddings=tied)
    step, plain = fastest_step(model), Step(model)
    assert isinstance(step, NativeStep)
    threads, found = torch.get_num_threads(), list[Tensor]()
    ids = torch.randint(VOCABULARY, (70, 1), generator=torch.Generator().manual_seed(2))
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            cache = KVCache(model)
            found.append(torch.stack([step(token, cache) for token in ids]))
            assert cache.length == 70
    finally:
        torch.set_num_threads(threads)
    cache = KVCache(model)
    wanted = torch.stack([plain(token, cache) for token in ids])
    close = 5e-3 if bits == "int8" else 1e-4  # int8 rounds what it multiplies
    assert torch.allclose(found[0], wanted, rtol=0, atol=close * float(wanted.std()))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@needs_compiler
@torch.inference_mode()
def test_a_step_of_weights_that_are_not_finite_is_not_either() -> None:
    model: Any = sampler(None)
    model.h[1].mlp.c_fc.weight[3, 5] = float("nan")
    step = fastest_step(model)
    assert isinstance(step, NativeStep)
    assert bool(step(torch.tensor([1]), KVCache(model)).isnan().all())


def as_trained(model: Any) -> None:
    for layer in model.modules():
        if type(layer) is Conv1D:
            layer.weight.data = layer.weight.data.contiguous()


def with_another_layer(model: Any) -> None:
    model.h[1].mlp.c_proj = nn.Sequential(model.h[1].mlp.c_proj)


def with_another_norm(model: Any) -> None:
    model.ln_f = nn.Sequential(model.ln_f)


def with_erf(model: Any) -> None:
    for block in model.h:
        block.mlp.gelu = "none"


def in_double(model: Any) -> None:
    model.double()


@needs_compiler
@pytest.mark.parametrize(
    "change", [as_trained, with_another_layer, with_another_norm, with_erf, in_double]
)
@torch.inference_mode()
def test_a_model_that_it_does_not_know_is_computed_without_it(change: Callable[..., None]) -> None:
    model = sampler(None)
    change(model)
    step, idx = fastest_step(model), torch.arange(9)
    assert isinstance(step, Step)
    cache = KVCache(model)
    found = torch.stack([step(token, cache) for token in idx.view(9, 1)])
    assert torch.allclose(found, model(idx.view(1, 9))[0], atol=1e-3)


@needs_compiler
def test_it_is_compiled_once_and_again_when_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHAKEGPT_CACHE", str(tmp_path))
    native.load()
    (path,) = (tmp_path / "native").iterdir()
    made = path.stat().st_ino
    native.load()
    assert path.stat().st_ino == made
    for damage in (b"", b"no library", path.read_bytes()[:-999]):
        path.unlink()  # the one that is loaded keeps its bytes
        path.write_bytes(damage)
        native.load()
        assert path.stat().st_size > len(damage)


@needs_compiler
def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    code = "from shakegpt.nn import native; native.load()"
    env = os.environ | {"SHAKEGPT_CACHE": str(tmp_path)}
    running = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(2)]
    assert [process.wait(100) for process in running] == [0, 0]
    assert len(list((tmp_path / "native").iterdir())) == 1


def no_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))


def broken_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cc").write_text("#!/bin/sh\nexit 1\n")
    (folder / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def slow_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cc").write_text("#!/bin/sh\nexec sleep 60\n")
    (folder / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(native, "PATIENCE", 0.1)


def no_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("SHAKEGPT_CACHE", str(folder / "file" / "cache"))


def cache_of_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache_dir() / "native").mkdir(parents=True)
    (cache_dir() / "native").chmod(0o777)


@pytest.mark.parametrize(
    "hinder", [no_compiler, broken_compiler, slow_compiler, no_cache, cache_of_others]
)
def test_without_it_the_load_fails(
    hinder: Hinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an exception, which the self-test takes for a no."""
    monkeypatch.setenv("SHAKEGPT_CACHE", str(tmp_path / "cache"))
    hinder(tmp_path, monkeypatch)
    with pytest.raises((OSError, subprocess.SubprocessError)):
        native.load()


@pytest.mark.parametrize("bits", ["float32", *BITS])
def test_sampling_is_the_same_without_it(shakegpt: Commands, tmp_path: Path, bits: str) -> None:
    """The greedy text; without a compiler and without fast paths nothing else is said."""
    lines = 0 if bits == "float32" else 1  # what the bits cost
    with_it = shakegpt(*SAMPLE, "--dtype", bits, cwd=tmp_path)
    for env in ({"PATH": str(tmp_path)}, {"SHAKEGPT_PLAIN": "1"}):
        without = shakegpt(*SAMPLE, "--dtype", bits, cwd=tmp_path, stdin=b"", **env)
        assert without.code == with_it.code == 0 and without.out == with_it.out
        assert len(without.err.splitlines()) == len(with_it.err.splitlines()) == lines
