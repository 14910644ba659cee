"""A GPT-2 checkpoint directory and a model, one into the other.

A checkpoint is config.json, model.safetensors (one file or shards), vocab.json and merges.txt.
Weights are memory-mapped, so that the file's pages are the model's memory until training writes to
them: one copy, never two. Only safetensors and JSON are read; a pickle never is.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from shakegpt.checkpoint import tensorfile
from shakegpt.checkpoint.config_json import read_config as read_config
from shakegpt.checkpoint.config_json import read_json
from shakegpt.checkpoint.resolve import POCKET as POCKET
from shakegpt.checkpoint.resolve import find as find
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import (
    PART,
    flush_to_disk,
    seal,
    sha256,
    sums_of,
    verified_path,
    write_atomically,
)
from shakegpt.files import WEIGHTS as WEIGHTS
from shakegpt.model import GPT, GPTConfig
from shakegpt.nn.lora import merged
from shakegpt.resource_errors import writing

INDEX = "model.safetensors.index.json"
_MASK = re.compile(r"h\.\d+\.attn\.(masked_)?bias")
"""What old exports keep beside the weights of a block: the causal mask, which follows from none."""


def load(folder: Path, dropout: float = 0.0) -> GPT:
    """The model of a checkpoint directory, float32, on the CPU. Raises ShakegptError."""
    config = read_config(folder)
    with torch.device("meta"):
        model = GPT(replace(config, dropout=dropout))
    assign(model, folder, _weight_files(folder))
    return model


def vocabulary(folder: Path) -> Tokenizer:
    """The vocabulary of a checkpoint directory. Raises ShakegptError for one that does not fit."""
    tokenizer = Tokenizer(folder)
    if tokenizer.n_vocab > read_config(folder).vocab_size:
        raise ShakegptError(f"{folder}: vocab.json has more tokens than the model's embedding")
    return tokenizer


def assign(model: GPT, folder: Path, files: list[Path]) -> None:
    """Give `model` the weights in `files`, mapped, not copied; every parameter exactly once."""
    missing = dict(model.named_parameters())
    for path in files:
        for name, tensor in _tensors(path, dict(model.named_parameters())):
            if name not in missing:
                raise ShakegptError(f"{folder} has the weight {name} twice: which one is unclear")
            _require_finite(path, name, tensor)
            _set_parameter(model, name, nn.Parameter(tensor.float()))
            del missing[name]
    if missing:
        raise ShakegptError(
            f"{folder} lacks the weight {min(missing)}: the download or copy is not complete"
        )


def _tensors(path: Path, wanted: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Those tensors of a file that are wanted, under the model's names, their shapes checked."""
    try:
        with safe_open(path, framework="pt") as file:
            keys = [(key, key.removeprefix("transformer.")) for key in file.keys()]  # noqa: SIM118
            for key, name in keys:
                if name not in wanted and name.startswith("h.") and not _MASK.fullmatch(name):
                    raise ShakegptError(
                        f"{path} has {key}, for which config.json leaves no place: take both from "
                        "one checkpoint"
                    )
                found = file.get_slice(key)
                shape = tuple(found.get_shape())
                if name in wanted and shape != tuple(wanted[name].shape):
                    raise ShakegptError(
                        f"{path} has {key} of shape {shape}, and config.json says "
                        f"{tuple(wanted[name].shape)}"
                    )
                if name in wanted and found.get_dtype() not in ("F64", "F32", "F16", "BF16"):
                    raise ShakegptError(f"{path} has {key} in {found.get_dtype()}: give floats")
            return [(name, file.get_tensor(key)) for key, name in keys if name in wanted]
    except (SafetensorError, OSError) as error:
        raise ShakegptError(
            f"{path} is torn or no safetensors file ({error}): fetch or copy it again"
        ) from error


def _require_finite(path: Path, name: str, tensor: Tensor) -> None:
    """One pass with no copy: a NaN comes through `aminmax`, as minimum and as maximum."""
    if not all(math.isfinite(end) for end in tensor.aminmax()):
        raise ShakegptError(
            f"{path} is damaged: {name} has a number that is not finite; take another checkpoint"
        )


def _set_parameter(model: nn.Module, name: str, value: nn.Parameter) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, value)


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).exists():
        return [verified_path(folder, WEIGHTS)]
    if not (folder / INDEX).exists():
        pickled = any(folder.glob("*.bin"))
        hint = "it has only a pickled one, which is not opened" if pickled else "copy it there"
        raise ShakegptError(f"{folder} has no {WEIGHTS}: {hint}")
    shards = read_json(folder / INDEX).get("weight_map")
    names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ShakegptError(f"{folder}/{INDEX} names the shard {name!r}, which is not there")
    return [verified_path(folder, name) for name in names]


Write = Callable[[Mapping[str, Tensor], Path, dict[str, str]], None]
"""Writes tensors and what is said of them to a safetensors file."""


def save(model: GPT, folder: Path, tokenizer: Tokenizer, write: Write = tensorfile.write) -> int:
    """Write `model` as a GPT-2 directory that transformers loads; returns the weights' bytes.

    The weights come last and are replaced whole: a reader never sees half a checkpoint.
    """
    weights = dict(merged(model))
    with writing(folder, sum(4 * tensor.numel() for tensor in weights.values())):
        describe(folder, model.config, tokenizer)
        part = folder / f".{WEIGHTS}{PART}"
        for pattern in (".tmp*", f".*{PART}"):  # of a trainer or of safetensors, when killed
            for left in folder.glob(pattern):
                left.unlink()
        write(weights, part, {"format": "pt"})  # of two keys the order would change
        part.chmod((folder / "config.json").stat().st_mode & 0o777)  # safetensors makes it private
        flush_to_disk(part)
        _replace_weights(folder, part)
        return (folder / WEIGHTS).stat().st_size


def _replace_weights(folder: Path, part: Path) -> None:
    """Rename `part`, its sum written down before: whichever weights are there, they are known."""
    new, known = sha256(part), sums_of(folder, WEIGHTS)
    seal(folder, {WEIGHTS: [*known, new]})
    part.replace(folder / WEIGHTS)
    flush_to_disk(folder)
    seal(folder, {WEIGHTS: [*known[-1:], new]})


def describe(folder: Path, config: GPTConfig, tokenizer: Tokenizer) -> None:
    """Write all of a checkpoint but its weights: configuration and vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: (tokenizer.folder / name).read_bytes() for name in ("vocab.json", "merges.txt")}
    for name, content in _describe(config, tokenizer.eot).items():
        files[name] = json.dumps(content, indent=2).encode() + b"\n"
    for name, data in files.items():
        if data != _bytes_of(folder / name):
            write_atomically(folder / name, data)
    seal(folder, {name: [hashlib.sha256(data).hexdigest()] for name, data in files.items()})


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _describe(config: GPTConfig, eot: int | None) -> dict[str, dict[str, Any]]:
    """The JSON files of a checkpoint. Llama.cpp needs n_ctx, which transformers 5 leaves out."""
    return {
        "config.json": {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "activation_function": "gelu_new",
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
            "tie_word_embeddings": True,
            "bos_token_id": eot,
            "eos_token_id": eot,
            "dtype": "float32",
        },
        "generation_config.json": {"bos_token_id": eot, "eos_token_id": eot},
        "tokenizer_config.json": {
            "tokenizer_class": "GPT2Tokenizer",
            "model_max_length": config.block_size,
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "add_prefix_space": False,
        },
    }
