"""`shakegpt convert`: a safe checkpoint directory from checkpoints of other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.cli.model import note
from shakegpt.config.bounds import REQUIRED, Text, setting
from shakegpt.hardware.resource_errors import resource_errors

ABOUT = "Make a safe checkpoint directory of nanoGPT's ckpt.pt, a pytorch_model.bin and the like."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    # fmt: off
    source: str = setting(REQUIRED, Text("SOURCE", path=True),
        "A file by torch.save or safetensors, a directory with one, or owner/name on the hub.",
        positional=True)
    directory: str = setting(REQUIRED, Text("DIR", path=True),
        "Directory to write, which must be new or empty.", positional=True)
    tokenizer: str | None = setting(None, Text("NAME", path=True, known=("gpt2", "char")),
        "Vocabulary of a source that has none: gpt2, char, or a directory that holds one.",
        none="the source's own")
    # fmt: on


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt convert", words, ABOUT)
    with heavy_imports():
        from shakegpt.checkpoint.convert import convert

    directory = Path(arguments.directory)
    with resource_errors(directory):
        notes = convert(arguments.source, directory, arguments.tokenizer)
    for sentence in notes:
        note(sentence)
    print(f"the model is in {directory}; start from it with:")
    print(f"  shakegpt finetune --init-from {directory}")
    return 0
