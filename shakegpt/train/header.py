"""The first record of a log, and that of a resume: what trains, where, with what and by whom."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from shakegpt import __version__
from shakegpt.checkpoint.provenance import Provenance
from shakegpt.distributed.group import Team
from shakegpt.hardware import memory
from shakegpt.hardware.device import Place
from shakegpt.runlog import schema, status
from shakegpt.train.setup import Parts, expected_seconds


def run_record(run: Path, parts: Parts, team: Team, started: Provenance) -> schema.Run:
    """The header of a new run, its needs in memory and time estimated."""
    config, shape, place = parts.config, parts.shape, parts.place
    dataset = parts.dataset.record(config.eval_tokens)
    return schema.Run(
        run_id=run.name,
        config=asdict(config),
        model=schema.Model(
            name=parts.name,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            n_embd=shape.n_embd,
            block_size=shape.block_size,
            vocab_size=shape.vocab_size,
            n_params=shape.n_params,
            sha256=started.sha256,
            revision=started.revision,
        ),
        dataset=dataset,
        memory=memory.estimate(shape, config, place.memory, team.size),
        seconds=expected_seconds(parts) / team.size,
        seed=config.seed,
        world=team.world(),
        **_circumstances(place),
    )


def resume_record(parts: Parts, iteration: int, team: Team) -> schema.Resume:
    """The record of a run that goes on after `iteration`."""
    return schema.Resume(
        iteration=iteration,
        config=asdict(parts.config),
        world=team.world(),
        **_circumstances(parts.place),
    )


def _circumstances(place: Place) -> dict[str, Any]:
    packages = ("torch", "transformers", "tiktoken", "safetensors")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "device": place.device,
        "device_reason": place.device_reason,
        "dtype": place.dtype,
        "dtype_reason": place.dtype_reason,
        "compiled": place.compiled,
        "compile_reason": place.compile_reason,
        "versions": {"shakegpt": __version__, "python": platform.python_version(), **versions},
        "git": _git(),
        "host": socket.gethostname(),
        "machine": status.machine(),
        "pid": os.getpid(),
        "threads": torch.get_num_threads(),
    }


def _git() -> schema.Git | None:
    """Commit of the checkout that this code runs from; None when it was installed."""
    where = Path(__file__).parent
    try:
        commit = _git_says(where, "rev-parse", "HEAD")
        dirty = bool(_git_says(where, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return schema.Git(commit=commit, dirty=dirty)


def _git_says(where: Path, *words: str) -> str:
    # without its lock on the index, which a trainer that is killed here would leave behind
    command = ["git", "--no-optional-locks", "-C", str(where), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
