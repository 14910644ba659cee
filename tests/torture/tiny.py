"""A text and a run so small that thousands of them can be tortured."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = ("king", "queen", "love", "night", "shall", "thou", "art", "lord", "speak", "light", "east")
SPEAKERS = ("HAMLET", "JULIET", "ROMEO")

USUAL: dict[str, object] = {
    "init_from": "scratch",
    "tokenizer": "char",
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 16,
    "block_size": 32,
    "batch_size": 4,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-2,
    "dropout": 0.1,
    "max_iters": 6,
    "eval_interval": 2,
    "max_new_tokens": 6,
    "device": "cpu",
    "dtype": "float32",
    "threads": 1,
}
"""Of a run of six updates in a fifth of a second: three states, two of them kept, four samples."""


def play(speeches: int = 60) -> str:
    """A play of few words, always the same."""
    draw = random.Random(0)
    return "\n".join(
        f"{draw.choice(SPEAKERS)}:\n{' '.join(draw.choices(WORDS, k=16))}.\n"
        for _ in range(speeches)
    )


def flags(text: Path, run: Path, **changes: object) -> list[str]:
    """The words after `shakegpt finetune` for such a run."""
    chosen = USUAL | {"dataset": text, "out_dir": run} | changes
    words = ["--no-tui"]
    for name, value in chosen.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words
