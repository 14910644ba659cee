"""Whether a run can be trained again, and all that it takes: text, model and settings as then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from shakegpt.checkpoint.provenance import origin
from shakegpt.config import FinetuneConfig
from shakegpt.data.sources import BUILT_IN
from shakegpt.errors import ShakegptError
from shakegpt.hardware import memory
from shakegpt.hardware.device import free_memory
from shakegpt.runlog.history import History
from shakegpt.train.compilation import upgraded
from shakegpt.train.setup import TrainingSetup, prepare

KEPT = (
    *("max_iters", "eval_interval", "patience", "max_minutes", "dataset", "val_dataset"),
    *("prompt", "max_new_tokens", "temperature", "top_k", "top_p", "save_signal", "memory"),
)
"""Settings that a resume may have changed without changing an update."""
SNAPSHOTS = 2
"""Copies of weights and moments that a replay needs besides those in training."""


def replay_setup(run: Path, past: History, scratch: Path) -> TrainingSetup:
    """Text, model and settings of a run. Raises ShakegptError where they are not what they were."""
    header, latest = past.run, past.latest
    assert header is not None and latest is not None
    where = f"cannot replay {run}"
    if header.world is not None or any(part.world is not None for part in past.resumes):
        raise ShakegptError(f"{where}: it was trained by several processes")
    changed = sorted(
        name
        for part in past.resumes
        for name, value in part.config.items()
        if name not in KEPT and header.config.get(name, value) != value
    )
    if changed:
        raise ShakegptError(f"{where}: {', '.join(changed)} changed when it was resumed")
    try:
        config = msgspec.convert(upgraded(latest.config), FinetuneConfig)
    except msgspec.ValidationError as error:
        raise ShakegptError(f"{where}: its settings are invalid: {error}") from None
    for name in (*config.dataset, *(config.val_dataset or ())):
        if name not in BUILT_IN and not Path(name).exists():
            raise ShakegptError(f"{where}: its text {name} does not exist")
    config = replace(
        config,
        max_new_tokens=0,
        memory="normal",
        device="cpu" if header.device == "cpu" else config.device,
        dtype=header.dtype if config.dtype == "auto" else config.dtype,  # type: ignore[arg-type]
        compile="on" if header.compiled else "off",
        threads=header.threads,
    )
    try:
        setup = prepare(config, scratch, run)
        started = origin(config.init_from, setup.tokenizer)
    except ShakegptError as error:
        raise ShakegptError(f"{where}: {error}") from None
    if setup.dataset.text.sha256 != header.dataset.sha256:
        raise ShakegptError(f"{where}: its text {header.dataset.name} has changed")
    if header.model.sha256 is not None and started.sha256 != header.model.sha256:
        raise ShakegptError(f"{where}: the model it started from, {header.model.name}, has changed")
    _require_memory(where, setup)
    return setup


def _require_memory(where: str, setup: TrainingSetup) -> None:
    """Raise ShakegptError where training and the copies of the weights do not fit in memory."""
    device = setup.place.device
    needed = memory.estimate(setup.shape, setup.config, "normal", device=device).total
    needed += SNAPSHOTS * 12 * memory.learned(setup.shape, setup.config)
    free = free_memory(setup.place)
    if needed > free:
        gib = f"{needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free"
        raise ShakegptError(f"{where}: it takes about {gib}", exit_code=1)
