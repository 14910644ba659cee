"""Read the shape of a GPT-2 from config.json. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shakegpt.config import GPTConfig
from shakegpt.errors import ShakegptError
from shakegpt.files import read_text

LARGEST = {"n_layer": 1000, "vocab_size": 1_000_000}
"""No size in a config.json may be larger, or it is refused before anything is built from it."""
LARGEST_ELSE = 100_000


def read_config(folder: Path) -> GPTConfig:
    """The shape of the checkpoint in `folder`, checked before any memory is taken.

    Raises ShakegptError for a directory that is no checkpoint of a GPT-2 as this model computes it.
    """
    raw = read_json(folder / "config.json")
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


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint. Raises ShakegptError when there is none."""
    try:
        raw = json.loads(read_text(path.parent, path.name))
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
