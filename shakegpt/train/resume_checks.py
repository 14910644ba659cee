"""Checks before a run is resumed: its configuration, its texts, its model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shakegpt.config import FinetuneConfig
from shakegpt.data.sources import BUILT_IN, STDIN
from shakegpt.errors import ShakegptError
from shakegpt.runlog import history, schema
from shakegpt.runlog.resumption import require_same_run, saved_config
from shakegpt.train.setup import TrainingSetup


def configure(run: Path, max_iters: int | None, changes: Mapping[str, Any]) -> FinetuneConfig:
    """The configuration that a resumed run continues with. Raises ShakegptError."""
    require_same_run(run, changes)
    past = history.load_started(run)
    latest = past.latest
    assert latest is not None
    try:
        config = saved_config(latest.config)
    except ShakegptError as error:
        raise ShakegptError(f"cannot resume: {error}") from error
    if latest.compiled is not None and "device" not in changes:
        # the numbers of a compiled run differ in the last bits
        config = replace(config, compile="on" if latest.compiled else "off")
    limit = max_iters if max_iters is not None else past.max_iters
    if past.end is not None and past.end.status == "finished" and limit <= past.iteration:
        raise ShakegptError(
            f"the run is finished at iteration {past.iteration}; give a larger --max-iters to "
            "continue it"
        )
    return replace(config, **{**changes, "max_iters": limit})


def require_texts(config: FinetuneConfig, run: Path) -> None:
    """Raise ShakegptError, with the way out, for a text of the run that is not where it was."""
    for names, flag in ((config.dataset, "--dataset"), (config.val_dataset or (), "--val-dataset")):
        for name in names:
            if name not in (*BUILT_IN, STDIN) and not Path(name).exists():
                raise ShakegptError(
                    f"cannot resume: the text {name} does not exist; if it was moved, say "
                    f"where to: shakegpt finetune --resume {shlex.quote(str(run))} {flag} TEXT"
                )


def require_same(setup: TrainingSetup, header: schema.Run) -> None:
    """Raise ShakegptError unless texts and model are those of `header`, the run's first record."""
    before, now = header.dataset.sha256, setup.dataset.text.sha256
    if before != now:
        raise ShakegptError(
            f"cannot resume: the text {header.dataset.name} has changed (sha256 {before[:12]}, now "
            f"{now[:12]}); restore it, say where it is now with --dataset, or start a new run "
            "from this one with --init-from"
        )
    val_text = setup.dataset.val_text
    if (val_text.sha256 if val_text else None) != header.dataset.val_sha256:
        raise ShakegptError(
            f"cannot resume: the validation text {header.dataset.val_name or '(none)'} has "
            "changed; restore it, say where it is now with --val-dataset, or start a new run from "
            "this one with --init-from"
        )
    shape, model = setup.shape, header.model
    if (shape.n_layer, shape.n_embd, shape.n_head) != (model.n_layer, model.n_embd, model.n_head):
        raise ShakegptError(
            f"cannot resume: {setup.name} is not the model that the run started with ({model.name})"
        )
