"""What a launcher of several processes says: who this one is, and which job it belongs to.

torchrun (or whoever sets its environment variables) starts the same command in each process. A job
that torchrun restarts finds the run it had begun by the job's name in the log's header. No torch.
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


def require_suited(config: FinetuneConfig, dtype: str) -> None:
    """Raise ShakegptError for --shard without a launcher, or beside what it does not go with."""
    if not config.shard:
        return
    odd = {
        "--lora-rank, which leaves little to divide": config.lora_rank is not None,
        "--optimizer muon, which updates whole matrices": config.optimizer == "muon",
        "--compile on": config.compile == "on",
        "float16, whose loss is scaled (give --dtype bfloat16 or float32)": dtype == "float16",
        "--device mps": config.device == "mps",
    }
    for what, there in odd.items():
        if there:
            raise ShakegptError(f"--shard does not go with {what}: leave one of them out")
    if not launched():
        raise ShakegptError(
            "--shard divides a model among several processes: start them by `torchrun "
            "--nproc-per-node 2 -m shakegpt finetune ... --shard --no-tui`"
        )


def job() -> str | None:
    """The same for each attempt of one torchrun: its --rdzv-id, else the launcher's own process.

    None without torchrun.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None or name != "none":
        return name
    launcher = psutil.Process(os.getppid())
    return f"{socket.gethostname()}:{launcher.pid}:{launcher.create_time():.2f}"


def begun(out_dir: str | None) -> Path | None:
    """The run that this job has begun and may go on with; None when it is the first attempt.

    A finished one counts only in a restart: the same name may be given to a new job later.
    """
    name = job()
    if name is None:
        return None
    folders = [Path(out_dir)] if out_dir is not None else sorted(RUNS.glob("*"), reverse=True)
    headers = ((run, header(run / LOG_NAME)) for run in folders)
    found = next((r for r, h in headers if h and h.world and h.world.job == name), None)
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    return found if found is None or restarted or not finished(found) else None


def finished(run: Path) -> bool:
    """Whether the run came to its end."""
    end = history.load(run)[0].end
    return end is not None and end.status == "finished"
