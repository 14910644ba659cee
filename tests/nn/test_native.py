"""Products in C: what they compute, and that nothing depends on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from shakegpt.data.cache import cache_dir
from shakegpt.nn import native, quantize
from shakegpt.nn.quantize import Bits
from tests.commands import Commands

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
Hinder = Callable[[Path, pytest.MonkeyPatch], None]
BITS: list[Bits] = ["bf16", "int8"]
SAMPLE = ("sample", "pocket", "--prompt", "ROMEO:", "--temperature", "0", "--max-new-tokens", "8")


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


@pytest.mark.parametrize("bits", BITS)
def test_sampling_is_the_same_without_it(shakegpt: Commands, tmp_path: Path, bits: Bits) -> None:
    """The greedy text; without a compiler and without fast paths nothing else is said."""
    with_it = shakegpt(*SAMPLE, "--dtype", bits, cwd=tmp_path)
    for env in ({"PATH": str(tmp_path)}, {"SHAKEGPT_PLAIN": "1"}):
        without = shakegpt(*SAMPLE, "--dtype", bits, cwd=tmp_path, stdin=b"", **env)
        assert without.code == with_it.code == 0 and without.out == with_it.out
        assert len(without.err.splitlines()) == len(with_it.err.splitlines()) == 1
