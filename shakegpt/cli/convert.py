"""`shakegpt convert`: a safe checkpoint directory of what other programs save."""

from __future__ import annotations

import sys
from pathlib import Path

from shakegpt.resource_errors import resource_errors


def convert(source: str, directory: Path, tokenizer: str | None = None) -> None:
    """Convert `source` and say what was done and what to do with it. Raises ShakegptError."""
    from shakegpt.checkpoint.convert import convert

    with resource_errors(directory):
        notes = convert(source, directory, tokenizer)
    for note in notes:
        print(f"shakegpt: {note}", file=sys.stderr)
    print(f"the model is in {directory}; start from it with:")
    print(f"  shakegpt finetune --init-from {directory}")
