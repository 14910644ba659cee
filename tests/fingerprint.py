"""What a finished run comes to, whatever happened to it: the same as that of one never hurt."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from shakegpt.runlog import history


def fingerprint(run: Path) -> dict[str, Any]:
    """Weights, moments, model, and every number of the log but the clock's."""
    told, problems = history.load(run)
    assert not problems, problems
    assert told.end is not None and told.end.status == "finished", told.end
    newest = max((run / "state").iterdir(), key=lambda path: path.name)
    files = [*sorted(newest.glob("*.safetensors")), run / "model/model.safetensors"]
    return {
        "tensors": {path.name: tensor_sum(path) for path in files},
        "progress": [(*key, e.loss, e.tokens) for key, e in sorted(told.progress.items())],
        "steps": [(k, e.loss, e.learning_rate, e.grad_norm) for k, e in sorted(told.steps.items())],
        "evals": [(k, e.val_loss, e.best) for k, e in sorted(told.evals.items())],
        "samples": [
            (s.start.iteration, s.start.sample, [(t.id, t.probability) for t in s.tokens], s.text)
            for s in told.samples
        ],
        "best": told.end.best_val_loss,
    }


def tensor_sum(path: Path) -> str:
    """sha256 of names and values; the order of a file's metadata varies."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        digest.update(name.encode() + tensor.tobytes())
    return digest.hexdigest()
