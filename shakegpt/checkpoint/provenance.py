"""The identity of the weights that a run starts from, with warnings about their directory."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from shakegpt.checkpoint.config_json import config_warnings, read_config
from shakegpt.checkpoint.io import weight_files
from shakegpt.checkpoint.resolve import find
from shakegpt.checkpoint.weights import contents
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.files import sha256
from shakegpt.model import GPT


@dataclass(frozen=True)
class Provenance:
    """The identity of a checkpoint."""

    sha256: str | None
    """Of the weights' file; of several, that of their hex sha256s, one per line, sorted by name."""
    revision: str | None
    """Commit on the hub of a downloaded directory."""
    warnings: tuple[str, ...]
    """Sentences on what in the directory is ignored."""


def origin(init_from: str, tokenizer: Tokenizer) -> Provenance:
    """The initial checkpoint of a run; a model from scratch has only a vocabulary."""
    if init_from == "scratch":
        return Provenance(None, None, tokenizer.warnings)
    return provenance(find(init_from).folder, tokenizer)


def provenance(folder: Path, tokenizer: Tokenizer) -> Provenance:
    """Identify the checkpoint in `folder`, reading its weights once. Raises ShakegptError."""
    files = weight_files(folder)
    sums = [_sum_of(path) for path in files]
    if len(sums) > 1:
        sums = [hashlib.sha256("".join(f"{s}\n" for s in sums).encode()).hexdigest()]
    with torch.device("meta"):
        model = GPT(replace(read_config(folder), dropout=0.0))
    stored = contents(folder, files, dict(model.named_parameters()))
    home = folder.resolve()
    revision = home.name if home.parent.name == "snapshots" else None
    warnings = (*config_warnings(folder), *tokenizer.warnings, *stored.warnings)
    return Provenance(sums[0], revision, warnings)


def _sum_of(path: Path) -> str:
    """The sha256 of a file; the hub's cache has verified it and names the file by it."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else sha256(path)
