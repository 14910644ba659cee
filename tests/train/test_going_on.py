"""A run goes on elsewhere and otherwise: moved texts, other machines, other rates; and not as
another run."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.resumption import IDENTITY
from shakegpt.session import finetune, resume
from tests.commands import Commands
from tests.tiny import tiny_config

ALLOWED: dict[str, Any] = {
    "learning_rate": 3e-3,
    "grad_clip": 0.5,
    "weight_decay": 0.01,
    "beta1": 0.85,
    "beta2": 0.99,
    "decay_lr": True,
    "warmup_iters": 1,
    "min_lr": 1e-4,
    "lr_decay_iters": 20,
    "dropout": 0.1,
    "eval_interval": 1,
    "prompt": "JULIET:",
    "max_new_tokens": 4,
    "temperature": 0.5,
    "top_k": None,
    "top_p": 0.9,
    "memory": "low",
    "threads": 2,
    "device": "cpu",
    "dtype": "float32",
    "compile": "off",
}


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, where nobody expects it."""
    return Path(shutil.copytree(tiny_run, tmp_path / "renamed"))


def test_all_that_is_no_other_run_changes_and_is_logged(run: Path) -> None:
    resume(run, 7, changes=ALLOWED)
    resume(run, 8)  # which keeps what the one before it changed
    history, problems = load(run)
    assert not problems and history.iteration == 8
    for record in history.resumes:
        assert {name: record.config[name] for name in ALLOWED} == ALLOWED
    assert history.samples[-1].start.prompt == "JULIET:"
    assert history.steps[7].learning_rate != history.steps[6].learning_rate


def test_a_text_that_moved(run: Path, text_file: Path, tmp_path: Path, shakegpt: Commands) -> None:
    moved = tmp_path / "moved.txt"
    moved.write_bytes(text_file.read_bytes())
    words = ("finetune", "--no-tui", "--resume", "renamed", "--max-iters", "7")
    done = shakegpt(*words, "--dataset", "moved.txt", "--learning-rate", "0.002", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "--learning-rate 0.002 (was --learning-rate 0.01)" in done.out
    assert "shakegpt sample renamed" in done.out, "where it is now, not where it was"
    resumed = load(run)[0].resumes[0].config
    assert resumed["dataset"] == [str(moved)] and resumed["learning_rate"] == 0.002
    again = shakegpt(*words[:-1], "8", cwd=tmp_path)
    assert [line for line in again.out.splitlines() if line.startswith("changed")] == [
        "changed: --max-iters 8 (was --max-iters 7)"
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dataset": ("other.txt",)}, "has changed"),
        ({"val_dataset": ("other.txt",)}, "has changed"),
        ({"prompt": "\U0001f40d" * 9, "dataset": ("gone",)}, "--dataset TEXT"),
        ({"device": "mps"}, "--resume renamed --device cpu"),
        ({"seed": 7}, "--init-from renamed"),
    ],
)
def test_what_cannot_begin_writes_nothing(
    run: Path, changes: Mapping[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    Path("other.txt").write_text("another text\n" * 400)
    before = (run / LOG_NAME).read_bytes()
    with pytest.raises(ShakegptError, match=sentence):
        resume(Path("renamed"), 7, changes=changes)
    assert (run / LOG_NAME).read_bytes() == before


def test_a_run_without_its_vocabulary_is_named(run: Path, shakegpt: Commands) -> None:
    shutil.rmtree(run / "model")
    words = ("finetune", "--no-tui", "--resume", run.name, "--max-iters", "7")
    assert "renamed/model" in shakegpt(*words, cwd=run.parent).sentence


def test_a_lost_model_writes_nothing(text_file: Path, tmp_path: Path, tiny_run: Path) -> None:
    """With LoRA, the frozen weights are those of the model that the run began from."""
    base = shutil.copytree(tiny_run / "model", tmp_path / "base")
    config = tiny_config(
        text_file, tmp_path / "run", init_from=str(base), lora_rank=2, max_iters=1, block_size=16
    )
    run = finetune(config)
    shutil.rmtree(base)
    before = (run / LOG_NAME).read_bytes()
    with pytest.raises(ShakegptError):
        resume(run, 3)
    assert (run / LOG_NAME).read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        "--seed 9",
        "--batch-size 3 --block-size 16",
        "--optimizer muon",
        "--lora-rank 2",
        "--n-layer 1",
    ],
)
def test_another_run_is_refused_with_the_command_that_starts_it(
    words: str, run: Path, tmp_path: Path, shakegpt: Commands
) -> None:
    before = (run / LOG_NAME).read_bytes()
    asked = ("finetune", "--no-tui", "--resume", "renamed", *words.split(), "--max-iters", "1")
    said = shakegpt(*asked, cwd=tmp_path).sentence
    assert (run / LOG_NAME).read_bytes() == before
    command = shlex.split(said.partition("start a new run with: ")[2])
    assert command[:2] == ["shakegpt", "finetune"]
    done = shakegpt(*command[1:], "--no-tui", "--out-dir", "new", cwd=tmp_path)
    assert done.code == 0, done.err
    new, old = load(tmp_path / "new")[0].run, load(run)[0].run
    assert new is not None and old is not None
    kept = set(old.config) - set(IDENTITY) - {"max_iters"}
    assert {k: new.config[k] for k in kept} == {k: old.config[k] for k in kept}
    names = {word[2:].replace("-", "_") for word in words.split() if word.startswith("--")}
    assert all(str(new.config[name]) in words for name in names)


def test_the_same_seed_is_no_change(run: Path) -> None:
    resume(run, 7, changes={"seed": 1337, "batch_size": 4})
    assert load(run)[0].iteration == 7


def test_a_run_that_diverged_continues_as_its_error_says(
    text_file: Path, tmp_path: Path, shakegpt: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShakegptError, match="--learning-rate") as error:
        finetune(
            tiny_config(text_file, Path("run"), learning_rate=9.0, weight_decay=10.0, max_iters=60)
        )
    command = shlex.split(str(error.value).partition("): ")[2])
    assert command[:4] == ["shakegpt", "finetune", "--resume", "run"]
    assert float(command[command.index("--learning-rate") + 1]) == 3.0
    at = load(Path("run"))[0].iteration
    done = shakegpt(*command[1:-1], "1e-4", "--no-tui", "--max-iters", str(at + 1), cwd=tmp_path)
    assert done.code in (0, 1), done.err
    assert load(Path("run"))[0].resumes[0].config["learning_rate"] == 1e-4
