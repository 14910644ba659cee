"""`shakegpt evaluate`: a run is measured as it measured itself, unless flags say otherwise."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from shakegpt.cli.evaluate import main as evaluate
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.runlog.history import load
from shakegpt.runlog.metrics import bits_per_character
from shakegpt.session import finetune
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
    assert evaluate([short_windows]) == 0 and best is not None
    said = capsys.readouterr().out
    assert f"val loss {best.val_loss:.4f}" in said and f"over {best.tokens:,} of" in said


def test_flags_go_before_what_the_run_did(
    short_windows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    best = load(Path(short_windows))[0].best_eval
    assert evaluate(["--block-size", "32", short_windows, "--eval-tokens", "96"]) == 0
    said = capsys.readouterr().out
    assert best is not None and f"val loss {best.val_loss:.4f}" not in said and "over 96 of" in said


def test_bits_a_character_are_of_the_text_that_was_predicted(
    tiny_run: Path, text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = load(tiny_run)[0].best_eval
    assert best is not None and best.val_loss is not None
    text = text_file.read_text("utf-8")
    held_out = text[int(0.9 * len(text)) :]
    tokenizer = Tokenizer(tiny_run / "model")
    first = tokenizer.decode(tokenizer.encode(held_out)[:1])  # a context, and not predicted
    assert best.characters == len(held_out) - len(first)
    bits = best.val_loss / math.log(2) * best.tokens / best.characters
    assert bits_per_character(best.val_loss, best.tokens, best.characters) == pytest.approx(bits)
    assert evaluate([str(tiny_run)]) == 0
    assert f"{bits:.2f} bits/char" in capsys.readouterr().out


def test_bits_a_character_of_an_older_log_are_not_known() -> None:
    assert bits_per_character(4.0, 9, None) is None
    assert bits_per_character(None, 9, 30) is None
    assert bits_per_character(math.inf, 9, 30) is None
