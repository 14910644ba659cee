"""The loop, on a model that trains in a second: what it writes, in which order; that it learns."""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.config import FinetuneConfig
from shakegpt.runlog import schema
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, read
from shakegpt.runlog.schema import Checkpoint, End, Eval, Heartbeat, Progress, Sample, Step, Token
from shakegpt.session import finetune, resume
from shakegpt.train import state
from tests.commands import ROOT
from tests.tiny import Listener, as_flags, kinds, tiny_config


@pytest.fixture(scope="module")
def records(tiny_run: Path) -> list[schema.Event]:
    found, problems = read(tiny_run / LOG_NAME)
    assert not problems
    return found


def test_six_iterations_are_six_updates(records: list[schema.Event]) -> None:
    assert [e.iteration for e in kinds(records, Step)] == [1, 2, 3, 4, 5, 6]
    progress = [(e.iteration, e.micro_step, e.micro_steps) for e in kinds(records, Progress)]
    assert progress == [(k, m, 2) for k in range(1, 7) for m in (1, 2)]
    assert [e.tokens for e in kinds(records, Progress)] == [128 * n for n in range(1, 13)]


def test_a_steps_loss_is_the_mean_of_its_micro_batches(records: list[schema.Event]) -> None:
    for step in kinds(records, Step):
        parts = [e.loss for e in kinds(records, Progress) if e.iteration == step.iteration]
        assert step.loss == pytest.approx(sum(parts) / 2)
        assert step.tokens_per_second == pytest.approx(256 / step.seconds)
        assert step.learning_rate == 1e-2 and step.memory > 1 << 20


def test_evaluations_stand_at_their_iterations(records: list[schema.Event]) -> None:
    evals = kinds(records, Eval)
    assert [e.iteration for e in evals] == [0, 3, 6]
    assert [e.best for e in evals] == [True, True, True]
    assert evals[0].val_loss > evals[1].val_loss > evals[2].val_loss
    assert evals[0].val_loss == pytest.approx(math.log(len(tokens_of_pocket())), rel=0.02)
    header = kinds(records, schema.Run)[0]
    assert {e.tokens for e in evals} == {header.dataset.eval_tokens}
    assert header.dataset.eval_whole and header.dataset.eval_tokens == header.dataset.val_tokens - 1


def tokens_of_pocket() -> dict[str, int]:
    vocabulary: dict[str, int] = json.loads((POCKET / "vocab.json").read_text("utf-8"))
    return vocabulary


def test_the_loss_falls(records: list[schema.Event]) -> None:
    losses = [e.loss for e in kinds(records, Step)]
    assert losses[-1] < losses[0] - 1


def test_the_state_is_saved_before_evaluating_and_sampling(records: list[schema.Event]) -> None:
    order = [
        (type(e).__name__, getattr(e, "kind", ""))
        for e in records
        if getattr(e, "iteration", None) == 3 and isinstance(e, Checkpoint | Eval | Sample)
    ]
    expected = [("Checkpoint", "last"), ("Eval", ""), ("Checkpoint", "best"), ("Sample", "")]
    assert order == expected


def test_samples_are_whole(records: list[schema.Event]) -> None:
    samples = kinds(records, Sample)
    assert [(s.iteration, s.sample, s.requested) for s in samples] == [
        (0, 0, False),
        (3, 1, False),
        (6, 2, False),
    ]
    for view in History().extend(records).samples:
        assert view.complete and view.end is not None and view.end.tokens == len(view.tokens)
        assert view.text == view.end.text.removesuffix("\ufffd") or "\ufffd" in view.end.text
        assert [t.index for t in view.tokens] == list(range(len(view.tokens)))
        assert "".join(text for _, text in view.start.prompt_tokens) == "ROMEO:"


def test_the_header_tells_all(tiny_run: Path, records: list[schema.Event]) -> None:
    header = records[0]
    assert isinstance(header, schema.Run)
    assert header.run_id == tiny_run.name and header.seed == 1337 and header.threads == 1
    assert header.model.n_params == checkpoint.read_config(tiny_run / "model").n_params
    assert (header.device, header.dtype) == ("cpu", "float32") and header.dtype_reason
    assert {"shakegpt", "torch", "python"} <= header.versions.keys()
    assert header.memory.total > 1 << 28 and header.seconds is not None
    assert header.dataset.speakers == ("HAMLET", "JULIET", "OPHELIA", "ROMEO")
    assert msgspec.convert(header.config, FinetuneConfig) == tiny_config(
        Path(header.config["dataset"][0]), Path(header.config["out_dir"])
    )


def test_every_kind_of_record_is_written(records: list[schema.Event]) -> None:
    written = {type(e) for e in records}
    assert written == {
        schema.Run, Progress, Step, Eval, Sample, Token, schema.SampleEnd, Checkpoint,
        schema.Inspection, schema.Copies, schema.Advice, Heartbeat, End,
    }  # fmt: skip


def test_the_end_is_the_last_word(records: list[schema.Event]) -> None:
    end = records[-1]
    assert isinstance(end, End) and (end.status, end.iteration) == ("finished", 6)
    assert end.best_val_loss == min(e.val_loss for e in kinds(records, Eval))
    assert end.wall_seconds > 0


def test_the_run_directory_holds_what_it_should(tiny_run: Path) -> None:
    found = {str(path.relative_to(tiny_run)) for path in tiny_run.rglob("*") if path.is_file()}
    model = {"config.json", "generation_config.json", "merges.txt", "model.safetensors"}
    model |= {"tokenizer_config.json", "vocab.json", "sha256.json"}
    state = {"manifest.json", "optimizer.safetensors", "weights.safetensors"}
    assert found == {
        LOG_NAME,
        *(f"model/{name}" for name in model),
        *(f"state/{k}/{name}" for k in ("000003", "000006") for name in state),
    }


def test_checkpoints_say_their_size_and_place(tiny_run: Path, records: list[schema.Event]) -> None:
    for event in kinds(records, Checkpoint):
        path = tiny_run / event.path
        assert path.is_dir() and event.bytes > 4 * 4096 * 32
    last = kinds(records, Checkpoint)[-1]
    assert last.bytes == (tiny_run / "model/model.safetensors").stat().st_size


def test_the_best_model_is_kept_not_the_last(tmp_path: Path, text_file: Path) -> None:
    config = tiny_config(
        text_file, tmp_path / "run", learning_rate=3.0, max_iters=4, eval_interval=1, grad_clip=None
    )
    log = Listener()
    finetune(config, log)
    evals = kinds(log.records, Eval)
    best = min(evals, key=lambda e: e.val_loss)
    assert best.iteration < 4, "the rate was not wild enough for this test"
    written = [e.iteration for e in kinds(log.records, Checkpoint) if e.kind == "best"]
    assert written == [e.iteration for e in evals if e.best and e.iteration > 0]
    assert kinds(log.records, End)[0].best_val_loss == best.val_loss


def test_evaluation_and_samples_change_no_training(tmp_path: Path, text_file: Path) -> None:
    losses = []
    for n, changes in enumerate(({"eval_interval": 1}, {"eval_interval": 6, "max_new_tokens": 0})):
        log = Listener()
        config = tiny_config(text_file, tmp_path / str(n), dropout=0.2, **changes)
        finetune(config, log)
        losses.append([e.loss for e in kinds(log.records, Step)])
    assert losses[0] == losses[1]


def test_every_micro_step_drops_other_activations(tmp_path: Path) -> None:
    """On a text of one window, so that nothing else can make their losses differ."""
    text = tmp_path / "short.txt"
    text.write_text("To be, or not to be: that is the question"[:37])
    losses = []
    for n, changes in enumerate(({}, {"dropout": 0.5}, {"dropout": 0.5, "seed": 1})):
        log = Listener()
        still = {"tokenizer": "char", "learning_rate": 1e-30, "weight_decay": 0.0, "batch_size": 1}
        config = tiny_config(text, tmp_path / str(n), **still, max_new_tokens=0, **changes)
        finetune(config, log)
        losses.append([e.loss for e in kinds(log.records, Progress)])
    assert len(set(losses[0])) == 1 and len(losses[0]) == 12
    assert len(set(losses[1])) == 12 and losses[2] != losses[1]


def test_nothing_is_dropped_when_the_model_is_measured(tmp_path: Path, text_file: Path) -> None:
    values = []
    for n, dropout in enumerate((0.0, 0.9)):
        log = Listener()
        config = tiny_config(text_file, tmp_path / str(n), dropout=dropout, max_iters=0)
        finetune(config, log)
        values.append(
            (kinds(log.records, Eval)[0].val_loss, kinds(log.records, schema.SampleEnd)[0].text)
        )
    assert values[0] == values[1]


def test_float16_scales_the_loss_and_repeats_an_iteration_that_overflowed(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = functools.partial(torch.amp.GradScaler, init_scale=2.0**30)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    log, run = Listener(), tmp_path / "run"
    finetune(tiny_config(text_file, run, dtype="float16", max_iters=4), log)
    steps = kinds(log.records, Step)
    assert [e.iteration for e in steps] == [1, 2, 3, 4] and steps[-1].loss < steps[0].loss - 0.5
    assert all(math.isfinite(e.grad_norm) for e in steps)
    first = [e.loss for e in kinds(log.records, Progress) if e.iteration == 1]
    assert len(first) > 4, "it did not overflow"
    assert first[:2] == first[-2:], "a skipped step changes no weight"
    scale = state.position(run / "state" / "000004").loss_scale
    assert scale is not None and 1 <= scale < 2**30
    resume(run, max_iters=5, log=log)
    assert kinds(log.records, Step)[-1].iteration == 5


def test_a_program_keeps_its_process_as_it_is(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signal handlers, descriptors, the allocator and more; a notebook goes on after the run."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in signals]

    def process() -> list[object]:
        torch_state = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled())
        python_state = (dict(os.environ), Path.cwd(), list(warnings.filters), gc.isenabled())
        random_state = (torch.get_rng_state().tolist(), random.getstate())
        return [handlers(), torch_state, python_state, random_state]

    def refused(*_: object, **__: object) -> bool:
        raise AssertionError("the allocator is the program's own")

    monkeypatch.setattr("shakegpt.hardware.allocator.keep_freed_memory", refused)
    gc.collect()  # of earlier runs
    before, during, descriptors = process(), list[object](), psutil.Process().num_fds()
    threads = set(threading.enumerate())
    config = tiny_config(text_file, tmp_path, max_iters=1, dropout=0.1)
    finetune(config, Listener(lambda _: during.append(handlers())))
    assert all(each == before[0] for each in during)
    assert process() == before and set(threading.enumerate()) <= threads
    gc.collect()  # the token cache is mapped until the run is
    assert psutil.Process().num_fds() == descriptors


def test_without_fast_paths_the_losses_are_the_same(tmp_path: Path, text_file: Path) -> None:
    losses = []
    for plain in ("", "1"):
        config = tiny_config(text_file, tmp_path / f"run{plain}", max_iters=2)
        environment = {**os.environ, "SHAKEGPT_PLAIN": plain}
        command = [sys.executable, "-m", "shakegpt", "finetune", *as_flags(config)]
        subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
        records, _ = read(tmp_path / f"run{plain}" / LOG_NAME)
        losses.append([e.loss for e in kinds(records, Step)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and len(losses[0]) == 2


def test_accumulation_adds_up_to_one_batch(tmp_path: Path, text_file: Path) -> None:
    losses = []
    for size, accumulate in ((8, 1), (4, 2), (1, 8)):
        log = Listener()
        config = tiny_config(
            text_file,
            tmp_path / str(size),
            batch_size=size,
            gradient_accumulation_steps=accumulate,
            max_iters=3,
            max_new_tokens=0,
        )
        finetune(config, log)
        losses.append([e.loss for e in kinds(log.records, Step)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] == pytest.approx(losses[2], abs=1e-5)


def test_no_iteration_at_all_measures_the_checkpoint(tmp_path: Path, text_file: Path) -> None:
    log = Listener()
    run = finetune(tiny_config(text_file, tmp_path / "run", max_iters=0), log)
    assert [e.iteration for e in kinds(log.records, Eval)] == [0]
    assert not kinds(log.records, Step) and kinds(log.records, End)[0].status == "finished"
    assert not (run / "state").exists()


def test_heartbeats_come_while_a_step_takes_long(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setattr("shakegpt.train.supervisor.HEARTBEAT_SECONDS", 0.1)
    log = Listener(lambda e: time.sleep(0.6) if isinstance(e, Progress) else None)
    config = tiny_config(text_file, tmp_path / "run", max_iters=1, max_new_tokens=0)
    finetune(config, log)
    first, last = (kinds(log.records, Progress)[n].time for n in (0, -1))
    assert sum(first < e.time < last for e in kinds(log.records, Heartbeat)) >= 2


def test_a_state_is_saved_between_distant_evaluations(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shakegpt.train.saver.SAVE_SECONDS", 0.0)
    log = Listener()
    finetune(tiny_config(text_file, tmp_path / "run", eval_interval=6), log)
    saved = [e.iteration for e in kinds(log.records, Checkpoint) if e.kind == "last"]
    assert saved == [1, 2, 3, 4, 5, 6]
