"""Bad input through the real command line: one sentence, exit code 2, nothing written over."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shakegpt.checkpoint import io as checkpoint
from shakegpt.cli import main
from shakegpt.config.fields import TOPICS
from shakegpt.config.presets import PRESETS
from shakegpt.files import SUMS
from shakegpt.session import finetune
from tests.commands import ROOT, Commands
from tests.tiny import play, tiny_config

TINY = "--init-from scratch --n-layer 1 --n-head 1 --n-embd 8 --block-size 8 --no-tui --threads 1"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with a good text and several that are none."""
    for name, data in {
        "good.txt": play().encode(),
        "damaged.txt": "été, déjà".encode()[:-1],
        "binary.txt": b"a\0b",
        "empty.txt": b"",
        "short.txt": b"O",
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "nothing").mkdir()
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b""
        for p in folder.rglob("*")
    }


BAD: dict[str, tuple[str, str]] = {
    "missing text": ("finetune {tiny} --dataset gone.txt", "gone.txt does not exist"),
    "a directory without text": ("finetune {tiny} --dataset nothing", "has no text"),
    "damaged UTF-8": ("finetune {tiny} --dataset damaged.txt", "byte 11 is 0xc3"),
    "binary": ("finetune {tiny} --dataset binary.txt", "is binary"),
    "empty": ("finetune {tiny} --dataset empty.txt", "is empty"),
    "too short": ("finetune {tiny} --dataset short.txt", r"has \d tokens and needs 9"),
    "a name too long": (f"finetune {{tiny}} --dataset {'x' * 5000}", "--dataset x+"),
    "block size": (
        "finetune --no-tui --dataset good.txt --block-size 100000",
        r"--block-size 100000 is over the \d+ that pocket was made for",
    ),
    "unknown preset": ("finetune tlak", "did you mean 'talk'"),
    "a file as preset": ("finetune good.txt", "use --dataset good.txt"),
    "a file that is not there as preset": ("finetune novel.txt", "--dataset"),
    "unknown verb": ("fintune", "did you mean 'finetune'"),
    "unknown model": ("finetune --no-tui --init-from nonesuch", "no model 'nonesuch'"),
    "a model that is a file": ("finetune --no-tui --init-from good.txt", "is a file"),
    "a directory that is no model": ("finetune --no-tui --init-from nothing", "nothing"),
    "a device that is not there": (
        "finetune {tiny} --dataset good.txt --device mps",
        "--device mps is not available",
    ),
    "zero": ("finetune {tiny} --batch-size 0", "--batch-size .* got 0"),
    "negative": ("finetune {tiny} --max-iters -3", "--max-iters .* got -3"),
    "not a number": ("finetune {tiny} --learning-rate nan", "--learning-rate .* got nan"),
    "infinite": ("finetune {tiny} --temperature inf", "--temperature .* got inf"),
    "far too large": (f"finetune {{tiny}} --max-iters {'9' * 400}", "--max-iters .* got"),
    "heads and width": (
        "finetune --no-tui --init-from scratch --n-embd 10 --n-head 3 --dataset good.txt",
        "--n-embd .* --n-head 3, got 10",
    ),
    "a model larger than any machine": (
        "finetune --no-tui --init-from scratch --tokenizer char --n-layer 100 --n-embd 20000 "
        "--n-head 10 --dataset good.txt",
        r"480,.* parameters .* GiB of memory",
    ),
    "unknown vocabulary": (
        "finetune {tiny} --tokenizer nothing --dataset good.txt",
        "nothing has no",
    ),
    "a prompt it cannot spell": (
        "finetune {tiny} --tokenizer char --dataset good.txt --prompt Ω",
        "--prompt 'Ω' has 'Ω'",
    ),
    "resume of no run": ("finetune --no-tui --resume nothing", "is no run"),
    "resume of nothing": ("finetune --no-tui --resume gone", "is no run"),
    "sample of nothing": ("sample gone", "no model 'gone'"),
    "sample of a file": ("sample nothing/../good.txt", "good.txt is a file"),
    "an unknown flag that is like none": ("finetune --epochs 3", r"flag '--epochs' \(see"),
    "sample of two": ("sample pocket gone", "unexpected argument 'gone'"),
    "sample without a model": ("sample", "needs a MODEL"),
    "cold below zero": ("sample pocket --temperature -1", "--temperature .* got -1"),
    "p above one": ("sample pocket --top-p 1.5", "--top-p .* got 1.5"),
    "evaluate nothing": ("evaluate gone", "no model 'gone'"),
    "evaluate on nothing": ("evaluate pocket --dataset gone.txt", "does not exist"),
    "evaluate on an empty text": ("evaluate pocket --dataset empty.txt", "is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_sentence_and_nothing_written(shakegpt: Commands, here: Path, name: str) -> None:
    line, words = BAD[name]
    before = contents(here)
    done = shakegpt(*line.format(tiny=TINY).split(), cwd=here)
    assert re.search(words, done.sentence) and not done.out
    assert contents(here) == before


USAGE = {
    "finetune --batch-size many": "--batch-size must be an integer >= 1, got 'many'",
    "finetune --max-iters 1.5": "--max-iters must be an integer >= 0, got '1.5'",
    "finetune --block-size=": "--block-size must be an integer >= 2, or none, got ''",
    "finetune --batch-size 0 --dtype int8": "got 0; --dtype must be one of auto, float32",
    "finetune --bath-size 3": "--bath-size'; did you mean '--batch-size'",
    "finetune --zzz": "unknown flag '--zzz'",
    "finetune talk --zzz 3": "unknown flag '--zzz'",
    "finetune --max-iter=3": "unknown flag '--max-iter'; did you mean '--max-iters'",
    "finetune --seed": "--seed needs a value",
    "finetune --seed --dtype auto": "--seed needs a value",
    "finetune --dataset": "--dataset needs a value",
    "finetune --seed 1 2": "'2'",
    "finetune --decay-lr yes": "'yes'",
    "finetune --decay-lr=yes": "--decay-lr takes no value",
    "finetune --no-seed": "unknown flag '--no-seed'",
    "finetune --lora-targets attn.c_attn mlp": "--lora-targets must be one of attn.c_attn",
    "finetune talk pocket": "unexpected argument 'pocket'",
    "finetune nothing": "use --dataset nothing",
    "finetune --dataset good.txt,gone.txt --no-tui": "gone.txt does not exist",
    "finetune --no-tui --val-dataset gone.txt": "--val-dataset gone.txt does not exist",
    "finetune --no-tui --dataset good.txt talk": "write talk before the flags",
    "finetune --no-tui --dataset gone --block-size 9999": "--block-size 9999 is over the 256",
    "finetune --no-tui --block-size 9999 --dataset gone": "--dataset gone does not exist",
    "finetune --resume": "--resume needs a value",
    "finetune --resume gone --dataset plays": "gone is no run",
    "finetune talk --resume gone": "a preset cannot be changed when resuming",
    "finetune --resume gone --seed 1 --n-embd 3": "--seed and --n-embd cannot",
    "sample pocket --seed x": "--seed must be an integer >= 0, got 'x'",
    "sample --seed x pocket": "--seed must be an integer >= 0, got 'x'",
    "sample pocket --dtype int4": "--dtype must be one of float32, bf16, int8, got 'int4'",
    "evaluate pocket --device tpu": "--device must be one of auto, cpu, cuda, mps, got 'tpu'",
    "figures --format gif": "--format must be one of svg",
    "runs a b": "unexpected argument 'b'",
    "claims --strct": "did you mean '--strict'",
    "completion tcsh": "SHELL must be one of bash, zsh, fish, got 'tcsh'",
    "--no-tui finetune": "shakegpt COMMAND --no-tui",
    "help fintune": "did you mean 'finetune'",
}


@pytest.mark.parametrize("line", USAGE)
def test_what_is_no_flag_is_told_in_a_sentence(shakegpt: Commands, here: Path, line: str) -> None:
    before = contents(here)
    assert USAGE[line] in shakegpt(*line.split(), cwd=here).sentence
    assert contents(here) == before


def test_names_no_file_could_have(shakegpt: Commands, here: Path) -> None:
    long, words = "x" * 5000, [*TINY.split(), "--dataset"]
    assert "--out-dir xxx" in shakegpt(
        "finetune", *words, "good.txt", "--out-dir", long, cwd=here
    ).sentence  # fmt: skip
    assert "there is no model" in shakegpt("finetune", "--init-from", long, cwd=here).sentence
    broken = shakegpt("finetune", *words, "a\nb\x1b[31m", cwd=here).sentence
    assert "a b␛[31m does not exist" in broken


def test_a_run_and_a_model_where_a_preset_stands(shakegpt: Commands, here: Path, run: Path) -> None:
    said = shakegpt("finetune", str(run), cwd=here).sentence
    assert f"--resume {run}" in said and f"--init-from {run}" in said
    assert f"--init-from {run / 'model'}" in shakegpt("finetune", f"{run}/model", cwd=here).sentence


def test_the_help_of_finetune_names_the_presets_and_the_way_on(
    shakegpt: Commands, here: Path
) -> None:
    for columns in ("80", "120"):
        said = shakegpt("finetune", "--help", cwd=here, COLUMNS=columns).out
        lines = said.splitlines()
        assert max(map(len, lines)) < int(columns) and "--resume RUN" in said
        assert all(f"  {name} " in said for name in PRESETS)
        topics = {line for line in lines if line.endswith(":") and not line.startswith(" ")}
        assert {f"{topic}:" for topic in TOPICS} <= topics and "--batch-size SEQUENCES" in said
        # a line of help is broken where the terminal ends, not where the source was
        row = next(n for n, line in enumerate(lines) if "--init-from MODEL" in line)
        assert len(lines[row]) > int(columns) - 16


def test_help_shows_the_defaults_of_the_preset(shakegpt: Commands, here: Path) -> None:
    talk = shakegpt("finetune", "--help", "talk", cwd=here).out
    assert "gpt2-large)" in " ".join(talk.split()) and "default: 3e-05)" in " ".join(talk.split())


@pytest.mark.parametrize("columns", ["0", "1", "2", "9", "-3", "many", "", "99999999"])
def test_help_in_a_terminal_of_odd_width(shakegpt: Commands, here: Path, columns: str) -> None:
    for command in ("finetune", "sample", "figures"):
        done = shakegpt(command, "--help", cwd=here, COLUMNS=columns)
        assert done.code == 0 and not done.err and "--" in done.out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    return finetune(tiny_config(text_file, path, max_iters=2, eval_interval=2, max_new_tokens=0))


def spoil(data: bytes) -> Callable[[Path], object]:
    return lambda model: (model / "model.safetensors").write_bytes(data)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "torn weights": (
        lambda m: os.truncate(m / "model.safetensors", 9999),
        "truncated or not a safetensors file",
    ),
    "foreign weights": (spoil(b"PK\3\4 and so on"), "truncated or not a safetensors file"),
    "no weights": (lambda m: (m / "model.safetensors").unlink(), "has no model.safetensors"),
    "no vocabulary": (lambda m: (m / "vocab.json").unlink(), "vocab.json cannot be read"),
    "a vocabulary larger than the model": (
        lambda m: (m / "vocab.json").write_text(
            (m / "vocab.json").read_text("utf-8").rstrip("} \n") + ', "zzyzx": 4096}', "utf-8"
        ),
        "embedding",
    ),
    "another architecture": (
        lambda m: (m / "config.json").write_text('{"model_type": "bert"}'),
        "bert",
    ),
}


@pytest.mark.parametrize("verb", ["finetune", "sample", "evaluate"])
@pytest.mark.parametrize("name", WRONG)
def test_a_spoiled_checkpoint(
    shakegpt: Commands, here: Path, run: Path, verb: str, name: str
) -> None:
    damage, words = WRONG[name]
    damage(shutil.copytree(run / "model", here / "model", ignore=shutil.ignore_patterns(SUMS)))
    before = contents(here)
    flags = {
        "finetune": f"finetune --no-tui --init-from ./model --dataset {here}/good.txt",
        "sample": "sample ./model",
        "evaluate": f"evaluate ./model --dataset {here}/good.txt",
    }[verb]
    assert words in shakegpt(*flags.split(), cwd=here).sentence
    assert contents(here) == before


def test_an_output_directory_that_holds_a_run(shakegpt: Commands, here: Path, run: Path) -> None:
    before = contents(run)
    words = [*TINY.split(), "--dataset", "good.txt", "--out-dir", str(run)]
    assert "holds a run already" in shakegpt("finetune", *words, cwd=here).sentence
    assert contents(run) == before


@pytest.mark.parametrize("name", ["model", "state"])
def test_an_output_directory_with_a_model_in_it(
    shakegpt: Commands, here: Path, run: Path, name: str
) -> None:
    shutil.copytree(run / name, here / "mine" / name)
    before = contents(here)
    words = [*TINY.split(), "--dataset", "good.txt", "--out-dir", "mine"]
    assert f"mine holds a {name} already" in shakegpt("finetune", *words, cwd=here).sentence
    assert contents(here) == before


def test_an_output_directory_that_is_a_file(shakegpt: Commands, here: Path) -> None:
    words = [*TINY.split(), "--dataset", "good.txt", "--out-dir", "good.txt"]
    assert "--out-dir good.txt" in shakegpt("finetune", *words, cwd=here).sentence


def test_a_text_from_standard_input(shakegpt: Commands, here: Path) -> None:
    words = [*TINY.split(), "--dataset", "-", "--out-dir", "run", "--max-iters", "1"]
    done = shakegpt("finetune", *words, cwd=here, stdin=play().encode())
    assert done.code == 0, done.err
    again = shakegpt("finetune", "--resume", "run", "--max-iters", "2", "--no-tui", cwd=here)
    assert again.code == 0, again.err
    assert "is empty" in shakegpt("finetune", *TINY.split(), "--dataset", "-", cwd=here).sentence


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl", "somebody/gpt2-of-theirs"])
def test_a_hub_name_offline_is_answered_within_five_seconds(
    shakegpt: Commands, here: Path, name: str
) -> None:
    began = time.monotonic()
    sentence = shakegpt("finetune", "--no-tui", "--init-from", name, cwd=here).sentence
    assert time.monotonic() - began < 5
    assert f"{name} is not in the cache" in sentence and "--init-from pocket" in sentence


def test_a_mistyped_path_that_could_be_a_name_of_the_hub(
    shakegpt: Commands, here: Path, run: Path
) -> None:
    for verb in ("finetune --no-tui --init-from", "sample", "evaluate"):
        said = shakegpt(*verb.split(), f"{run.parent.name}/rum", cwd=run.parent.parent).sentence
        assert f"did you mean '{run.parent.name}/run'?" in said


def test_a_finished_run_cannot_go_on(shakegpt: Commands, run: Path, here: Path) -> None:
    before = contents(run)
    done = shakegpt("finetune", "--no-tui", "--resume", str(run), cwd=here)
    assert "--max-iters" in done.sentence and contents(run) == before


def test_bytes_that_are_no_text_in_an_argument(here: Path) -> None:
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"shakegpt", b"sample", b"pocket", b"--prompt", b"\xff"],
        cwd=here,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tui'}"},
        capture_output=True,
    )
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and b"--prompt" in done.stderr


def test_streams_that_were_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`>&-`: Python has None for them then, and whatever asks them something would fall over."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    found = main.run(lambda _: 7 + sum(s is None for s in (sys.stdin, sys.stdout, sys.stderr)), [])
    assert found == 7


def test_a_terminal_that_knows_ascii_only(here: Path) -> None:
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tui'}", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "shakegpt",
            "sample",
            "pocket",
            "--prompt",
            "é",
            "--threads",
            "1",
            "--max-new-tokens",
            "3",
        ],
        cwd=here,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.startswith("?"), done.stderr


def test_the_pocket_is_untouched() -> None:
    assert checkpoint.read_config(checkpoint.POCKET).n_layer > 0
