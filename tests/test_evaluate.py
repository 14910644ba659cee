"""`shakegpt evaluate`: a run is measured as it measured itself, unless flags say otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from shakegpt.config import EvaluateConfig
from shakegpt.runlog.history import load
from shakegpt.session import finetune
from shakegpt.train.evaluate import evaluate
from tests.tiny import tiny_config


@pytest.fixture(scope="module")
def short_windows(tiny_run: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with shorter windows than its model can take, evaluated on a part of the text."""
    short = {"init_from": str(tiny_run), "block_size": 16, "eval_tokens": 64, "max_iters": 1}
    out = tmp_path_factory.mktemp("short") / "run"
    return str(finetune(tiny_config(text_file, out, **short)))


def test_a_run_with_short_windows_gives_its_own_best_loss(
    short_windows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    best = load(Path(short_windows))[0].best_eval
    assert evaluate(short_windows, EvaluateConfig()) == 0 and best is not None
    said = capsys.readouterr().out
    assert f"val loss {best.val_loss:.4f}" in said and f"over {best.tokens:,} of" in said


def test_flags_go_before_what_the_run_did(
    short_windows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    best = load(Path(short_windows))[0].best_eval
    assert evaluate(short_windows, EvaluateConfig(block_size=32, eval_tokens=96)) == 0
    said = capsys.readouterr().out
    assert best is not None and f"val loss {best.val_loss:.4f}" not in said and "over 96 of" in said
