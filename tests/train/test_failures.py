"""Losses and gradients that are no numbers: the run stops before the update, with a sentence."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.config import FinetuneConfig
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from shakegpt.runlog.log import LOG_NAME, read
from shakegpt.runlog.schema import End, Eval, Progress, Step
from shakegpt.session import finetune, resume
from tests.tiny import Listener, copy_vocabulary, kinds, random_model, tiny_config


def poisoned(text: Path, folder: Path) -> FinetuneConfig:
    """A run from a checkpoint with an embedding that is not a number, of a rare token."""
    vocabulary = Tokenizer(POCKET)
    model = random_model(
        n_layer=1, n_head=2, n_embd=16, block_size=32, vocab_size=vocabulary.n_vocab
    )
    start = copy_vocabulary(folder / "start")
    checkpoint.save(model, start, vocabulary)
    (start / "sha256.json").unlink()  # it is spoiled on purpose
    return tiny_config(text, folder / "run", init_from=str(start), block_size=None)


def test_a_loss_that_is_no_number_stops_before_the_update(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk, calls = GPT.trunk, 0

    def failing(self: GPT, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        x = trunk(self, *args, **kwargs)
        if self.training:
            calls += 1
        return x * math.nan if calls == 8 else x  # micro-step 2 of iteration 4

    monkeypatch.setattr(GPT, "trunk", failing)
    log, run = Listener(), tmp_path / "run"
    with pytest.raises(ShakegptError) as failed:
        finetune(tiny_config(text_file, run), log)
    sentence = str(failed.value)
    assert failed.value.exit_code == 1
    assert "iteration 4, micro-step 2" in sentence and "window" in sentence
    assert "state of iteration 3 is kept" in sentence
    assert kinds(log.records, Step)[-1].iteration == 3
    assert kinds(log.records, Progress)[-1].loss is None or math.isnan(
        kinds(log.records, Progress)[-1].loss
    )
    written = kinds(read(run / LOG_NAME)[0], Progress)[-1]
    assert (written.iteration, written.micro_step, written.loss) == (4, 2, None)
    end = kinds(log.records, End)[0]
    assert (end.status, end.iteration) == ("failed", 3) and end.reason == sentence
    monkeypatch.undo()
    whole = Listener()
    resume(run, log=whole)
    assert kinds(whole.records, Step)[-1].iteration == 6


def test_a_gradient_that_is_no_number_stops_before_the_update(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_, **__: torch.tensor(math.inf))
    log = Listener()
    with pytest.raises(ShakegptError, match=r"norm is inf in iteration 1"):
        finetune(tiny_config(text_file, tmp_path / "run"), log)
    assert not kinds(log.records, Step)


def test_a_model_of_no_numbers_fails_with_a_sentence(tmp_path: Path, text_file: Path) -> None:
    config = poisoned(text_file, tmp_path)
    from safetensors.torch import load_file, save_file

    path = tmp_path / "start/model.safetensors"
    save_file({n: t.sign() * 3e38 for n, t in load_file(path).items()}, path)
    log = Listener()
    with pytest.raises(ShakegptError, match="not finite"):
        finetune(config, log)
    assert kinds(log.records, End)[0].status == "failed"
    found, problems = read(tmp_path / "run" / LOG_NAME)
    assert not problems and kinds(found, Eval)[0].val_loss is None


def test_a_run_that_cannot_get_to_its_first_update_is_told_as_failed(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ShakegptError, match=str(tmp_path)):
        finetune(tiny_config(text_file, tmp_path / "run", memory="low"))
    end = read(tmp_path / "run" / LOG_NAME)[0][-1]
    assert isinstance(end, End) and end.status == "failed" and "disk is full" in end.reason
