"""Load a model from a GPT-2 checkpoint directory, and save it as one.

A checkpoint is config.json, model.safetensors (one file or shards) and a vocabulary: vocab.json and
merges.txt, or tokenizer.json, with further files of transformers. Weights are memory-mapped: the
pages of the file are the model's memory until training writes to them. Only safetensors and JSON
are read, never a pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shakegpt.checkpoint import tensorfile
from shakegpt.checkpoint.config_json import read_config as read_config
from shakegpt.checkpoint.config_json import read_json
from shakegpt.checkpoint.hints import no_weights
from shakegpt.checkpoint.resolve import POCKET as POCKET
from shakegpt.checkpoint.resolve import find as find
from shakegpt.checkpoint.weights import HEAD, PREFIX, one_by_one
from shakegpt.checkpoint.weights import assign as assign
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.data.vocabulary import tokenizer_config, vocabulary_files
from shakegpt.errors import ShakegptError
from shakegpt.files import (
    PART,
    flush_to_disk,
    seal,
    sums_of,
    verified_path,
    write_atomically,
)
from shakegpt.files import WEIGHTS as WEIGHTS
from shakegpt.hardware.resource_errors import writing
from shakegpt.model import GPT, GPTConfig
from shakegpt.nn.lora import merged

INDEX = "model.safetensors.index.json"


def load(folder: Path, dropout: float = 0.0) -> GPT:
    """The model of a checkpoint directory, float32, on the CPU. Raises ShakegptError."""
    config = read_config(folder)
    with torch.device("meta"):
        model = GPT(replace(config, dropout=dropout))
    assign(model, folder, weight_files(folder))
    return model


def weights(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The weights of a checkpoint directory by name, float32, one in memory at a time.

    Raises ShakegptError, as `load` does.
    """
    with torch.device("meta"):
        parameters = dict(GPT(read_config(folder)).named_parameters())
    yield from one_by_one(folder, weight_files(folder), parameters)


def vocabulary(folder: Path) -> Tokenizer:
    """The vocabulary of a checkpoint directory. Raises ShakegptError for one that does not fit."""
    tokenizer = Tokenizer(folder)
    require_rows(folder, tokenizer, read_config(folder).vocab_size)
    return tokenizer


def require_rows(folder: Path, tokenizer: Tokenizer, rows: int) -> None:
    """Raise ShakegptError if there are more tokens than `rows` of the embedding."""
    if tokenizer.n_vocab > rows:
        beyond = tokenizer.decode([rows])
        raise ShakegptError(
            f"{folder} has {tokenizer.n_vocab:,} tokens, and the embedding {rows:,} rows: the "
            f"token {beyond!r} has none; in transformers, call "
            "model.resize_token_embeddings(len(tokenizer)) and save both again"
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, their checksums verified. Raises ShakegptError."""
    if (folder / WEIGHTS).exists():
        return [verified_path(folder, WEIGHTS)]
    if not (folder / INDEX).exists():
        raise ShakegptError(no_weights(folder))
    return [verified_path(folder, path.name) for path in shards(folder / INDEX)]


def shards(index: Path) -> list[Path]:
    """The files that the index of a checkpoint names. Raises ShakegptError for a missing one."""
    mapped = read_json(index).get("weight_map")
    names = sorted(set(map(str, mapped.values()))) if isinstance(mapped, dict) else []
    paths = [index.parent / name for name in names]
    if not paths:
        raise ShakegptError(f"{index} names no files")
    for name, path in zip(names, paths, strict=True):
        if path.name != name or not path.is_file():
            raise ShakegptError(f"{index} names the shard {name!r}, which does not exist")
    return paths


Write = Callable[[Mapping[str, Tensor], Path, dict[str, str]], str]
"""Writes tensors and metadata to a safetensors file; returns its sha256."""


def save(model: GPT, folder: Path, tokenizer: Tokenizer, write: Write = tensorfile.write) -> int:
    """Write `model` as a GPT-2 directory that transformers loads; returns the weights' bytes.

    The weights are written last and replaced atomically: a reader never sees half a checkpoint.
    """
    weights = dict(merged(model))
    if not model.config.tie_word_embeddings:  # transformers 4 needs the prefix then
        weights = {n if n == HEAD else PREFIX + n: tensor for n, tensor in weights.items()}
    with writing(folder, sum(4 * tensor.numel() for tensor in weights.values())):
        describe(folder, model.config, tokenizer)
        part = folder / f".{WEIGHTS}{PART}"
        for stale in folder.glob(f".*{PART}"):  # of a trainer that was killed
            stale.unlink()
        new, old = write(weights, part, {"format": "pt"}), sums_of(folder, WEIGHTS)
        seal(folder, {WEIGHTS: [*old, new]})  # valid before and after the replacement
        part.replace(folder / WEIGHTS)
        part.unlink(missing_ok=True)  # it stays if both were links to one file: a state's
        flush_to_disk(folder)
        seal(folder, {WEIGHTS: [*old[-1:], new]})
        return (folder / WEIGHTS).stat().st_size


def describe(folder: Path, config: GPTConfig, tokenizer: Tokenizer) -> None:
    """Write configuration and vocabulary of a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    v = tokenizer.vocabulary
    files = vocabulary_files(v)
    described = {
        "config.json": _config(config, tokenizer.default_ids | v.ids),
        "generation_config.json": tokenizer.default_ids | v.generation,
        "tokenizer_config.json": tokenizer_config(v, config.block_size),
    }
    for name, content in described.items():
        files[name] = json.dumps(content, indent=2).encode() + b"\n"
    for name, data in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != data:
            write_atomically(path, data)
    seal(folder, {name: [hashlib.sha256(data).hexdigest()] for name, data in files.items()})


def _config(config: GPTConfig, ids: Mapping[str, Any]) -> dict[str, Any]:
    """config.json of a checkpoint. llama.cpp needs n_ctx, which transformers 5 leaves out."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": config.activation_function,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_inner": None,
        "n_positions": config.block_size,
        "n_ctx": config.block_size,
        "vocab_size": config.vocab_size,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "attn_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "resid_pdrop": 0.1,
        "initializer_range": 0.02,
        "scale_attn_weights": True,
        "tie_word_embeddings": config.tie_word_embeddings,
        **ids,
        "dtype": "float32",
    }
