"""`python -m shakegpt.checkpoint.unpickle OUT FILE ...`: weights from torch.save as safetensors.

A pickle may run code when it is opened. Here torch.load accepts only tensors and plain containers
(weights_only), in a separate process with limits on memory, time and the size of files, so that an
exploit or an endless loop does no harm. Writes OUT/model.safetensors and OUT/info.json.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

INSIDE = ("model", "state_dict", "model_state_dict", "module")
"""Keys of the weights in checkpoints of training scripts."""


def limit(size: int) -> None:
    """Limit this process for reading `size` bytes of weights."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        for kind, most in (
            (resource.RLIMIT_AS, (32 << 30) + 4 * size),  # torch alone maps several GB
            (resource.RLIMIT_FSIZE, (64 << 20) + 3 * size),  # a tied head is written twice
            (resource.RLIMIT_CPU, 120 + size // (10 << 20)),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(kind, (most, most))


def load(path: Path) -> object:
    """The object in a file by torch.save. Raises ValueError if it has more than tensors and
    containers.
    """
    for mapped in (True, False):  # files before torch 1.6 cannot be mapped
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:
            if mapped and "mmap" in str(error):
                continue
            code = re.search(r"GLOBAL ([\w.]+)", str(error))
            raise ValueError(
                f"{path} holds {code[1]}, which is code and not weights: save the state_dict alone"
                if code
                else f"{path} is damaged, or not a file of torch.save ({type(error).__name__})"
            ) from error
    raise AssertionError


def state_dict(raw: object, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a checkpoint, and nanoGPT's `model_args`. Raises ValueError without any."""
    arguments = raw.get("model_args") if isinstance(raw, dict) else None
    info = {"model_args": arguments} if isinstance(arguments, dict) else {}
    for name in INSIDE:
        if isinstance(raw, dict) and isinstance(raw.get(name), dict):
            raw = raw[name]
    tensors = (
        {k: t for k, t in raw.items() if isinstance(k, str) and isinstance(t, Tensor)}
        if isinstance(raw, dict)
        else {}
    )
    if not tensors:
        raise ValueError(f"{path} holds no weights by name")
    return tensors, info


def main(out: Path, paths: list[Path]) -> None:
    """Read `paths`, the parts of one model, and write their tensors to `out`."""
    weights, info = dict[str, Tensor](), dict[str, Any]()
    for path in paths:
        tensors, more = state_dict(load(path), path)
        if twice := weights.keys() & tensors.keys():
            raise ValueError(f"{path} has the weight {min(twice)}, which another file has too")
        weights, info = weights | tensors, info | more
    apart = {name: tensor.detach().clone().contiguous() for name, tensor in weights.items()}
    save_file(apart, out / "model.safetensors", {"format": "pt"})
    (out / "info.json").write_text(json.dumps(info, default=str), "utf-8")


if __name__ == "__main__":
    try:
        parts = [Path(word) for word in sys.argv[2:]]
        limit(sum(path.stat().st_size for path in parts))
        main(Path(sys.argv[1]), parts)
    except (ValueError, OSError, MemoryError, RuntimeError) as problem:
        print(problem or type(problem).__name__, file=sys.stderr)
        sys.exit(2)
