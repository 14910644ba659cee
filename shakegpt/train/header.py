"""The header of a log, and the record of a resume: model, data, machine, versions."""

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
from shakegpt.train.setup import TrainingSetup, expected_seconds


def run_record(run: Path, setup: TrainingSetup, team: Team, started: Provenance) -> schema.Run:
    """The header of a new run, with estimates of its memory and duration."""
    config, shape, place = setup.config, setup.shape, setup.place
    dataset = setup.dataset.record(config.eval_tokens)
    return schema.Run(
        run_id=run.name,
        config=asdict(config),
        model=schema.Model(
            name=setup.name,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            n_embd=shape.n_embd,
            block_size=shape.block_size,
            vocab_size=shape.vocab_size,
            n_params=shape.n_params,
            tied=shape.tie_word_embeddings,
            sha256=started.sha256,
            revision=started.revision,
        ),
        dataset=dataset,
        memory=memory.estimate(shape, config, place.memory, team.size, place.device),
        seconds=expected_seconds(setup) / team.size,
        seed=config.seed,
        world=team.world(),
        **_environment(place),
    )


def resume_record(setup: TrainingSetup, iteration: int, team: Team) -> schema.Resume:
    """The record of a run that is resumed after `iteration`."""
    return schema.Resume(
        iteration=iteration,
        config=asdict(setup.config),
        world=team.world(),
        **_environment(setup.place),
    )


def _environment(place: Place) -> dict[str, Any]:
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
    """Commit of the checkout that this code runs from; None if it is installed elsewhere."""
    where = Path(__file__).parent
    try:
        commit = _run_git(where, "rev-parse", "HEAD")
        dirty = bool(_run_git(where, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return schema.Git(commit=commit, dirty=dirty)


def _run_git(where: Path, *arguments: str) -> str:
    # without its lock on the index, which a trainer killed at this moment would leave behind
    command = ["git", "--no-optional-locks", "-C", str(where), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
