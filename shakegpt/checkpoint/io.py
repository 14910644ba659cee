"""A GPT-2 checkpoint directory and a model, one into the other.

A checkpoint is config.json, model.safetensors (one file or shards) and a vocabulary: vocab.json and
merges.txt, or tokenizer.json, with what transformers writes beside them.
Weights are memory-mapped, so that the file's pages are the model's memory until training writes to
them: one copy, never two. Only safetensors and JSON are read; a pickle never is.
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
from shakegpt.model import GPT, GPTConfig
from shakegpt.nn.lora import merged
from shakegpt.resource_errors import writing

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
        wanted = dict(GPT(read_config(folder)).named_parameters())
    yield from one_by_one(folder, weight_files(folder), wanted)


def vocabulary(folder: Path) -> Tokenizer:
    """The vocabulary of a checkpoint directory. Raises ShakegptError for one that does not fit."""
    tokenizer = Tokenizer(folder)
    require_rows(folder, tokenizer, read_config(folder).vocab_size)
    return tokenizer


def require_rows(folder: Path, tokenizer: Tokenizer, rows: int) -> None:
    """Raise ShakegptError for a token beyond the `rows` of the embedding."""
    if tokenizer.n_vocab > rows:
        beyond = tokenizer.decode([rows])
        raise ShakegptError(
            f"{folder} has {tokenizer.n_vocab:,} tokens, and the embedding {rows:,} rows: the "
            f"token {beyond!r} has none; in transformers, call "
            "model.resize_token_embeddings(len(tokenizer)) and save both again"
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, checked against their sums. Raises ShakegptError."""
    if (folder / WEIGHTS).exists():
        return [verified_path(folder, WEIGHTS)]
    if not (folder / INDEX).exists():
        raise ShakegptError(no_weights(folder))
    shards = read_json(folder / INDEX).get("weight_map")
    names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ShakegptError(f"{folder}/{INDEX} names the shard {name!r}, which is not there")
    return [verified_path(folder, name) for name in names]


Write = Callable[[Mapping[str, Tensor], Path, dict[str, str]], str]
"""Writes tensors and metadata to a safetensors file; returns its sha256."""


def save(model: GPT, folder: Path, tokenizer: Tokenizer, write: Write = tensorfile.write) -> int:
    """Write `model` as a GPT-2 directory that transformers loads; returns the weights' bytes.

    The weights come last and are replaced whole: a reader never sees half a checkpoint.
    """
    weights = dict(merged(model))
    if (
        not model.config.tie_word_embeddings
    ):  # transformers 4 takes other names for an inner model's
        weights = {n if n == HEAD else PREFIX + n: tensor for n, tensor in weights.items()}
    with writing(folder, sum(4 * tensor.numel() for tensor in weights.values())):
        describe(folder, model.config, tokenizer)
        part = folder / f".{WEIGHTS}{PART}"
        for left in folder.glob(f".*{PART}"):  # of a trainer that was killed
            left.unlink()
        new, known = write(weights, part, {"format": "pt"}), sums_of(folder, WEIGHTS)
        seal(folder, {WEIGHTS: [*known, new]})  # whichever weights are there, their sum is known
        part.replace(folder / WEIGHTS)
        flush_to_disk(folder)
        seal(folder, {WEIGHTS: [*known[-1:], new]})
        return (folder / WEIGHTS).stat().st_size


def describe(folder: Path, config: GPTConfig, tokenizer: Tokenizer) -> None:
    """Write all of a checkpoint but its weights: configuration and vocabulary."""
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
        if data != _bytes_of(folder / name):
            write_atomically(folder / name, data)
    seal(folder, {name: [hashlib.sha256(data).hexdigest()] for name, data in files.items()})


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


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
