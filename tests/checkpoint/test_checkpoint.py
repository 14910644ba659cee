"""Checkpoint directories: every form of a good one loads, every bad one gets a sentence."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET, WEIGHTS
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import SUMS
from shakegpt.model import GPT, GPTConfig
from tests.commands import ROOT
from tests.tiny import copy_vocabulary, random_model

SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 8}
IDS = torch.tensor([[5, 300, 7, 4000, 11]])


@pytest.fixture
def model() -> GPT:
    return random_model(**SHAPE, vocab_size=Tokenizer(POCKET).n_vocab).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model = random_model(**SHAPE, vocab_size=Tokenizer(POCKET).n_vocab)
    checkpoint.save(model, folder, Tokenizer(POCKET))
    return folder


@pytest.fixture
def folder(tmp_path: Path, saved: Path) -> Path:
    """A good checkpoint of `model`, to be spoiled at will."""
    return shutil.copytree(saved, tmp_path / "good", ignore=shutil.ignore_patterns(SUMS))


def weights_of(folder: Path) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}


def same(folder: Path, model: GPT) -> bool:
    with torch.inference_mode():
        return torch.equal(checkpoint.load(folder).eval()(IDS), model(IDS))


def test_what_is_saved_is_what_is_loaded(folder: Path, model: GPT) -> None:
    assert same(folder, model)


def test_names_with_prefix_masks_and_a_tied_head_load(folder: Path, model: GPT) -> None:
    weights = {f"transformer.{name}": t for name, t in weights_of(folder).items()}
    weights["lm_head.weight"] = weights["transformer.wte.weight"].clone()
    for n in range(2):
        weights[f"transformer.h.{n}.attn.bias"] = torch.ones(1, 1, 8, 8).tril()
        weights[f"transformer.h.{n}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(weights, folder / WEIGHTS)
    assert same(folder, model)


def test_masks_without_prefix_load(folder: Path, model: GPT) -> None:
    masks = {f"h.{n}.attn.bias": torch.ones(1, 1, 8, 8).tril() for n in range(2)}
    save_file(weights_of(folder) | masks, folder / WEIGHTS)
    assert same(folder, model)


def shard(folder: Path, *names: str) -> None:
    """Split the weights of `folder` over the files `names`, with the index transformers writes."""
    weights = weights_of(folder)
    (folder / WEIGHTS).unlink()
    where = {key: names[n % len(names)] for n, key in enumerate(sorted(weights))}
    for name in names:
        part = {key: t for key, t in weights.items() if where[key] == name}
        save_file(part, folder / name)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / checkpoint.INDEX).write_text(json.dumps(index))


def test_shards_load(folder: Path, model: GPT) -> None:
    shard(folder, *(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)))
    assert same(folder, model)


def test_transformers_shards_load(folder: Path, model: GPT, tmp_path: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert same(copy_vocabulary(tmp_path / "shards"), model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_float32(folder: Path, dtype: torch.dtype) -> None:
    save_file({n: t.to(dtype) for n, t in weights_of(folder).items()}, folder / WEIGHTS)
    loaded = checkpoint.load(folder)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.wte.weight, load_file(folder / WEIGHTS)["wte.weight"].float())


def test_transformers_loads_a_saved_model_without_a_word(
    folder: Path, model: GPT, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        theirs, loading = loaded
        tokenizer = AutoTokenizer.from_pretrained(folder)
    assert not any(loading.values()), loading
    said = capfd.readouterr().err
    assert "arn" not in said and "not" not in said, said
    assert not caplog.records
    with torch.inference_mode():
        assert torch.allclose(theirs.eval()(IDS).logits, model(IDS), atol=1e-4)
    text = "ROMEO:\nBut soft, what light!<|endoftext|>"
    assert tokenizer(text)["input_ids"] == Tokenizer(POCKET).encode(text)
    assert tokenizer.model_max_length == 8
    assert tokenizer.eos_token_id == theirs.config.eos_token_id == Tokenizer(POCKET).eot


def test_a_saved_configuration_has_what_llama_cpp_reads(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["n_ctx"] == config["n_positions"] == 8
    assert {"vocab.json", "merges.txt"} <= {path.name for path in folder.iterdir()}


def test_a_model_saved_twice_is_the_same_file(folder: Path, model: GPT, tmp_path: Path) -> None:
    files = {(folder / WEIGHTS).read_bytes()}
    for n in range(4):
        checkpoint.save(model, tmp_path / str(n), checkpoint.vocabulary(folder))
        files.add((tmp_path / str(n) / WEIGHTS).read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_no_finite_number_is_named(folder: Path, bad: float) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["h.1.mlp.c_fc.bias"][3] = bad
    save_file(weights, folder / WEIGHTS)
    (folder / SUMS).unlink(missing_ok=True)
    with pytest.raises(ShakegptError, match=r"h\.1\.mlp\.c_fc\.bias.*not finite") as refused:
        checkpoint.load(folder)
    assert refused.value.exit_code == 2


def test_an_existing_model_is_replaced_whole(folder: Path, model: GPT) -> None:
    mapped = checkpoint.load(folder)
    with torch.no_grad():
        model.wte.weight += 1
    checkpoint.save(model, folder, Tokenizer(POCKET))
    assert same(folder, model), "the new weights are there"
    assert not torch.equal(mapped.wte.weight, model.wte.weight), "and the old ones still mapped"
    assert not list(folder.glob(".*.part"))


def config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(folder: Path, share: float) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: int(len(data) * share)])


def replace_weights(folder: Path, **changes: Tensor | None) -> None:
    weights: dict[str, Tensor | None] = {**weights_of(folder), **changes}
    save_file({n: t for n, t in weights.items() if t is not None}, folder / WEIGHTS)


def pickled_only(folder: Path) -> None:
    torch.save(weights_of(folder), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def index_of(folder: Path, weight_map: Any) -> None:
    shutil.copyfile(folder / WEIGHTS, folder.parent / WEIGHTS)
    (folder / WEIGHTS).unlink()
    (folder / checkpoint.INDEX).write_text(json.dumps({"weight_map": weight_map}))


def both_names(folder: Path) -> None:
    weights = weights_of(folder)
    save_file(weights | {"transformer.wte.weight": weights["wte.weight"] + 1}, folder / WEIGHTS)


def shards_overlap(folder: Path) -> None:
    weights = weights_of(folder)
    (folder / WEIGHTS).unlink()
    save_file(weights, folder / "a.safetensors")
    save_file({"wte.weight": weights["wte.weight"]}, folder / "b.safetensors")
    names = {"x": "a.safetensors", "y": "b.safetensors"}
    (folder / checkpoint.INDEX).write_text(json.dumps({"weight_map": names}))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "config is binary": (lambda f: (f / "config.json").write_bytes(b"\xff\0"), "cannot be read"),
    "config is a list": (lambda f: (f / "config.json").write_text("[1]"), "not a JSON object"),
    "deep config": (lambda f: (f / "config.json").write_text("[" * 100_000), "cannot be read"),
    "another model": (lambda f: config(f, model_type="llama"), "'llama'"),
    "relu": (lambda f: config(f, activation_function="relu"), "relu"),
    "odd attention": (lambda f: config(f, scale_attn_by_inverse_layer_idx=True), "scale_attn"),
    "untied head": (lambda f: config(f, tie_word_embeddings=False), "tie_word"),
    "odd inner width": (lambda f: config(f, n_inner=10), "n_inner"),
    "no layers": (lambda f: config(f, n_layer=0), "n_layer 0"),
    "negative width": (lambda f: config(f, n_embd=-16), "n_embd -16"),
    "huge width": (lambda f: config(f, n_embd=10**12), "n_embd 10"),
    "huge depth": (lambda f: config(f, n_layer=90_000), "n_layer 90000"),
    "width as text": (lambda f: config(f, n_embd="16"), "n_embd '16'"),
    "width as truth": (lambda f: config(f, n_head=True), "n_head True"),
    "odd heads": (lambda f: config(f, n_head=3), "multiple of n_head"),
    "no heads": (lambda f: config(f, n_head=None), "n_head None"),
    "epsilon as text": (lambda f: config(f, layer_norm_epsilon="x"), "layer_norm_epsilon 'x'"),
    "epsilon missing": (lambda f: config(f, layer_norm_epsilon=None), "layer_norm_epsilon None"),
    "epsilon negative": (lambda f: config(f, layer_norm_epsilon=-1), "layer_norm_epsilon -1"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), f"no {WEIGHTS}"),
    "pickled only": (pickled_only, "shakegpt convert"),
    "empty weights": (lambda f: cut(f, 0), "truncated or not a safetensors"),
    "weights cut in the header": (lambda f: cut(f, 0.001), "truncated or not a safetensors"),
    "weights cut": (lambda f: cut(f, 0.9), "truncated or not a safetensors"),
    "foreign weights": (lambda f: (f / WEIGHTS).write_bytes(b"PK\3\4" * 99), "not a safetensors"),
    "other weights": (lambda f: save_file({"a": torch.ones(1)}, f / WEIGHTS), "weight a"),
    "a weight missing": (lambda f: replace_weights(f, **{"wpe.weight": None}), "wpe.weight"),
    "a wrong shape": (lambda f: replace_weights(f, **{"ln_f.bias": torch.ones(3)}), "(3,)"),
    "a matrix transposed": (
        lambda f: replace_weights(f, **{"h.0.mlp.c_fc.weight": torch.ones(64, 16)}),
        "(64, 16)",
    ),
    "whole numbers": (
        lambda f: replace_weights(f, **{"ln_f.bias": torch.ones(16, dtype=torch.int64)}),
        "ln_f.bias",
    ),
    "a block too many": (
        lambda f: save_file(weights_of(f) | {"h.2.ln_1.bias": torch.ones(8)}, f / WEIGHTS),
        "h.2.ln_1.bias",
    ),
    "a weight twice in a file": (both_names, "wte.weight twice"),
    "a weight twice in shards": (shards_overlap, "wte.weight twice"),
    "shards above the folder": (lambda f: index_of(f, {"a": f"../{WEIGHTS}"}), "names the shard"),
    "shards by full path": (lambda f: index_of(f, {"a": f"{f.parent}/{WEIGHTS}"}), "the shard"),
    "shards that are not there": (lambda f: index_of(f, {"a": "b.safetensors"}), "'b.safetensors'"),
    "shards that are numbers": (lambda f: index_of(f, {"a": 1, "b": "c"}), "shard"),
    "no shards": (lambda f: index_of(f, {}), "names no files"),
    "an index that is a list": (lambda f: index_of(f, [1]), "names no files"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_checkpoint_gets_a_sentence(folder: Path, name: str) -> None:
    spoil, words = BAD[name]
    spoil(folder)
    with pytest.raises(ShakegptError) as refused:
        checkpoint.load(folder)
    sentence = str(refused.value)
    assert words in sentence and "\n" not in sentence


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_every_cut_is_noticed(folder: Path, share: float) -> None:
    cut(folder, share)
    with pytest.raises(ShakegptError, match="truncated"):
        checkpoint.load(folder)


def test_names_lead_to_directories(folder: Path, tmp_path: Path) -> None:
    assert checkpoint.find("pocket").folder == POCKET
    assert checkpoint.find(str(folder)).folder == folder
    run = tmp_path / "run"
    shutil.copytree(folder, run / "model")
    (run / "log.jsonl").write_text("")
    assert checkpoint.find(str(run)).folder == run / "model"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-such-model", "no model 'no-such-model'"),
        ("./nothing/here", "no model"),
        ("/nothing/here", "no model"),
        ("a/b/c", "no model"),
        ("x" * 5000, "no model"),
        ("", "no model"),
        (__file__, "is a file"),
    ],
)
def test_a_name_that_leads_nowhere_gets_a_sentence(name: str, words: str) -> None:
    with pytest.raises(ShakegptError, match=words):
        checkpoint.find(name)


def test_a_run_without_a_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(ShakegptError, match="no model yet"):
        checkpoint.find(str(tmp_path))


MEASURE = """
import re, sys
import torch
from pathlib import Path
from shakegpt.checkpoint import io as checkpoint
torch.set_num_threads(1)
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
checkpoint.load(Path(sys.argv[2]))  # whatever is imported at the first call is there now
before = peak()
model = checkpoint.load(Path(sys.argv[1]))
assert sum(p.sum().item() for p in model.parameters()) != 0  # every page is looked at
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's peak memory")
def test_loading_keeps_one_copy_of_the_weights(tmp_path: Path, folder: Path) -> None:
    with torch.device("meta"):
        big = GPT(GPTConfig(n_layer=6, n_head=8, n_embd=640, block_size=64, vocab_size=4096))
    big.to_empty(device="cpu")
    with torch.no_grad():
        for p in big.parameters():
            p.fill_(0.01)
    size = checkpoint.save(big, tmp_path, Tokenizer(POCKET))
    del big
    assert size > 120 << 20
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert size * 0.8 < int(done.stdout) << 10 < size * 1.25
