"""The launcher's environment variables: ranks, and the name of the job. Imports no torch.

torchrun, or another launcher with the same variables, starts the same command in each process. A
job that torchrun restarts recognizes its run directory by the job's name in the log's header.
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

LAUNCHER = ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Variables that a launcher sets in each process."""


def processes() -> int:
    """Number of processes that train together; 1 without a launcher."""
    return _number("WORLD_SIZE", 1)


def processes_here() -> int:
    """Number of these processes on this machine, which share its memory."""
    return _number("LOCAL_WORLD_SIZE", 1)


def rank() -> int:
    """Rank of this process, from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Rank of this process on this machine, from 0: the index of its GPU."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, lowest: int) -> int:
    value = os.environ.get(name)
    if value is None:
        return lowest
    if not value.isascii() or not value.isdigit() or int(value) < lowest:
        raise ShakegptError(
            f"the environment has {name}={value!r}, which must be an integer >= {lowest}: "
            f"{_unset()}"
        )
    return int(value)


def _unset() -> str:
    options = " ".join(f"-u {name}" for name in LAUNCHER if name in os.environ)
    return f"start with torchrun, or alone with `env {options} shakegpt ...`"


def require_launcher() -> None:
    """Raise ShakegptError for incomplete or contradictory variables, as if left over."""
    size = processes()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if size > 1 and missing:
        raise ShakegptError(
            f"the environment has WORLD_SIZE={size} but no {' and no '.join(missing)}: {_unset()}"
        )
    _number("MASTER_PORT", 0)
    if rank() >= size > 1:
        raise ShakegptError(
            f"the environment has RANK={rank()} and WORLD_SIZE={size}, but ranks count from 0: "
            f"{_unset()}"
        )


def waiting() -> str:
    """The message while this process waits for the others."""
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    return (
        f"process {rank()} of {processes()} waits for the others at {address}; if there are none, "
        f"the variables are left over: {_unset()}"
    )


def launched() -> bool:
    """Whether a launcher started this process, even if it is the only one."""
    return "TORCHELASTIC_RUN_ID" in os.environ or processes() > 1


def require_shardable(config: FinetuneConfig, dtype: str) -> None:
    """Raise ShakegptError for --shard without a launcher, or with an unsupported option."""
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


def require_alone(processes: int) -> None:
    """Raise ShakegptError for --memory lowest with several processes."""
    if processes > 1:
        raise ShakegptError(
            f"--memory lowest trains in one process, and the launcher started {processes}: start "
            "it without torchrun, or give --memory low"
        )


def job() -> str | None:
    """Identifies a torchrun job across restarts, by its --rdzv-id, else by the launcher's process;
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
