"""Make a safe checkpoint directory from other programs' checkpoints: ckpt.pt, pytorch_model.bin.

Pickles are opened in a separate process (`unpickle`). nanoGPT's weights are those of nn.Linear, the
transpose of GPT-2's; missing biases become zeros.
"""

from __future__ import annotations

import json
import shutil
import string
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from shakegpt.checkpoint import hub, tensorfile
from shakegpt.checkpoint.config_json import read_json
from shakegpt.checkpoint.hints import PICKLES
from shakegpt.checkpoint.io import INDEX, load, require_rows, save, shards
from shakegpt.checkpoint.resolve import find, is_on_hub
from shakegpt.checkpoint.weights import HEAD, plain_names
from shakegpt.data.tokenizer import Tokenizer, byte_to_unicode
from shakegpt.errors import ShakegptError
from shakegpt.files import WEIGHTS, scratch_folder
from shakegpt.hardware.resource_errors import writing

MATRICES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
UNTIED = {"tie_word_embeddings": False}
CHARACTERS = "\n !$&',-.3:;?" + string.ascii_uppercase + string.ascii_lowercase
"""nanoGPT's character vocabulary of tinyshakespeare, in the order of its ids."""


def unpickle_in_subprocess(files: list[Path], scratch: Path) -> None:
    """Run `unpickle.main` in a separate process. Raises ValueError with its error message."""
    size = sum(path.stat().st_size for path in files)
    words = [sys.executable, "-P", "-m", "shakegpt.checkpoint.unpickle", str(scratch)]
    try:
        done = subprocess.run(
            [*words, *map(str, files)],
            capture_output=True,
            text=True,
            timeout=300 + size / (10 << 20),
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{files[0]} could not be read in {error.timeout:.0f} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ValueError(lines[-1] if lines else f"{files[0]} could not be read: its reader died")


def convert(
    source: str,
    directory: Path,
    tokenizer: str | None = None,
    unpickle: Callable[[list[Path], Path], None] = unpickle_in_subprocess,
) -> list[str]:
    """Write the GPT-2 in `source` to `directory`, which must be new or empty; returns notes.

    `source` is a file by torch.save or safetensors, a directory with one, or a name on the hub.
    `tokenizer` is gpt2, char, or a directory with a vocabulary, for a source without one. Raises
    ShakegptError for what is not a GPT-2; then nothing is written.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ShakegptError(f"{directory} is not empty: give a new directory")
    home, files = _files(source)
    # on the disk of the result: /tmp may be in memory, and too small for large weights
    parent = directory.absolute().parent if directory.absolute().parent.is_dir() else None
    with scratch_folder(parent=parent) as scratch:
        weights, arguments = _weights(files, scratch, unpickle)
        staged = scratch / "checkpoint"
        staged.mkdir()
        for path in home.glob("*.json") if home is not None else ():
            if path.name != INDEX and path.is_file():
                shutil.copyfile(path, staged / path.name)
        if home is not None and (home / "merges.txt").is_file():
            shutil.copyfile(home / "merges.txt", staged / "merges.txt")
        notes = _as_gpt2(weights, arguments, staged, source)
        tensorfile.write(weights, staged / WEIGHTS, {"format": "pt"})
        vocabulary = _vocabulary(staged, tokenizer, source)
        model = load(staged)
        require_rows(staged, vocabulary, model.config.vocab_size)
        notes += vocabulary.warnings
        part = scratch / "whole"
        if parent is None:
            part = directory.with_name(f".{directory.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            save(model, part, vocabulary)
            with writing(directory.parent, 0):
                part.replace(directory)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    if model.config.vocab_size > vocabulary.n_vocab:
        notes.append(
            f"the embedding has {model.config.vocab_size:,} rows for {vocabulary.n_vocab:,} "
            "tokens: the rest is kept and never sampled"
        )
    return notes


def _files(source: str) -> tuple[Path | None, list[Path]]:
    """The directory with configuration and vocabulary, and the files of the weights."""
    path = Path(source)
    if path.is_file():
        if path.suffix not in (*PICKLES, ".safetensors"):
            kinds = ", ".join((*PICKLES, ".safetensors"))
            raise ShakegptError(f"cannot convert {path}: give a file that ends in {kinds}")
        return path.parent, [path]
    if not path.is_dir():
        if path.exists() or path.suffix in PICKLES or not is_on_hub(source):
            raise ShakegptError(f"there is no file or directory {source}")
        path = hub.fetch_pickled(source)
    for name in (WEIGHTS, "pytorch_model.bin"):
        if (path / name).is_file():
            return path, [path / name]
        index = path / f"{name}.index.json"
        if index.is_file():
            return path, shards(index)
    pickles = sorted(p for p in path.iterdir() if p.suffix in (".pt", ".pth", ".ckpt"))
    pickles = [p for p in pickles if p.stem in ("ckpt", "model", "checkpoint")] or pickles
    if len(pickles) != 1:
        names = ", ".join(p.name for p in pickles) or "no weights of PyTorch"
        raise ShakegptError(f"{path} has {names}: give the file to convert")
    return path, pickles


def _weights(
    files: list[Path], scratch: Path, unpickle: Callable[[list[Path], Path], None]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors by their names in the files, and nanoGPT's model_args, or {}."""
    if files[0].suffix == ".safetensors":
        try:
            return {k: t for path in files for k, t in load_file(path).items()}, {}
        except (SafetensorError, OSError) as error:
            raise ShakegptError(
                f"{files[0]} is truncated or not a safetensors file ({error})"
            ) from error
    try:
        unpickle(files, scratch)
    except ValueError as error:
        raise ShakegptError(str(error)) from error
    info = json.loads((scratch / "info.json").read_text("utf-8"))
    return load_file(scratch / WEIGHTS), info.get("model_args", {})


def _as_gpt2(
    weights: dict[str, Tensor], arguments: Mapping[str, Any], staged: Path, source: str
) -> list[str]:
    """Rename and transpose `weights` in place, write a missing config.json; returns notes."""
    notes = list[str]()
    names = plain_names(weights)
    for key, name in names.items():
        if name in weights and name != key:
            raise ShakegptError(f"{source} has the weight {name} twice: which one is unclear")
        weights[name] = weights.pop(key)
    if arguments:
        required = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")
        if missing := [key for key in required if key not in arguments]:
            raise ShakegptError(f"{source} has model_args without {missing[0]}: not nanoGPT's")
        config = {key: arguments[key] for key in required} | {"model_type": "gpt2"}
        config["n_positions"] = config.pop("block_size")
        config["activation_function"] = "gelu"  # nanoGPT's is exact
        (staged / "config.json").write_text(json.dumps(config), "utf-8")
    elif not (staged / "config.json").exists():
        raise ShakegptError(
            f"{source} has neither nanoGPT's model_args nor a config.json beside it: the number of "
            "heads is unknown; put the model's config.json there"
        )
    query = weights.get("h.0.attn.c_attn.weight")
    if query is not None and query.dim() == 2 and query.size(0) == 3 * query.size(1):
        for name in weights:
            if name.endswith(tuple(f"{matrix}.weight" for matrix in MATRICES)):
                weights[name] = weights[name].t().contiguous()
        notes.append("linear layers are transposed: nanoGPT keeps them as nn.Linear")
    matrices = [name for name in weights if name.endswith(".weight") and name.startswith("h.")]
    matrices += [name for name in ("ln_f.weight",) if name in weights]
    unbiased = [n for n in matrices if n.removesuffix("weight") + "bias" not in weights]
    for name in unbiased:
        width = weights[name].shape[-1]
        weights[name.removesuffix("weight") + "bias"] = torch.zeros(width)
    if unbiased:
        notes.append(f"{len(unbiased)} layers have no bias: zeros, which compute the same")
    if HEAD in weights:
        config = read_json(staged / "config.json")
        if not torch.equal(weights[HEAD], weights.setdefault("wte.weight", weights[HEAD])):
            (staged / "config.json").write_text(json.dumps(config | UNTIED), "utf-8")
            notes.append("the head has weights of its own, which differ from the embedding's")
        elif config.get("tie_word_embeddings", True):
            del weights[HEAD]
    return notes


def _vocabulary(staged: Path, name: str | None, source: str) -> Tokenizer:
    """The vocabulary beside the weights, or the one called `name`."""
    if name is None:
        if not any((staged / file).exists() for file in ("tokenizer.json", "vocab.json")):
            rows = read_json(staged / "config.json").get("vocab_size")
            likely = {50257: "gpt2", 50304: "gpt2", len(CHARACTERS): "char"}.get(
                rows if isinstance(rows, int) else 0, "DIR"
            )
            raise ShakegptError(
                f"{source} has no vocabulary, for {rows} ids: add --tokenizer {likely} (gpt2, char "
                "for nanoGPT's shakespeare_char, or a directory with a vocabulary); a meta.pkl is "
                "not opened, since a pickle may run code"
            )
        return Tokenizer(staged)
    for file in ("tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json",
                 "special_tokens_map.json", "tokenizer_config.json"):  # fmt: skip
        (staged / file).unlink(missing_ok=True)
    if name != "char":
        return Tokenizer(find(name).folder)
    rows = read_json(staged / "config.json").get("vocab_size")
    if rows != len(CHARACTERS):
        raise ShakegptError(
            f"--tokenizer char is nanoGPT's {len(CHARACTERS)} characters of shakespeare_char, and "
            f"{source} has {rows} ids: give a directory with vocab.json and merges.txt"
        )
    table = byte_to_unicode()
    vocab = {table[ord(char)]: id for id, char in enumerate(CHARACTERS)}
    (staged / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")
    (staged / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return Tokenizer(staged)
