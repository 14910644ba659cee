"""Error messages for directories that are no checkpoints, with the way to one. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from shakegpt.files import WEIGHTS

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
"""Suffixes of files by torch.save. Opening one may run code, so only `convert` does."""


def no_config(folder: Path) -> str:
    """The message for a directory without a config.json."""
    names = _names(folder)
    if not names:
        return f"{folder} is no checkpoint: it is empty; give a directory with one"
    inner = [name for name in names if (folder / name / "config.json").is_file()]
    if inner:
        return (
            f"{folder} has no config.json, but a directory in it has: give "
            f"{folder / max(inner, key=_step)}"
        )
    if "adapter_config.json" in names:
        return (
            f"{folder} holds a PEFT adapter, not a model: merge it into its model first, with "
            "merge_and_unload() of peft"
        )
    if pickled := _pickles(names):
        return (
            f"{folder} has no config.json, but {pickled[0]}: `shakegpt convert "
            f"{folder / pickled[0]} DIR` makes a checkpoint of it"
        )
    if "hparams.json" in names or any(name.endswith(".ckpt.index") for name in names):
        return (
            f"{folder} holds a TensorFlow checkpoint, which is not supported: OpenAI's models are "
            "on the hub as gpt2, gpt2-medium, gpt2-large and gpt2-xl"
        )
    if runs := [name for name in names if (folder / name / "log.jsonl").is_file()]:
        return f"{folder} holds runs, not a checkpoint: give one of them, as {folder / runs[-1]}"
    return (
        f"{folder} is no checkpoint: it has no config.json; give a directory with config.json, "
        f"{WEIGHTS} and a vocabulary (tokenizer.json, or vocab.json and merges.txt)"
    )


def no_weights(folder: Path) -> str:
    """The message for a directory with a config.json, but without readable weights."""
    names = _names(folder)
    if pickled := _pickles(names):
        return (
            f"{folder} has no {WEIGHTS}, but {pickled[0]}, which may run code when it is opened: "
            f"`shakegpt convert {folder} DIR` makes a safe checkpoint of it"
        )
    if "adapter_model.safetensors" in names:
        return f"{folder} holds a PEFT adapter: merge it first, with merge_and_unload() of peft"
    for ending, kind in ((".h5", "TensorFlow"), (".msgpack", "Flax")):
        if others := [name for name in names if name.endswith(ending)]:
            return (
                f"{folder} has no {WEIGHTS}, but {others[0]} of {kind}: load it with transformers "
                f"4 and save it as {WEIGHTS}; `shakegpt convert SOURCE DIR` reads PyTorch's files"
            )
    inner = [name for name in names if list((folder / name).glob("model*.safetensors"))]
    if inner:
        return (
            f"{folder} has no {WEIGHTS}; its directory {inner[-1]} has: give {folder / inner[-1]}"
        )
    return f"{folder} has no {WEIGHTS}: copy it there"


def no_file(path: Path) -> str:
    """The message for a file in the place of a checkpoint directory."""
    if path.suffix in PICKLES:
        return (
            f"{path} is a file that may run code when it is opened: `shakegpt convert {path} DIR` "
            "makes a safe checkpoint of it"
        )
    if path.name == "config.json" or path.suffix == ".safetensors":
        return f"{path} is a file: give its directory, {path.parent}"
    return f"{path} is a file: give the directory that holds the checkpoint"


def holds_model(folder: Path) -> bool:
    """Whether a directory with the name of a model on the hub itself holds a model or a run."""
    names = _names(folder)
    return any(
        name in ("config.json", "log.jsonl")
        or name.endswith((".safetensors", *PICKLES))
        or (folder / name / "config.json").is_file()
        for name in names
    )


def _pickles(names: list[str]) -> list[str]:
    """Files by torch.save that may be weights, those of a whole model first."""
    pickled = [
        name
        for name in names
        if name.endswith(PICKLES)
        and name not in ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
        and not name.startswith("rng_state")
    ]
    return sorted(pickled, key=lambda name: (not name.startswith(("pytorch_model", "ckpt")), name))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _step(name: str) -> tuple[int, str]:
    """Sort key by the number of a Trainer's checkpoint-500."""
    number = re.search(r"(\d+)$", name)
    return (int(number[1]) if number else -1, name)
