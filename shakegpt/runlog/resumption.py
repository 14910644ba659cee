"""Settings of a run that is resumed: as saved in its log, and which may change. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from shakegpt.config import FinetuneConfig, bounds
from shakegpt.config.bounds import flag
from shakegpt.config.fields import SCRATCH
from shakegpt.errors import ShakegptError
from shakegpt.runlog import history

MODEL = ("init_from", "n_layer", "n_head", "n_embd", "tokenizer")
"""Settings that determine the model."""
IDENTITY = (
    *MODEL,
    *("separate_documents", "val_fraction", "eval_tokens", "out_dir"),
    *("batch_size", "gradient_accumulation_steps", "block_size", "seed", "optimizer"),
    *("lora_rank", "lora_alpha", "lora_targets"),
)
"""Settings that are fixed for a run: its model, sequences, optimizer state and reported val loss.

All others may change when it is resumed: they alter how it continues, not the meaning of the saved
state and the logged losses. Texts may move, since their sha256 identifies them.
"""
BY_SIZE = ("learning_rate", "beta1", "beta2", "batch_size", "gradient_accumulation_steps")
"""Settings whose default depends on the model: a command always names them."""


def saved_config(settings: Mapping[str, Any]) -> FinetuneConfig:
    """The configuration from the `settings` in a log. Raises ShakegptError for invalid ones.

    In logs of the first versions, --compile is a boolean and several texts are joined.
    """
    settings = {"separate_documents": False, **settings}
    if isinstance(settings.get("compile"), bool):
        settings["compile"] = "on" if settings["compile"] else "off"
    try:
        return msgspec.convert(settings, FinetuneConfig)
    except msgspec.ValidationError as error:
        raise ShakegptError(f"the saved configuration is invalid: {error}") from error


def require_same_run(run: Path, changes: Mapping[str, Any]) -> None:
    """Raise ShakegptError for `changes` of settings that are fixed for the run directory `run`."""
    fixed = [name for name in changes if name in IDENTITY]
    if not fixed:
        return
    past = history.losses(run)
    command = f"--init-from {run}"
    if past.run is not None and past.latest is not None:
        saved = past.run.config
        fixed = [
            name for name in fixed if name == "out_dir" or _value(saved, name) != changes[name]
        ]
        command = new_run_command(run, past.latest.config, changes)
    if fixed:
        raise ShakegptError(
            f"{' and '.join(map(flag, fixed))} cannot be changed when resuming; start a new run "
            f"with: {command}"
        )


def _value(saved: Mapping[str, Any], name: str) -> Any:
    value = saved.get(name, getattr(FinetuneConfig, name))
    return tuple(value) if isinstance(value, list) else value


def new_run_command(run: Path, saved: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """The command that starts a run with the settings `saved` in the log of `run` and `changes`.

    It starts from the model of `run`, unless `changes` has another one.
    """
    init_from = str(run)
    if any(name in MODEL for name in changes):
        init_from = changes.get("init_from", saved.get("init_from", "scratch"))
    words = ["shakegpt", "finetune", *bounds.words("init_from", init_from)]
    for field in fields(FinetuneConfig):
        name, about = field.name, bounds.settings(FinetuneConfig)[field.name]
        if name == "init_from" or (name == "out_dir" and name not in changes):
            continue
        value = changes.get(name, _value(saved, name))
        unused = about.topic == SCRATCH and init_from != "scratch"
        if not unused and (value != field.default or name in (*BY_SIZE, "block_size")):
            words += bounds.words(name, value)
    return shlex.join(words)
