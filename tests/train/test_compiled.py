"""Compiled or not: the rule, the same losses, a failure that changes nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from shakegpt.hardware.device import Place
from shakegpt.runlog import history
from shakegpt.runlog.resumption import saved_config
from shakegpt.session import finetune, resume
from shakegpt.train import compilation, state
from tests.tiny import tiny_config

CPU = Place("cpu", "", "bfloat16", "")
GPU = Place("cuda", "", "bfloat16", "")


def test_it_compiles_when_the_whole_job_ends_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/c++")
    assert compilation.choose("auto", GPU, hour := 3600 * 5e13, 1) == (
        True,
        "saves about 1260 s and takes 40 s",
    )
    assert compilation.choose("auto", GPU, hour / 60, 1) == (
        False,
        "would save about 21 s and take 40 s",
    )
    assert compilation.choose("auto", CPU, 1e13, 1)[0] is False
    assert compilation.choose("auto", CPU, 1e15, 1)[0] is True
    assert compilation.choose("auto", replace(CPU, dtype="float32"), 1e20, 1)[0] is False
    assert compilation.choose("auto", Place("mps", "", "bfloat16", ""), 1e20, 1)[0] is False
    assert compilation.choose("auto", GPU, 1e20, 2)[0] is False
    assert compilation.choose("on", CPU, 1, 1)[0] and not compilation.choose("off", GPU, 1e20, 1)[0]
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert compilation.choose("auto", CPU, 1e15, 1) == (False, "no C++ compiler is installed")


def test_a_log_from_before_goes_on() -> None:
    for told, wanted in ((True, "on"), (False, "off"), ("auto", "auto")):
        config = saved_config({"compile": told})
        assert config.compile == wanted


def train(text: Path, run: Path, **changes: Any) -> list[float | None]:
    finetune(tiny_config(text, run, max_iters=2, **changes))
    return [step.loss for step in history.load(run)[0].steps.values()]


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_compiled_is_the_same_training_and_resumes(text_file: Path, tmp_path: Path) -> None:
    plain = tiny_config(text_file, tmp_path / "plain", dtype="float32", compile="off")
    fast = replace(plain, out_dir=str(tmp_path / "fast"), compile="on")
    losses = []
    for config in (plain, fast):
        run = finetune(replace(config, max_iters=1))
        resume(run, max_iters=2)
        past = history.load(run)[0]
        assert past.run is not None and past.run.compiled == (config is fast)
        assert not past.warnings
        losses.append([step.loss for step in past.steps.values()])
        found, _ = state.newest_intact(run / "state")
        assert found is not None
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and len(losses[0]) == 2


def test_a_compiler_that_fails_is_told_and_not_used(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> Any:
        def fails(*_: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no room for the compiler\nand more")

        return fails

    whole = train(text_file, tmp_path / "plain", compile="off")
    monkeypatch.setattr(torch, "compile", broken)
    run = tmp_path / "broken"
    found = train(text_file, run, compile="on")
    (warning,) = history.load(run)[0].warnings
    assert "(RuntimeError: no room for the compiler)" in warning.message
    assert found == whole and len(found) == 2
