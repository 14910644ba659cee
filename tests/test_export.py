"""`shakegpt export`: a GGUF that another reader computes the same with, and metrics as CSV."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.gguf_file import write_gguf
from shakegpt.cli.main import main
from shakegpt.runlog import history
from tests.gpt2s import Recipe, make

gguf = pytest.importorskip("gguf")
TEXT = "the <|user|> king's 12  hearts,\n\nÉ 🎭<|endoftext|> love"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    make(Recipe(added=("<|user|>",), pad=True, rows_beyond=5), folder / "model", folder)
    return folder / "model"


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    written = write_gguf(path, "tiny", checkpoint.load(source), checkpoint.vocabulary(source))
    assert path.stat().st_size == written and len(list(path.parent.iterdir())) == 1
    return path


def test_transformers_reads_the_same_model_from_gguf(source: Path, exported: Path) -> None:
    pytest.importorskip("accelerate")
    where = {"gguf_file": exported.name}
    config = GPT2Config.from_pretrained(source)  # its reader of GGUF leaves out the window
    theirs: Any = AutoModelForCausalLM.from_pretrained(
        exported.parent, config=config, dtype=torch.float32, **where
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(exported.parent, **where)
    ours = checkpoint.vocabulary(source)
    assert tokenizer(TEXT)["input_ids"] == ours.encode(TEXT)
    assert tokenizer.eos_token_id == ours.eot
    batch = torch.tensor([[1, 5, 30, 299, 2, 7]])
    with torch.inference_mode():
        logits = checkpoint.load(source).eval()(batch)
        assert torch.allclose(theirs.eval()(batch).logits, logits, atol=1e-4)


def test_llama_cpp_draws_the_same_tokens(source: Path, exported: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    ours, model = checkpoint.vocabulary(source), checkpoint.load(source).eval()
    theirs = llama_cpp.Llama(str(exported), n_ctx=16, verbose=False)
    assert theirs.tokenize(TEXT.encode(), add_bos=False, special=True) == ours.encode(TEXT)
    ids = [1, 5, 30]
    expected = list(ids)
    with torch.inference_mode():
        for _ in range(8):
            expected.append(int(model(torch.tensor([expected]))[0, -1].argmax()))
    drawn = list(ids)
    for token in theirs.generate(ids, temp=0.0):
        drawn.append(token)
        if len(drawn) == len(expected):
            break
    assert drawn == expected


def test_what_the_file_says(source: Path, exported: Path) -> None:
    fields = gguf.GGUFReader(exported).fields
    said = {key: field.contents() for key, field in fields.items()}
    ours = checkpoint.vocabulary(source)
    assert said["general.architecture"] == "gpt2" and said["tokenizer.ggml.pre"] == "gpt-2"
    assert said["gpt2.context_length"] == 16 and said["gpt2.block_count"] == 2
    assert said["tokenizer.ggml.eos_token_id"] == ours.eot
    assert len(said["tokenizer.ggml.tokens"]) == ours.n_vocab + 5
    assert said["tokenizer.ggml.tokens"][ours.encode("<|user|>")[0]] == "<|user|>"


def test_the_command(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tmp_path / "model.gguf", tmp_path / "metrics.csv"
    words = ["export", str(tiny_run), "--gguf", str(files[0]), "--csv", str(files[1])]
    assert main(words) == 0
    past = history.load_started(tiny_run)
    with files[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == list(range(7))
    assert [row["loss"] for row in rows[1:]] == [str(past.steps[n].loss) for n in range(1, 7)]
    assert [bool(row["val_loss"]) for row in rows] == [n in past.evals for n in range(7)]
    assert files[0].read_bytes()[:4] == b"GGUF"
    capsys.readouterr()
    assert main(words) == 2 and "exists" in capsys.readouterr().err
    assert main(["export", str(tiny_run)]) == 2
    assert main(["export", str(tiny_run), "--csv", str(tmp_path / "no" / "x.csv")]) == 2
    assert main(["export", str(tmp_path), "--csv", str(tmp_path / "x.csv")]) == 2
