"""The launcher's environment variables: which process this is, and of which job. No torch.

torchrun (or whatever sets the same variables) starts the same command in each process. A job that
torchrun restarts recognizes its run directory by the job's name in the log's header.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog import history
from shakegpt.runlog.log import LOG_NAME, header
from shakegpt.runlog.runs import RUNS


def processes() -> int:
    """How many processes train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes_here() -> int:
    """How many of them are on this machine, and share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Which of those on this machine, from 0: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def launched() -> bool:
    """Whether a launcher started this process, alone or not."""
    return "TORCHELASTIC_RUN_ID" in os.environ or processes() > 1


def require_shardable(config: FinetuneConfig, dtype: str) -> None:
    """Raise ShakegptError for --shard without a launcher, or with an option it does not support."""
    if not config.shard:
        return
    unsupported = {
        "--lora-rank, which leaves little to shard": config.lora_rank is not None,
        "--optimizer muon, which updates whole matrices": config.optimizer == "muon",
        "--compile on": config.compile == "on",
        "float16, whose loss is scaled (give --dtype bfloat16 or float32)": dtype == "float16",
        "--device mps": config.device == "mps",
    }
    for option, present in unsupported.items():
        if present:
            raise ShakegptError(f"--shard cannot be combined with {option}")
    if not launched():
        raise ShakegptError(
            "--shard divides a model among several processes: start them with `torchrun "
            "--nproc-per-node 2 -m shakegpt finetune ... --shard --no-tui`"
        )


def job() -> str | None:
    """Identifies a torchrun job over its restarts: its --rdzv-id, else the launcher's process.

    None without torchrun.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None or name != "none":
        return name
    launcher = psutil.Process(os.getppid())
    return f"{socket.gethostname()}:{launcher.pid}:{launcher.create_time():.2f}"


def earlier_attempt(out_dir: str | None) -> Path | None:
    """The run directory that this job created before a restart; None in the first attempt.

    A finished run counts only in a restart: a new job may have the same name later.
    """
    name = job()
    if name is None:
        return None
    folders = [Path(out_dir)] if out_dir is not None else sorted(RUNS.glob("*"), reverse=True)
    headers = ((run, header(run / LOG_NAME)) for run in folders)
    run = next((r for r, h in headers if h and h.world and h.world.job == name), None)
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    return run if run is None or restarted or not finished(run) else None


def finished(run: Path) -> bool:
    """Whether the run reached its last iteration."""
    end = history.load(run)[0].end
    return end is not None and end.status == "finished"
