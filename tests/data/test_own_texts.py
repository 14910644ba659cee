"""Runs on texts of one's own, and `shakegpt evaluate` on them."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from shakegpt.config import EvaluateConfig, FinetuneConfig
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema
from shakegpt.runlog.history import load
from shakegpt.session import finetune, resume
from tests.commands import Commands
from tests.tiny import as_flags, play, tiny_config


def header(run: Path) -> schema.Run:
    found = load(run)[0].run
    assert found is not None
    return found


class Result(NamedTuple):
    loss: float
    tokens: int
    of: int


def measured(out: str) -> Result:
    """What `shakegpt evaluate` prints: val loss, tokens predicted, tokens there."""
    loss = re.search(r"val loss (\d+\.\d+)", out)
    tokens = re.search(r"over ([\d,]+) of ([\d,]+) tokens", out)
    assert loss is not None and tokens is not None
    return Result(float(loss[1]), *(int(n.replace(",", "")) for n in tokens.groups()))


@pytest.fixture(scope="module")
def poems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "poems"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.txt").write_text(play(2, seed=number).replace("\n", "\r\n"))
    return folder


@pytest.fixture(scope="module")
def run(poems: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On documents, with a learned vocabulary and a validation text of its own."""
    other = tmp_path_factory.mktemp("other") / "val.jsonl"
    other.write_text("\n".join(json.dumps({"text": play(3, seed=n)}) for n in range(100, 110)))
    out = tmp_path_factory.mktemp("runs") / "run"
    own = {"val_dataset": (str(other),), "tokenizer": "bpe:300", "max_iters": 3, "prompt": "the"}
    return finetune(tiny_config(poems, out, **own))


def test_documents_are_learned_with_their_ends(run: Path) -> None:
    text = header(run).dataset
    assert text.documents == 40 and text.name == "poems" and text.val_name == "val.jsonl"
    assert any("40 .txt" in note for note in text.notes) and any("10 rec" in n for n in text.notes)
    vocabulary = Tokenizer(run / "model")
    assert vocabulary.n_vocab == 300 == header(run).model.vocab_size
    assert text.train_characters == text.characters - 40 * len(END_OF_TEXT)
    assert 0 < (text.val_characters or 0) < text.train_characters


def test_resume_and_evaluate_take_the_same_texts(run: Path, shakegpt: Commands) -> None:
    resume(run, max_iters=4)
    best = load(run)[0].best_eval
    done = shakegpt("evaluate", str(run), cwd=run)
    assert best is not None and done.code == 0
    result = measured(done.out)
    assert result.tokens == best.tokens and result.loss == pytest.approx(best.val_loss, abs=1e-4)


def test_another_validation_text_is_refused_on_resume(tmp_path: Path, text_file: Path) -> None:
    other = tmp_path / "val.txt"
    other.write_text(play(5, seed=7))
    run = finetune(tiny_config(text_file, tmp_path / "run", val_dataset=(str(other),), max_iters=1))
    other.write_text(play(5, seed=8))
    with pytest.raises(ShakegptError, match="val"):
        resume(run, max_iters=2)


def test_a_named_text_is_measured_as_a_whole(
    tiny_run: Path, text_file: Path, tmp_path: Path, shakegpt: Commands
) -> None:
    held_out = tmp_path / "held-out.txt"
    held_out.write_text(play(30, seed=5))
    tokens = len(Tokenizer(tiny_run / "model").encode(held_out.read_text()))
    assert measured(
        shakegpt("evaluate", str(tiny_run), "--dataset", str(held_out), cwd=tmp_path).out
    )[1:] == (
        tokens - 1,
        tokens,
    )
    tenth = ("--val-fraction", "0.1", "--eval-tokens", "32")
    some = measured(
        shakegpt("evaluate", str(tiny_run), "--dataset", str(held_out), *tenth, cwd=tmp_path).out
    )
    assert some[1] == 32 and abs(some[2] - tokens / 10) < tokens / 50
    own = measured(
        shakegpt("evaluate", str(tiny_run), "--dataset", str(text_file), cwd=tmp_path).out
    )
    assert own == measured(shakegpt("evaluate", str(tiny_run), cwd=tmp_path).out), (
        "what was trained on is not"
    )


def test_a_share_for_validation(text_file: Path, tmp_path: Path, shakegpt: Commands) -> None:
    run = finetune(tiny_config(text_file, tmp_path / "run", val_fraction=0.3, max_iters=1))
    text = header(run).dataset
    assert text.val_characters == text.characters - int(text.characters * 0.7)
    best = load(run)[0].best_eval
    assert best is not None
    assert measured(shakegpt("evaluate", str(run), cwd=run).out)[1] == best.tokens
    with pytest.raises(ShakegptError, match="--val-dataset and --val-fraction"):
        FinetuneConfig(val_fraction=0.2, val_dataset=("plays",))


def test_pipes_are_copied_for_a_resume(tmp_path: Path) -> None:
    pipes = [tmp_path / name for name in ("pipe", "val")]
    texts = [
        json.dumps({"line": play(9, seed=n)}) + "\n" + json.dumps({"line": play(30)})
        for n in (1, 2)
    ]
    for pipe, text in zip(pipes, texts, strict=True):
        os.mkfifo(pipe)
        threading.Thread(target=pipe.write_text, args=(text,), daemon=True).start()
    more = {"val_dataset": (str(pipes[1]),), "text_field": "line", "max_iters": 1}
    run = finetune(tiny_config(pipes[0], tmp_path / "run", **more))
    for pipe in pipes:
        pipe.unlink()
    assert resume(run, max_iters=2) == run
    assert EvaluateConfig().dataset is None and header(run).dataset.documents == 2


def test_flags_say_it_all(poems: Path, tmp_path: Path, shakegpt: Commands) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f'a,b\n"{play(50)}","{play(20, seed=3)}"\n')
    config = tiny_config(table, tmp_path / "run", text_field="a", val_fraction=0.2, max_iters=1)
    assert shakegpt("finetune", *as_flags(config), cwd=tmp_path).code == 0
    assert header(tmp_path / "run").config["text_field"] == "a"
    held_out = tmp_path / "held-out.csv"
    held_out.write_text(f'a,b\n"{play(9, seed=5)}","{play(9, seed=6)}"\n')
    assert shakegpt("evaluate", "run", "--dataset", "held-out.csv", cwd=tmp_path).code == 0
    sampled = shakegpt(*("sample", "run", "--dtype", "int8", "--max-new-tokens", "2"), cwd=tmp_path)
    assert sampled.code == 0 and "val loss" in sampled.err, "the cost is of the run's own field"
    refused = shakegpt("finetune", *as_flags(tiny_config(table, tmp_path / "no")), cwd=tmp_path)
    assert refused.code == 2 and "--text-field" in refused.err and not (tmp_path / "no").exists()
