"""A GPT-2 checkpoint directory and a model, one into the other; where a name leads.

A checkpoint is config.json, model.safetensors (one file or shards), vocab.json and merges.txt.
Weights are memory-mapped, so that the file's pages are the model's memory until training writes to
them: one copy, never two. Only safetensors and JSON are read; a pickle never is.
"""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from shakegpt.errors import ShakegptError
from shakegpt.hub import HUB_NAMES, fetch
from shakegpt.model import GPT, GPTConfig
from shakegpt.tokenizer import Tokenizer

POCKET = Path(__file__).parent / "pocket"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST = {"n_layer": 1000, "vocab_size": 1_000_000}
"""No size in a config.json may be larger, or it is refused before anything is built from it."""
LARGEST_ELSE = 100_000


@dataclass(frozen=True)
class Source:
    """Where a model comes from: what it is called in the log, and its directory."""

    name: str
    folder: Path


def find(name: str) -> Source:
    """The directory that `name` means: pocket, a directory, a run, or a name on the hub.

    Local files and the hub's cache come first, then the network. Raises ShakegptError.
    """
    if name == "pocket":
        return Source(name, POCKET)
    path = Path(name)
    with suppress(OSError):  # a name too long for a path may still get the sentence below
        if name and path.is_dir():
            is_run = (path / "log.jsonl").exists()
            return Source(path.resolve().name, _model_of_run(path) if is_run else path)
        if name and path.exists():
            raise ShakegptError(f"{name} is a file: give the directory that holds the checkpoint")
    if name not in HUB_NAMES and (name.startswith((".", "/", "~")) or name.count("/") != 1):
        known = ", ".join(["pocket", *HUB_NAMES])
        raise ShakegptError(
            f"there is no model {reprlib.repr(name)}: give {known}, owner/name on the Hugging Face "
            "hub, a checkpoint directory, a run, or scratch"
        )
    return Source(name, fetch(name))


def _model_of_run(run: Path) -> Path:
    if not (run / "model" / WEIGHTS).exists():
        raise ShakegptError(
            f"{run} has no model yet: it saves one when the val loss first improves; wait for that"
        )
    return run / "model"


def read_config(folder: Path) -> GPTConfig:
    """The shape of the checkpoint in `folder`, checked before any memory is taken.

    Raises ShakegptError for a directory that is no checkpoint of a GPT-2 as this model computes it.
    """
    raw = _read_json(folder / "config.json")
    if raw.get("model_type") != "gpt2":
        raise ShakegptError(f"{folder} holds a {raw.get('model_type')!r} model: give a GPT-2")
    odd = [key for key, usual in _COMPUTED_AS.items() if raw.get(key, usual[0]) not in usual]
    if odd:
        raise ShakegptError(f"{folder}/config.json has {odd[0]} {raw[odd[0]]!r}: not GPT-2's own")
    shape = {ours: _size(folder, raw, theirs) for ours, theirs in _SHAPE.items()}
    if raw.get("n_inner") not in (None, 4 * shape["n_embd"]):
        raise ShakegptError(f"{folder}/config.json has n_inner {raw['n_inner']}, not 4 x n_embd")
    if shape["n_embd"] % shape["n_head"]:
        raise ShakegptError(f"{folder}/config.json: n_embd is no multiple of n_head")
    epsilon = raw.get("layer_norm_epsilon", 1e-5)
    if type(epsilon) not in (int, float) or not 0 < epsilon < 1:
        raise ShakegptError(f"{folder}/config.json has layer_norm_epsilon {epsilon!r}: give 1e-5")
    return GPTConfig(**shape, layer_norm_epsilon=float(epsilon))


_SHAPE = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "block_size": "n_positions",
    "vocab_size": "vocab_size",
}
_COMPUTED_AS: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}


def _size(folder: Path, raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    most = LARGEST.get(key, LARGEST_ELSE)
    if type(value) is not int or not 1 <= value <= most:
        raise ShakegptError(f"{folder}/config.json has {key} {value!r}: no size of a GPT-2")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ShakegptError(
            f"{path.parent} is no checkpoint: it has no {path.name}; give a directory with "
            "config.json, model.safetensors, vocab.json and merges.txt"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ShakegptError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise ShakegptError(f"{path} is no JSON object: it is no part of a checkpoint")
    return raw


def load(folder: Path, dropout: float = 0.0) -> GPT:
    """The model of a checkpoint directory, float32, on the CPU. Raises ShakegptError."""
    config = read_config(folder)
    with torch.device("meta"):
        model = GPT(GPTConfig(**{**config.__dict__, "dropout": dropout}))
    assign(model, folder, _weight_files(folder))
    return model


def assign(model: GPT, folder: Path, files: list[Path]) -> None:
    """Give `model` the weights in `files`, mapped, not copied; every parameter exactly once."""
    missing = dict(model.named_parameters())
    for path in files:
        for name, tensor in _tensors(path, dict(model.named_parameters())):
            if name not in missing:
                raise ShakegptError(f"{folder} has the weight {name} twice: which one is unclear")
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


def _set_parameter(model: nn.Module, name: str, value: nn.Parameter) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, value)


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        pickled = any(folder.glob("*.bin"))
        hint = "it has only a pickled one, which is not opened" if pickled else "copy it there"
        raise ShakegptError(f"{folder} has no {WEIGHTS}: {hint}")
    shards = _read_json(folder / INDEX).get("weight_map")
    names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ShakegptError(f"{folder}/{INDEX} names the shard {name!r}, which is not there")
    return [folder / name for name in names]


def save(model: GPT, folder: Path, tokenizer: Tokenizer, iteration: int) -> int:
    """Write `model` as a GPT-2 directory that transformers loads; returns the weights' bytes.

    The weights come last and are replaced whole: a reader never sees half a checkpoint.
    """
    describe(folder, model.config, tokenizer)
    part = folder / f".{WEIGHTS}.part"
    weights = {name: p.detach().cpu() for name, p in model.named_parameters()}
    save_file(weights, part, {"format": "pt", "iteration": str(iteration)})
    part.chmod(0o644)  # safetensors makes it private
    settle(part)
    part.replace(folder / WEIGHTS)
    settle(folder)
    return (folder / WEIGHTS).stat().st_size


def describe(folder: Path, config: GPTConfig, tokenizer: Tokenizer) -> None:
    """Write all of a checkpoint but its weights: configuration and vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: (tokenizer.folder / name).read_bytes() for name in ("vocab.json", "merges.txt")}
    for name, content in _describe(config, tokenizer.eot).items():
        files[name] = json.dumps(content, indent=2).encode() + b"\n"
    for name, data in files.items():
        if data != _bytes_of(folder / name):
            replace_file(folder / name, data)


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`, whole or not at all, even through a power cut."""
    part = path.with_name(f".{path.name}.part")
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def settle(path: Path) -> None:
    """Return when a file, or the names in a directory, are on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
