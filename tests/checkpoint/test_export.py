"""`shakegpt export`: a GGUF that another reader computes the same with, and metrics as CSV."""

from __future__ import annotations

import csv
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.gguf_file import write_gguf
from shakegpt.checkpoint.io import POCKET
from shakegpt.cli.main import main
from shakegpt.data.make_vocabulary import write_char_vocabulary
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.model import GPT
from shakegpt.runlog import history
from tests.gpt2s import Recipe, make
from tests.tiny import random_model

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


def characters(folder: Path) -> tuple[GPT, Tokenizer]:
    """A random model with a token for each character of several scripts."""
    write_char_vocabulary(["ROMEO: the king, é 春眠不覺曉 🎭\n"], folder)
    tokenizer = Tokenizer(folder)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 64}
    return random_model(**shape, vocab_size=tokenizer.n_vocab), tokenizer


MODELS: dict[str, tuple[str, Callable[[Path, Path], tuple[GPT, Tokenizer]]]] = {
    "with special tokens": (
        TEXT, lambda source, _: (checkpoint.load(source), checkpoint.vocabulary(source))
    ),
    "pocket": (
        "ROMEO:\nO, she doth teach the torches to burn bright!  It’s 1595.",
        lambda *_: (checkpoint.load(POCKET), checkpoint.vocabulary(POCKET)),
    ),
    "characters": ("the king 春眠 é🎭\n", lambda _, scratch: characters(scratch)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_draws_the_same_tokens(name: str, source: Path, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    text, make_model = MODELS[name]
    model, ours = make_model(source, tmp_path)
    write_gguf(tmp_path / "model.gguf", name, model.eval(), ours)
    path, length = str(tmp_path / "model.gguf"), model.config.block_size
    theirs = llama_cpp.Llama(path, n_ctx=length, n_threads=1, verbose=False)
    assert theirs.tokenize(text.encode(), add_bos=False, special=True) == ours.encode(text)
    ids = ours.encode(text)[: length // 2]
    expected = list(ids)
    with torch.inference_mode():
        for _ in range(min(24, length - len(ids))):
            logits = model(torch.tensor([expected]))[0, -1, : ours.n_vocab]
            expected.append(int(logits.argmax()))
    drawn = list(ids)
    for token in theirs.generate(ids, temp=0.0):
        drawn.append(token)
        if len(drawn) == len(expected):
            break
    assert drawn == expected
    assert theirs.detokenize(drawn[:4], special=True).decode() == ours.decode(drawn[:4])


def test_what_the_file_says(source: Path, exported: Path) -> None:
    fields = gguf.GGUFReader(exported).fields
    said = {key: field.contents() for key, field in fields.items()}
    ours = checkpoint.vocabulary(source)
    assert said["general.architecture"] == "gpt2" and said["tokenizer.ggml.pre"] == "gpt-2"
    assert said["gpt2.context_length"] == 16 and said["gpt2.block_count"] == 2
    assert said["tokenizer.ggml.eos_token_id"] == ours.eot
    assert len(said["tokenizer.ggml.tokens"]) == ours.n_vocab + 5
    assert said["tokenizer.ggml.tokens"][ours.encode("<|user|>")[0]] == "<|user|>"


def test_tensorboard_gets_metrics_and_samples(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    words = ["export", str(tiny_run), "--tensorboard", str(tmp_path / "events")]
    assert main(words) == 0 and main(words) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["events"]
    (path,) = (tmp_path / "events").iterdir()
    data, scalars, texts = path.read_bytes(), dict[tuple[str, int], float](), list[bytes]()
    while data:  # TFRecord: length and its checksum, the event and its own
        (length,) = struct.unpack_from("<Q", data)
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars[value.tag, event.step] = value.simple_value
            elif value.HasField("tensor"):
                texts += value.tensor.string_val
        data = data[16 + length :]
    past = history.load_started(tiny_run)
    losses = {("loss", n): step.loss for n, step in past.steps.items()}
    losses |= {("val_loss", n): measured.val_loss for n, measured in past.evals.items()}
    assert {key: scalars[key] for key in losses} == pytest.approx(losses)
    assert len(texts) == len(past.samples) and b"ROMEO:" in texts[0]


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
