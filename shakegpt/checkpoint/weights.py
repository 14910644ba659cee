"""Find a GPT-2's weights in safetensors files, by the names of various training scripts.

Scripts wrap a model and save the wrapper's names: `_orig_mod.` of torch.compile, `module.` of DDP,
`model.` and `transformer.` of other classes. Every tensor in the files is loaded, known to have no
effect (causal masks), reported as a warning (heads for other tasks), or an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from shakegpt.errors import ShakegptError
from shakegpt.model import GPT

PREFIX = "transformer."
"""Prefix of all weights but the head's in a GPT2LMHeadModel."""
HEAD = "lm_head.weight"
EMBEDDING = "wte.weight"
_MASK = re.compile(r"h\.\d+\.attn\.(masked_)?bias")
"""Causal masks, which old exports save with the weights of a block."""
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_FAMILIAR = {"", "transformer", "model"}
_OTHER_HEADS = re.compile(
    r"(multiple_choice_head|score|classifier|qa_outputs|v_head|value_head)\.(summary\.)?\w+"
)


@dataclass(frozen=True)
class StoredWeight:
    """A weight in a file: the model's name for it, and the file's."""

    name: str
    path: Path
    key: str


@dataclass(frozen=True)
class Contents:
    """The contents of a checkpoint's files: weights, a tied model's separate head, and warnings."""

    weights: tuple[StoredWeight, ...]
    head: StoredWeight | None
    warnings: tuple[str, ...]


def plain_names(keys: Iterable[str]) -> dict[str, str]:
    """key -> the name in GPT2Model, without the prefixes of wrappers, or with `lm_head.`."""
    bare = {key: ".".join(p for p in key.split(".") if p not in _WRAPPERS) for key in keys}
    prefixes = {
        name.removesuffix(end)
        for name in bare.values()
        for end in (EMBEDDING, "wpe.weight", "ln_f.weight")
        if name.endswith(end) and name.removesuffix(end)[-1:] in ("", ".")
    }
    prefixes |= {prefix.removesuffix("transformer.") for prefix in prefixes} | {"transformer."}
    ordered = sorted(prefixes, key=len, reverse=True)
    return {
        key: next((name[len(p) :] for p in ordered if name.startswith(p)), name)
        for key, name in bare.items()
    }


def contents(folder: Path, files: Iterable[Path], parameters: Mapping[str, Tensor]) -> Contents:
    """Locate the weights of `parameters`, with their shapes checked. Raises ShakegptError."""
    keys = {(path, key): info for path in files for key, info in _header(path).items()}
    names = plain_names(key for _, key in keys)
    weights, heads, warnings = dict[str, StoredWeight](), dict[str, StoredWeight](), list[str]()
    for (path, key), (shape, dtype) in keys.items():
        name = names[key]
        if _MASK.fullmatch(name):
            continue
        if _OTHER_HEADS.fullmatch(name):
            warnings.append(f"{path.name} has {key}, a head for another task: ignored")
            continue
        expected = parameters.get(EMBEDDING if name == HEAD else name)
        if expected is None:
            raise ShakegptError(_unexpected(path, key))
        _require_kind(path, key, shape, dtype, tuple(expected.shape))
        known = heads if name == HEAD and name not in parameters else weights
        if name in known:
            raise ShakegptError(f"{folder} has the weight {name} twice: which one is unclear")
        known[name] = StoredWeight(name, path, key)
    if EMBEDDING not in weights and HEAD in heads:  # saved once, under the other of its names
        head = heads.pop(HEAD)
        weights[EMBEDDING] = StoredWeight(EMBEDDING, head.path, head.key)
    if HEAD in parameters and HEAD not in weights:
        raise ShakegptError(
            f"{folder}/config.json has tie_word_embeddings false, but the weights have no "
            f"{HEAD}: set it to true if the model shares its embedding with its head"
        )
    if missing := parameters.keys() - weights.keys():
        raise ShakegptError(
            f"{folder} lacks the weight {min(missing)}: the copy is not complete, or it is not a "
            "GPT-2"
        )
    prefixes = {key.removesuffix(name) for key, name in names.items() if key.endswith(name)}
    if unknown := [p for p in prefixes if not set(p.split(".")) <= _WRAPPERS | _FAMILIAR]:
        prefix = max(unknown, key=len)
        warnings.append(f"the weights are named with the prefix {prefix!r}: removed")
    return Contents(tuple(weights.values()), heads.get(HEAD), tuple(warnings))


def _header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each tensor in a file."""
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            return {key: (tuple(s.get_shape()), s.get_dtype()) for key, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise _torn(path, error) from error


def _torn(path: Path, error: Exception) -> ShakegptError:
    with suppress(OSError), path.open("rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            return ShakegptError(
                f"{path} is a pointer of Git LFS, not the weights: run `git lfs pull` beside it"
            )
    return ShakegptError(
        f"{path} is truncated or not a safetensors file ({error}): download or copy it again"
    )


def _unexpected(path: Path, key: str) -> str:
    if "lora_" in key:
        return (
            f"{path} has {key}, of a PEFT adapter: merge the adapter into its model first, with "
            "merge_and_unload() of peft"
        )
    return (
        f"{path} has the unexpected weight {key}: either it is not a GPT-2, or weights and "
        "config.json do not match"
    )


def _require_kind(
    path: Path, key: str, shape: tuple[int, ...], dtype: str, expected: tuple[int, ...]
) -> None:
    if shape != expected:
        hint = "take both from one checkpoint"
        if len(shape) == 2 and shape == expected[::-1]:
            hint = "it is transposed, as nanoGPT saves it; `shakegpt convert SOURCE DIR` turns it"
        raise ShakegptError(
            f"{path} has {key} of shape {shape}, and config.json says {expected}: {hint}"
        )
    if dtype not in ("F64", "F32", "F16", "BF16"):
        raise ShakegptError(f"{path} has {key} in {dtype}: only floating-point weights load")


def assign(model: GPT, folder: Path, files: list[Path]) -> None:
    """Assign the weights in `files`, memory-mapped, to the parameters of `model`.

    Raises ShakegptError for a head that differs from the embedding if `model` has one matrix for
    both: whether transformers ignores it depends on its version.
    """
    stored = contents(folder, files, dict(model.named_parameters()))
    for path in files:
        for weight, tensor in _tensors(path, stored.weights):
            _require_finite(path, weight.name, tensor)
            owner, _, leaf = weight.name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor.float()))
    _require_head(stored)


def one_by_one(
    folder: Path, files: list[Path], parameters: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of each of `parameters` in `files`, in any order, one in memory at a time.
    Raises ShakegptError, as `assign` does.
    """
    stored = contents(folder, files, parameters)
    for weight in stored.weights:
        ((_, tensor),) = _tensors(weight.path, (weight,))
        _require_finite(weight.path, weight.name, tensor)
        yield weight.name, tensor.float()
    _require_head(stored)


def _require_head(stored: Contents) -> None:
    """Raise ShakegptError for a separate head that differs from the embedding."""
    head = stored.head
    if head is not None:
        embedding = next(weight for weight in stored.weights if weight.name == EMBEDDING)
        ((_, tensor),) = _tensors(head.path, (head,))
        ((_, other),) = _tensors(embedding.path, (embedding,))
        if not torch.equal(tensor.float(), other.float()):
            raise ShakegptError(
                f"{head.path} has its own output head: {head.key} differs from the embedding "
                "wte.weight; to use and train it, set tie_word_embeddings to false in config.json"
            )


def _tensors(path: Path, weights: Iterable[StoredWeight]) -> list[tuple[StoredWeight, Tensor]]:
    """Those of `weights` in the file `path`, memory-mapped."""
    try:
        with safe_open(path, framework="pt") as file:
            return [(w, file.get_tensor(w.key)) for w in weights if w.path == path]
    except (SafetensorError, OSError) as error:
        raise _torn(path, error) from error


def _require_finite(path: Path, name: str, tensor: Tensor) -> None:
    """Raise ShakegptError for a NaN or infinity: `aminmax`, in one pass, returns either."""
    if not all(math.isfinite(end) for end in tensor.aminmax()):
        raise ShakegptError(
            f"{path} is damaged: {name} has a number that is not finite; take another checkpoint"
        )
