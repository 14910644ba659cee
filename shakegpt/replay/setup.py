"""Text, model and settings of a run to replay, checked against its log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shakegpt.checkpoint.provenance import origin
from shakegpt.errors import ShakegptError
from shakegpt.format import size
from shakegpt.hardware import memory
from shakegpt.hardware.device import free_memory
from shakegpt.runlog.history import History
from shakegpt.runlog.resumption import saved_config
from shakegpt.train.setup import TrainingSetup, prepare

WITHOUT_EFFECT = (
    *("max_iters", "eval_interval", "patience", "max_minutes", "dataset", "val_dataset"),
    *("prompt", "max_new_tokens", "temperature", "top_k", "top_p", "save_signal", "memory"),
)
"""Settings that do not affect an update, so a resume may have changed them."""
SNAPSHOTS = 2
"""Copies of weights and moments that a replay needs besides those in training."""


def replay_setup(run: Path, past: History, scratch: Path, own_process: bool) -> TrainingSetup:
    """Text, model and settings of a run; with `own_process`, the allocator of this process is
    tuned. Raises ShakegptError if one is missing or has changed.
    """
    try:
        return _prepare(run, past, scratch, own_process)
    except ShakegptError as error:
        raise ShakegptError(f"cannot replay {run}: {error}", error.exit_code) from None


def _prepare(run: Path, past: History, scratch: Path, own_process: bool) -> TrainingSetup:
    header, latest = past.run, past.latest
    assert header is not None and latest is not None
    if header.world is not None or any(part.world is not None for part in past.resumes):
        raise ShakegptError("it was trained by several processes")
    changed = sorted(
        name
        for part in past.resumes
        for name, value in part.config.items()
        if name not in WITHOUT_EFFECT and header.config.get(name, value) != value
    )
    if changed:
        raise ShakegptError(f"{', '.join(changed)} changed when it was resumed")
    config = saved_config(latest.config)
    config = replace(
        config,
        max_new_tokens=0,
        memory="normal",
        device="cpu" if header.device == "cpu" else config.device,
        dtype=header.dtype if config.dtype == "auto" else config.dtype,  # type: ignore[arg-type]
        compile="on" if header.compiled else "off",
        threads=header.threads,
    )
    setup = prepare(config, scratch, run, own_process=own_process)
    initial = origin(config.init_from, setup.tokenizer)
    if setup.dataset.text.sha256 != header.dataset.sha256:
        raise ShakegptError(f"its text {header.dataset.name} has changed")
    if header.model.sha256 is not None and initial.sha256 != header.model.sha256:
        raise ShakegptError(f"the model it started from, {header.model.name}, has changed")
    _require_memory(setup)
    return setup


def _require_memory(setup: TrainingSetup) -> None:
    """Raise ShakegptError if training and the copies of the weights do not fit in memory."""
    device = setup.place.device
    needed = memory.estimate(setup.shape, setup.config, "normal", device=device).total
    needed += SNAPSHOTS * 12 * memory.trainable_params(setup.shape, setup.config)
    free = free_memory(setup.place)
    if needed > free:
        raise ShakegptError(
            f"it needs about {size(needed)} of memory, and {size(free)} is free", exit_code=1
        )
