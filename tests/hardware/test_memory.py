"""Memory modes: the lower one gives the same numbers, and the estimate says what it takes."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.resolve import POCKET
from shakegpt.cli import preflight
from shakegpt.config import FinetuneConfig
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.finetune import parameter_groups
from shakegpt.hardware import memory
from shakegpt.model import GPTConfig
from shakegpt.runlog.control import Request, send
from shakegpt.runlog.schema import Eval, Event, Progress, Sample, Step, Token
from shakegpt.session import finetune, resume
from shakegpt.train import mapped_adamw, state
from shakegpt.train.mapped_adamw import MappedAdamW
from tests.tiny import Listener, adamw, random_model, tiny_config

WEIGHTS = "weights.safetensors"
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
    config, n = FinetuneConfig(), LARGE.n_params
    free = memory.disk(LARGE, config) + 1
    assert memory.disk(LARGE, config) == (3 * 12 + 2 * 4) * n
    assert memory.disk(LARGE, config, "low") == memory.disk(LARGE, config) + 8 * n
    assert memory.disk(LARGE, replace(config, keep=1)) == memory.disk(LARGE, config) - 12 * n
    usage = type("usage", (), {"free": free})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        memory.require_disk(tmp_path, LARGE, config)
        with pytest.raises(ShakegptError, match="free and the run needs"):
            memory.require_disk(tmp_path, LARGE, config, "low")


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


@pytest.mark.parametrize("row", ["low", "lowest"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_with_little_memory_tells_the_same_story(
    tmp_path: Path, text_file: Path, row: str, dtype: str
) -> None:
    """Five updates with accumulation, clipping and dropout, stopped and resumed in the middle, from
    normal memory and with it.
    """
    logs = []
    for rows in (["normal"] * 3, [row, "normal", row]):
        log, run = Listener(), tmp_path / "-".join(rows)
        settings = {"memory": rows[0], "max_iters": 2, "eval_interval": 2, "dtype": dtype}
        config = tiny_config(text_file, run, dropout=0.1, grad_clip=0.5, **settings)
        finetune(config, log)
        resume(run, 3, log, changes={"memory": rows[1]})
        resume(run, 5, log, changes={"memory": rows[2]})
        logs.append([_numbers(e) for e in log.records if isinstance(e, Step | Eval | Token)])
        assert not (run / "out-of-core").exists()
    assert logs[0] == logs[1]
    assert len(logs[0]) == 5 + 5 + 5 * config.max_new_tokens
    for name in ("state/000005/weights", "state/000005/optimizer", "model/model"):
        runs = tmp_path.iterdir()
        wanted, found = (load_file(run / f"{name}.safetensors") for run in runs)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_head_of_its_own_trains_out_of_core(tmp_path: Path, text_file: Path) -> None:
    shape = dict(n_layer=2, n_head=2, n_embd=32, block_size=32, tie_word_embeddings=False)
    start, tokenizer = tmp_path / "start", Tokenizer(POCKET)
    checkpoint.save(random_model(**shape, vocab_size=tokenizer.n_vocab), start, tokenizer)
    for row in ("normal", "lowest"):
        changes = {"init_from": str(start), "memory": row, "max_iters": 2, "eval_interval": 1}
        finetune(tiny_config(text_file, tmp_path / row, **changes))
    for name in ("state/000002/weights", "state/000002/optimizer", "model/model"):
        wanted, found = (
            load_file(tmp_path / row / f"{name}.safetensors") for row in ("normal", "lowest")
        )
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def _numbers(event: Step | Eval | Token) -> tuple[object, ...]:
    match event:
        case Step():
            return event.iteration, event.loss, event.grad_norm
        case Eval():
            return event.iteration, event.val_loss, event.best
    return event.iteration, event.id, event.probability


def test_a_state_out_of_core_is_no_second_copy(tmp_path: Path, text_file: Path) -> None:
    """The newest state, the best model and the files at work are the same; older states stay."""
    inodes = dict[int, list[int]]()

    def listen(event: Event) -> None:
        if isinstance(event, Eval) and event.iteration:
            paths = [run / "out-of-core/weights", run / f"state/{event.iteration:06d}" / WEIGHTS]
            inodes[event.iteration] = [path.stat().st_ino for path in paths]

    run = tmp_path / "run"
    changes = {"memory": "lowest", "eval_interval": 1, "max_iters": 4, "keep": 1}
    finetune(tiny_config(text_file, run, **changes), Listener(listen))
    assert all(working == saved for working, saved in inodes.values())
    saved = [inode for _, inode in inodes.values()]
    assert len(saved) == 4 and all(a != b for a, b in itertools.pairwise(saved))
    assert [path.name for path in (run / "state").iterdir()] == ["000004"]
    assert state.newest_intact(run / "state") == (run / "state/000004", [])
    best = run / "model/model.safetensors"
    assert best.stat().st_ino == inodes[4][1] and best.stat().st_nlink == 2


def test_lowest_memory_without_hard_links(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    changes = {"memory": "lowest", "max_iters": 4, "eval_interval": 1}
    finetune(tiny_config(text_file, tmp_path / "linked", **changes))
    monkeypatch.setattr(os, "link", refuse)
    finetune(tiny_config(text_file, tmp_path / "copied", **changes | {"max_iters": 2}))
    resume(tmp_path / "copied", 4)
    linked, copied = (
        load_file(tmp_path / name / "state/000004" / WEIGHTS) for name in ("linked", "copied")
    )
    assert all(torch.equal(linked[name], copied[name]) for name in linked)
    assert memory.disk(LARGE, FinetuneConfig(), "lowest", shared=False) == (
        memory.disk(LARGE, FinetuneConfig(), "lowest") + 16 * LARGE.n_params
    )


def test_what_lowest_memory_does_not_support_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: Path
) -> None:
    for other in (
        {"optimizer": "muon"},
        {"lora_rank": 4},
        {"shard": True},
        {"compile": "on"},
        {"dtype": "float16"},
        {"device": "cuda"},
    ):
        with pytest.raises(ShakegptError, match=r"--memory lowest .*--memory low$"):
            FinetuneConfig(memory="lowest", **other)
        tight = FinetuneConfig(**other)
        device = str(other.get("device", "cpu"))
        assert memory.choose(LARGE, tight, 0, device=device) == "low"
    assert memory.choose(LARGE, FinetuneConfig(), 0, processes=2) == "low"
    for name, value in (
        ("WORLD_SIZE", "2"),
        ("RANK", "0"),
        ("MASTER_ADDR", "h"),
        ("MASTER_PORT", "1"),
    ):
        monkeypatch.setenv(name, value)
    faults = preflight.faults(tiny_config(text_file, tmp_path / "run", memory="lowest"))
    assert "torchrun" in faults["memory"]


def test_a_command_in_an_iteration_out_of_core_changes_no_number(
    tmp_path: Path, text_file: Path
) -> None:
    """An evaluation and a sample between two blocks, with dropout."""
    steps = []
    for asked in (False, True):
        run, waiting = tmp_path / f"{asked}", [asked]

        def listen(event: Event, run: Path = run, waiting: list[bool] = waiting) -> None:
            if isinstance(event, Progress) and event.iteration == 2 and waiting.pop(0):
                send(run, Request(verb="evaluate"))
                send(run, Request(verb="sample"))
                waiting.append(False)
                time.sleep(0.3)  # until the listener thread has them
            elif not waiting:
                waiting.append(False)

        log = Listener(listen)
        finetune(tiny_config(text_file, run, memory="lowest", max_iters=3, dropout=0.2), log)
        steps.append([_numbers(e) for e in log.records if isinstance(e, Step)])
        assert any(isinstance(e, Sample) and e.requested for e in log.records) == asked
    assert steps[0] == steps[1]


def test_auto_takes_the_fastest_row_that_fits() -> None:
    config = FinetuneConfig(batch_size=1, block_size=1024)
    needs = {row: memory.estimate(LARGE, config, row).total for row in ("normal", "low")}
    assert memory.choose(LARGE, config, needs["normal"]) == "normal"
    assert memory.choose(LARGE, config, needs["normal"] - 1) == "low"
    assert memory.choose(LARGE, config, needs["low"]) == "low"
    assert memory.choose(LARGE, config, needs["low"] - 1) == "lowest"
    assert memory.choose(LARGE, replace(config, memory="normal"), 0) == "normal"
    assert memory.choose(LARGE, replace(config, memory="low"), 1 << 50) == "low"


def test_a_new_model_is_refused_only_where_no_row_can_train_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    xl = GPTConfig(n_layer=48, n_head=25, n_embd=1600)
    config = FinetuneConfig(init_from="scratch", batch_size=1, block_size=1024)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=4 << 30))
    memory.require_memory(xl, config)
    memory.require_memory(xl, replace(config, memory="lowest"))
    for refused in (replace(config, memory="low"), replace(config, lora_rank=8)):
        with pytest.raises(ShakegptError, match="lower --n-layer"):
            memory.require_memory(xl, refused)
    with pytest.raises(ShakegptError, match="lower --n-layer"):
        memory.require_memory(replace(xl, n_embd=16_000), config)


def test_a_large_finetune_fits_in_a_laptop_by_estimate() -> None:
    config = FinetuneConfig(batch_size=1, block_size=1024)
    assert memory.estimate(LARGE, config, "low").total < 6.5 * 2**30
    xl = GPTConfig(n_layer=48, n_head=25, n_embd=1600)
    assert memory.estimate(xl, config, "low").total < 12.5 * 2**30


def test_what_the_disk_will_carry_is_said() -> None:
    low = memory.estimate(LARGE, FinetuneConfig(), "low")
    assert low.traffic == 2 * 8 * LARGE.n_params
    assert memory.estimate(LARGE, FinetuneConfig(), "normal").traffic == 0


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory in kB, and glibc's allocator")
def test_the_last_sample_takes_no_more_memory_than_training(
    tmp_path: Path, text_file: Path
) -> None:
    pocket = json.loads((POCKET / "config.json").read_text())
    model = tmp_path / "large"
    shape = {"n_layer": 8, "n_head": 8, "n_embd": 512, "block_size": 256}
    checkpoint.save(
        random_model(0, **shape, vocab_size=pocket["vocab_size"]), model, Tokenizer(POCKET)
    )
    peaks = list[int]()
    for tokens in (0, 4):  # without a sample no second model is loaded
        config = FinetuneConfig(
            init_from=str(model), dataset=(str(text_file),), max_iters=1, eval_interval=1,
            batch_size=8, gradient_accumulation_steps=1, block_size=128, dtype="float32",
            eval_tokens=1024,
            out_dir=str(tmp_path / f"run-{tokens}"), max_new_tokens=tokens,
        )  # fmt: skip
        code = (
            "import resource\nfrom shakegpt.config import FinetuneConfig\n"
            f"from shakegpt.session import finetune\nfinetune({config!r}, own_process=True)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        peaks.append(1024 * int(done.stdout.split()[-1]))
    # a second copy takes 1.5 times its file and more; two equal runs differ by half of it
    assert peaks[1] - peaks[0] < (model / "model.safetensors").stat().st_size
