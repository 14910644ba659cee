"""Which settings a resume may change, and the command that starts another run instead. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from shakegpt import bounds
from shakegpt.bounds import flag
from shakegpt.config import SCRATCH, FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog import history

MODEL = ("init_from", "n_layer", "n_head", "n_embd", "tokenizer")
"""What the model is made of; another one has other weights."""
IDENTITY = (
    *MODEL,
    *("separate_documents", "val_fraction", "eval_tokens", "out_dir"),
    *("batch_size", "gradient_accumulation_steps", "block_size", "seed", "optimizer"),
    *("lora_rank", "lora_alpha", "lora_targets"),
)
"""Settings that a run keeps: its model, sequences, optimizer state and the val loss it reports.

All others may change when it is resumed: they alter how it continues, not what the saved state and
the logged losses mean. Texts may move, which their sha256 proves.
"""
BY_SIZE = ("learning_rate", "beta1", "beta2", "batch_size", "gradient_accumulation_steps")
"""Settings whose default depends on the model: a command names them, whatever their value."""


def require_same_run(run: Path, changes: Mapping[str, Any]) -> None:
    """Raise ShakegptError for `changes` that would make another run of the run directory `run`.

    A setting that is given as it is already is no change.
    """
    fixed = [name for name in changes if name in IDENTITY]
    if not fixed:
        return
    past, cannot = history.losses(run), "cannot be changed when resuming; start a new run with"
    if past.run is None or past.latest is None:
        raise ShakegptError(f"{' and '.join(map(flag, fixed))} {cannot} --init-from {run}")
    saved, now = past.run.config, past.latest.config
    fixed = [name for name in fixed if name == "out_dir" or _differs(saved, name, changes[name])]
    if not fixed:
        return
    raise ShakegptError(
        f"{' and '.join(map(flag, fixed))} {cannot}: {new_run_command(run, now, changes)}"
    )


def _differs(saved: Mapping[str, Any], name: str, value: Any) -> bool:
    before = saved.get(name, getattr(FinetuneConfig, name))
    return bool((tuple(before) if isinstance(before, list) else before) != value)


def new_run_command(run: Path, saved: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """The command that starts a run with the settings `saved` in the log of `run` and `changes`.

    It starts from the model of `run`, or from another if `changes` has another one.
    """
    init_from = str(run)
    if any(name in MODEL for name in changes):
        init_from = changes.get("init_from", saved.get("init_from", "scratch"))
    words = ["shakegpt", "finetune", *bounds.words("init_from", init_from)]
    for field in fields(FinetuneConfig):
        name, about = field.name, bounds.settings(FinetuneConfig)[field.name]
        if name == "init_from" or (name == "out_dir" and name not in changes):
            continue
        value = changes.get(name, saved.get(name, field.default))
        value = tuple(value) if isinstance(value, list) else value
        of_model = about.topic == SCRATCH and init_from != "scratch"
        if not of_model and (value != field.default or name in (*BY_SIZE, "block_size")):
            words += bounds.words(name, value)
    return shlex.join(words)
