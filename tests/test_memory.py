"""The memory ladder: the lower row gives the same numbers, and the estimate says what it takes."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.finetune import parameter_groups
from shakegpt.hardware import memory
from shakegpt.model import GPTConfig
from shakegpt.runlog.schema import Step
from shakegpt.session import finetune, resume
from shakegpt.train import mapped_adamw
from shakegpt.train.mapped_adamw import MappedAdamW
from tests.tiny import Listener, adamw, random_model, tiny_config

LARGE = GPTConfig(n_layer=36, n_head=20, n_embd=1280)


def named(seed: int = 0) -> dict[str, torch.Tensor]:
    model = random_model(seed, n_layer=2, n_head=2, n_embd=48, block_size=16, vocab_size=97)
    return dict(model.named_parameters())


def mapped(named: dict[str, torch.Tensor], config: FinetuneConfig, folder: Path) -> MappedAdamW:
    return MappedAdamW(named, parameter_groups(named, config), folder)


def push(weights: dict[str, torch.Tensor], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    for p in weights.values():
        p.grad = torch.randn(p.shape, generator=draw)


def test_moments_in_a_file_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_adamw, "PIECE", 1024)  # several pieces a matrix, the last one odd
    config = FinetuneConfig(weight_decay=0.3)
    ours, theirs = named(), named()
    filed, plain = mapped(ours, config, tmp_path), adamw(theirs, config)
    for seed in range(5):
        push(ours, seed)
        push(theirs, seed)
        filed.step()
        plain.step()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    filed.save(tmp_path / "mapped")
    plain.save(tmp_path / "plain")
    found, wanted = load_file(tmp_path / "mapped"), load_file(tmp_path / "plain")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mapped", "plain"]  # and no file


def test_the_room_for_the_moments_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a disk that fills up ends the process by SIGBUS, without a word."""
    made = tempfile.TemporaryFile
    kept: list[int] = []

    def watched(**where: Any) -> Any:
        file = made(**where)
        kept.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr(tempfile, "TemporaryFile", watched)
    whole = 8 * sum(p.numel() for p in mapped(named(), FinetuneConfig(), tmp_path).named.values())
    assert os.fstat(kept[0]).st_blocks * 512 >= whole
    os.close(kept[0])


def test_a_disk_without_room_for_the_moments_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ShakegptError, match=r"full .* needed"):
        mapped(named(), FinetuneConfig(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_moments_count_before_the_start(tmp_path: Path) -> None:
    free = memory.disk(10, 10) + 1
    assert memory.disk(10, 10, "low") == memory.disk(10, 10) + 80
    usage = type("usage", (), {"free": free})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        memory.require_disk(tmp_path, 10, 10)
        with pytest.raises(ShakegptError, match="free and the run needs"):
            memory.require_disk(tmp_path, 10, 10, "low")


def test_on_a_gpu_low_memory_keeps_the_moments_there() -> None:
    """The memory-mapped optimizer is for CPUs."""
    config = FinetuneConfig()
    cpu, *gpus = (memory.estimate(LARGE, config, "low", device=d) for d in ("cpu", "cuda", "mps"))
    for gpu in gpus:
        assert gpu.optimizer == 8 * LARGE.n_params > 100 * cpu.optimizer and gpu.traffic == 0
        assert gpu.activations == cpu.activations


@pytest.mark.parametrize("first_mapped", [True, False])
def test_either_row_goes_on_where_the_other_stopped(tmp_path: Path, first_mapped: bool) -> None:
    config = FinetuneConfig()
    kinds = [mapped(named(), config, tmp_path), adamw(named(), config)]
    first, second = kinds if first_mapped else reversed(kinds)
    whole = adamw(named(), config)
    for optimizer in (first, whole):
        for seed in range(2):
            push(dict(optimizer.named), seed)
            optimizer.step()
    first.save(tmp_path / "saved")
    for name, p in second.named.items():
        p.data.copy_(first.named[name])
    second.load(tmp_path / "saved", 2)
    for optimizer in (second, whole):
        push(dict(optimizer.named), 9)
        optimizer.step()
    assert all(torch.equal(second.named[name], whole.named[name]) for name in whole.named)


def test_a_run_with_little_memory_tells_the_same_story(tmp_path: Path, text_file: Path) -> None:
    """Five updates with accumulation, clipping and dropout, stopped and resumed in the middle."""
    logs = []
    for row in ("normal", "low"):
        log, run = Listener(), tmp_path / row
        config = replace(
            tiny_config(text_file, run), memory=row, max_iters=5, dropout=0.1, grad_clip=0.5
        )
        finetune(config if row == "normal" else replace(config, max_iters=3), log)
        if row == "low":
            resume(run, 5, log)
        logs.append({s.iteration: s for s in log.records if isinstance(s, Step)})
    normal, low = logs
    assert normal.keys() == low.keys() == {1, 2, 3, 4, 5}
    for k, step in normal.items():
        assert (step.loss, step.grad_norm) == (low[k].loss, low[k].grad_norm)
    wanted, found = (
        load_file(tmp_path / row / "state/000005/weights.safetensors") for row in ("normal", "low")
    )
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_auto_takes_the_fastest_row_that_fits() -> None:
    config = FinetuneConfig(batch_size=1, block_size=1024)
    needs = {row: memory.estimate(LARGE, config, row).total for row in ("normal", "low")}
    assert memory.choose(LARGE, config, needs["normal"]) == "normal"
    assert memory.choose(LARGE, config, needs["normal"] - 1) == "low"
    assert memory.choose(LARGE, replace(config, memory="normal"), 0) == "normal"
    assert memory.choose(LARGE, replace(config, memory="low"), 1 << 50) == "low"


def test_a_large_finetune_fits_in_a_laptop_by_estimate() -> None:
    config = FinetuneConfig(batch_size=1, block_size=1024)
    assert memory.estimate(LARGE, config, "low").total < 6.5 * 2**30
    xl = GPTConfig(n_layer=48, n_head=25, n_embd=1600)
    assert memory.estimate(xl, config, "low").total < 12.5 * 2**30


def test_what_the_disk_will_carry_is_said() -> None:
    low = memory.estimate(LARGE, FinetuneConfig(), "low")
    assert low.traffic == 2 * 8 * LARGE.n_params
    assert memory.estimate(LARGE, FinetuneConfig(), "normal").traffic == 0
