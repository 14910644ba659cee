"""`shakegpt convert`: what nanoGPT and torch.save leave becomes a checkpoint of equal logits."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint import unpickle
from shakegpt.checkpoint.convert import CHARACTERS, convert
from shakegpt.errors import ShakegptError
from tests.commands import ROOT, Commands
from tests.gpt2s import Recipe, make


def within(files: list[Path], scratch: Path) -> None:
    """Unpickle in this process: safe for these tests' files, and fast."""
    unpickle.main(scratch, files)


IDS = torch.tensor([[1, 5, 30, 20, 2, 7]])
MATRICES = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with an added token, as transformers 5 saves it."""
    folder = tmp_path_factory.mktemp("source")
    make(Recipe(added=("<|user|>",)), folder / "model", folder)
    return folder / "model"


def logits(folder: Path) -> Tensor:
    with torch.inference_mode():
        result: Tensor = checkpoint.load(folder).eval()(IDS)
    return result


def their_logits(folder: Path) -> Tensor:
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        result: Tensor = loaded.eval()(IDS).logits
    return result


def weights_of(source: Path) -> dict[str, Tensor]:
    return load_file(source / "model.safetensors")


def bin_folder(source: Path, folder: Path, parts: int = 1) -> Path:
    """`source` with its weights in pytorch_model.bin, or in several of them."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = weights_of(source)
    if parts == 1:
        torch.save(weights, folder / "pytorch_model.bin")
        return folder
    where = dict[str, str]()
    for n in range(parts):
        name = f"pytorch_model-{n + 1:05}-of-{parts:05}.bin"
        part = dict(list(weights.items())[n::parts])
        torch.save(part, folder / name)
        where |= dict.fromkeys(part, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


@pytest.mark.parametrize("parts", [1, 3])
def test_pytorch_model_bin(source: Path, tmp_path: Path, parts: int) -> None:
    folder = bin_folder(source, tmp_path / "bin", parts)
    with pytest.raises(ShakegptError, match="shakegpt convert"):
        checkpoint.load(folder)
    convert(str(folder), tmp_path / "out", None, within)
    assert torch.equal(logits(tmp_path / "out"), logits(source))
    assert torch.allclose(their_logits(tmp_path / "out"), logits(source), atol=1e-4)
    theirs: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (
        theirs("the <|user|> king")["input_ids"]
        == AutoTokenizer.from_pretrained(source)("the <|user|> king")["input_ids"]
    )


def nanogpt(source: Path, path: Path, bias: bool, rows: int = 0, compiled: bool = True) -> Tensor:
    """Write a ckpt.pt as nanoGPT does; returns the logits that transformers computes for it."""
    model: Any = GPT2LMHeadModel.from_pretrained(source, activation_function="gelu")
    if rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
    saved = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not bias and name.endswith("bias"):
                parameter.zero_()
                continue
            turned = name.endswith(MATRICES)
            saved[name] = parameter.t().contiguous() if turned else parameter.clone()
    saved["lm_head.weight"] = saved["transformer.wte.weight"]
    config = model.config
    arguments = {
        "n_layer": config.n_layer, "n_head": config.n_head, "n_embd": config.n_embd,
        "block_size": config.n_positions, "vocab_size": config.vocab_size, "bias": bias,
        "dropout": 0.0,
    }  # fmt: skip
    wrapper = "_orig_mod." if compiled else ""
    raw = {
        "model": {wrapper + name: tensor for name, tensor in saved.items()},
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []},
        "model_args": arguments,
        "iter_num": 5,
        "best_val_loss": torch.tensor(1.5),
        "config": {"dataset": "shakespeare", "init_from": "scratch"},
    }
    torch.save(raw, path)
    with torch.inference_mode():
        expected: Tensor = model.eval()(IDS).logits
    return expected


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [0, 320])
def test_nanogpts_checkpoint(source: Path, tmp_path: Path, bias: bool, rows: int) -> None:
    expected = nanogpt(source, tmp_path / "ckpt.pt", bias, rows, compiled=bias)
    (tmp_path / "meta.pkl").write_bytes(b"never opened")
    with pytest.raises(ShakegptError, match="--tokenizer"):
        convert(str(tmp_path / "ckpt.pt"), tmp_path / "out", None, within)
    assert not (tmp_path / "out").exists()
    notes = convert(str(tmp_path / "ckpt.pt"), tmp_path / "out", str(source), within)
    assert torch.allclose(logits(tmp_path / "out"), expected, atol=1e-4)
    assert torch.allclose(their_logits(tmp_path / "out"), expected, atol=1e-4)
    assert any("zeros" in note for note in notes) == (not bias)
    assert any("320" in note for note in notes) == bool(rows)


def test_nanogpts_characters(source: Path, tmp_path: Path) -> None:
    assert len(CHARACTERS) == 65
    nanogpt(source, tmp_path / "ckpt.pt", True, len(CHARACTERS))
    convert(str(tmp_path), tmp_path / "out", "char", within)
    tokenizer = checkpoint.vocabulary(tmp_path / "out")
    text = "First Citizen:\nSpeak, speak; 'tis 3 & $ -- ay!?"
    assert tokenizer.encode(text) == [sorted(CHARACTERS).index(char) for char in text]
    theirs: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs(text)["input_ids"] == tokenizer.encode(text)


class Evil:
    """A pickle that runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def torn(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = torch.load(path, weights_only=True)
    change(raw)
    torch.save(raw, path)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "runs code": (lambda p: torch.save({"model": Evil(p.with_name("ran"))}, p), "code"),
    "a bare pickle that runs code": (
        lambda p: p.write_bytes(pickle.dumps(Evil(p.with_name("ran")))),
        "ckpt.pt",
    ),
    "torn": (torn, "damaged"),
    "no file of torch": (lambda p: p.write_bytes(b"hello" * 99), "damaged"),
    "no weights": (lambda p: torch.save({"iter_num": 3}, p), "no weights"),
    "no heads known": (lambda p: edited(p, lambda r: r.pop("model_args")), "config.json"),
    "odd sizes": (lambda p: edited(p, lambda r: r["model_args"].update(n_layer=-1)), "n_layer -1"),
    "a weight too many": (
        lambda p: edited(p, lambda r: r["model"].update(odd=torch.ones(2))),
        "odd",
    ),
    "a weight missing": (
        lambda p: edited(p, lambda r: r["model"].pop("_orig_mod.transformer.wpe.weight")),
        "wpe.weight",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_gpt2_is_refused_and_nothing_written(
    source: Path, tmp_path: Path, name: str
) -> None:
    nanogpt(source, tmp_path / "ckpt.pt", True)
    edited(tmp_path / "ckpt.pt", lambda raw: raw["model"].update(
        {"_orig_mod.lm_head.weight": raw["model"]["_orig_mod.lm_head.weight"].clone()}
    ))  # fmt: skip
    spoil, words = BAD[name]
    spoil(tmp_path / "ckpt.pt")
    with pytest.raises(ShakegptError) as refused:
        convert(str(tmp_path / "ckpt.pt"), tmp_path / "out", str(source), within)
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert refused.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt.pt"]


def test_a_head_of_its_own_is_kept(source: Path, tmp_path: Path) -> None:
    plain = nanogpt(source, tmp_path / "ckpt.pt", True, compiled=False)
    edited(tmp_path / "ckpt.pt", lambda raw: raw["model"].update(
        {"lm_head.weight": 2 * raw["model"]["lm_head.weight"]}
    ))  # fmt: skip
    notes = convert(str(tmp_path / "ckpt.pt"), tmp_path / "out", str(source), within)
    assert any("head" in note for note in notes)
    assert torch.allclose(logits(tmp_path / "out"), 2 * plain, atol=1e-3)
    assert torch.allclose(their_logits(tmp_path / "out"), 2 * plain, atol=1e-3)


def test_a_pickle_is_opened_in_a_process_of_its_own(tmp_path: Path) -> None:
    torch.save({"model": Evil(tmp_path / "ran")}, tmp_path / "model.pt")
    with pytest.raises(ShakegptError, match="mkdir"):
        convert(str(tmp_path), tmp_path / "out", "char")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_the_command(source: Path, tmp_path: Path, shakegpt: Commands) -> None:
    folder = bin_folder(source, tmp_path / "bin")
    assert shakegpt("convert", str(folder), "out", cwd=tmp_path).code == 0
    again = shakegpt("convert", str(folder), "out", cwd=tmp_path)
    assert again.code == 2 and "not empty" in again.err
    assert shakegpt("convert", str(folder), cwd=tmp_path).code == 2
    for gone in ("gone.bin", "models/gone.pt", "gone"):
        assert "no file or directory" in shakegpt("convert", gone, "new", cwd=tmp_path).sentence
    helped = shakegpt("convert", "--help", cwd=tmp_path)
    assert helped.code == 0 and "--tokenizer" in helped.out
    sampled = shakegpt("sample", "out", "--max-new-tokens", "3", cwd=tmp_path)
    assert sampled.code == 0, sampled


def test_a_signal_leaves_nothing_of_a_conversion(source: Path, tmp_path: Path) -> None:
    """Once when the weights are unpickled, once when the result is written."""
    nanogpt(source, tmp_path / "ckpt.pt", bias=False)
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.checkpoint import test_convert\n"
        "from shakegpt.checkpoint import convert\n"
        "def end(*_): os.kill(os.getpid(), signal.SIGTERM)\n"
        "unpickle = end\n"
        "if sys.argv[1] == 'save': unpickle, convert.save = test_convert.within, end\n"
        "convert.convert('ckpt.pt', Path('out'), sys.argv[2], unpickle)"
    )
    for moment in ("unpickle", "save"):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", code, moment, str(source)]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == -signal.SIGTERM, done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["ckpt.pt"]
