"""The model of a command: its argument, and loading it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shakegpt.config.bounds import REQUIRED, Text, setting
from shakegpt.config.fields import WHAT
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import one_line

if TYPE_CHECKING:
    from shakegpt.checkpoint.resolve import Source
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.model import GPT


@dataclass(frozen=True, kw_only=True)
class ModelArgument:
    """The argument MODEL."""

    # fmt: off
    model: str = setting(REQUIRED, Text("MODEL", path=True, known=("pocket",)),
        "A run, a checkpoint directory, or a model's name as in `shakegpt finetune --init-from`.",
        WHAT, positional=True)
    # fmt: on


def note(sentence: str) -> None:
    """Print a sentence on stderr, in one line."""
    print(f"shakegpt: {one_line(sentence, 300)}", file=sys.stderr)


def open_vocabulary(name: str) -> tuple[Source, Tokenizer]:
    """The source of the model `name`, and its vocabulary, whose warnings are printed.

    Raises ShakegptError if it is no checkpoint.
    """
    from shakegpt.checkpoint import io as checkpoint

    source = checkpoint.find(name)
    checkpoint.read_config(source.folder)  # the first error: that it is no checkpoint
    tokenizer = checkpoint.vocabulary(source.folder)
    for warning in tokenizer.warnings:
        note(warning)
    return source, tokenizer


def prompt_ids(tokenizer: Tokenizer, prompt: str, size: int) -> list[int]:
    """The tokens of --prompt. Raises ShakegptError where they leave no room in the window `size`
    of the model.
    """
    ids = tokenizer.encode(prompt, "the prompt") or [tokenizer.eot or 0]
    if len(ids) >= size:
        raise ShakegptError(
            f"--prompt has {len(ids)} tokens and leaves no room in the {size} of the model: "
            "shorten it"
        )
    return ids


def load_model(source: Source, device: str, threads: int | None = None) -> GPT:
    """The model of `source` on `device`, in eval mode, with oneDNN products installed."""
    import torch

    from shakegpt.checkpoint import io as checkpoint
    from shakegpt.nn import matmul

    if threads is not None:
        torch.set_num_threads(threads)
    model = checkpoint.load(source.folder).to(device).eval()
    matmul.install(model)
    return model
