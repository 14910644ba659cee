"""A run so small that thousands of them can be tortured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny import as_flags, tiny_config

USUAL: dict[str, Any] = {
    "tokenizer": "char",
    "n_embd": 16,
    "dropout": 0.1,
    "max_iters": 6,
    "eval_interval": 2,
    "max_new_tokens": 6,
}
"""Of a run of six updates in a fifth of a second: three states, two of them kept, four samples."""


def flags(text: Path, run: Path, **changes: Any) -> list[str]:
    """The words after `shakegpt finetune` for such a run."""
    return as_flags(tiny_config(text, run, **USUAL | changes))
