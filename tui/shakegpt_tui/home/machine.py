"""What this machine has free for a run: its own memory and, where there is one, its GPU's.

The GPU is measured by the driver's own program, so that nothing of CUDA is loaded here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.hardware import memory

PATIENCE = 10.0
"""Seconds that the driver may take to answer; on a machine that sleeps it wakes the GPU first."""


@dataclass(frozen=True)
class Need:
    """What a run takes in the place where its tensors will be."""

    bytes: int
    lowered: str
    """What `--memory auto` will be because normal does not fit: low or lowest; "" if it does."""
    disk: int
    """Bytes that it takes on disk at its peak."""


@dataclass(frozen=True)
class Machine:
    """Bytes that programs can still have. `gpu` is None without a GPU, or before it is measured."""

    memory: int
    gpu: int | None = None
    gpu_name: str = ""

    def place(self, config: FinetuneConfig) -> str:
        """Where the tensors of `config` will be: "memory" or "GPU memory"."""
        on_gpu = config.device == "cuda" or (config.device == "auto" and self.gpu is not None)
        return "GPU memory" if on_gpu else "memory"

    def free(self, config: FinetuneConfig) -> int:
        """Bytes free in that place; 0 for a GPU that is wanted and not there."""
        return self.memory if self.place(config) == "memory" else self.gpu or 0

    def need(self, shape: GPTConfig, config: FinetuneConfig) -> Need:
        """What finetuning a model of this shape takes; on a GPU the process itself stays outside.

        Of the memory modes, the one that the trainer will choose with what is free now.
        """
        on_gpu = self.place(config) != "memory"
        device = "cuda" if on_gpu else "mps" if config.device == "mps" else "cpu"
        row = memory.choose(shape, config, self.free(config), device=device)
        estimate = memory.estimate(shape, config, row, device=device)
        outside = estimate.process if on_gpu else 0
        lowered = row if row != "normal" and config.memory == "auto" else ""
        return Need(estimate.total - outside, lowered, estimate.disk)


def machine() -> Machine:
    """The memory, within the limit of a container; takes no time."""
    return Machine(memory.available_memory())


def with_gpu() -> Machine:
    """Memory and GPU. Starts a process and waits for it: not for the UI's loop."""
    try:
        name, _, mebibytes = query_gpu("name,memory.free").rpartition(",")
        return Machine(machine().memory, int(mebibytes) << 20, name.strip())
    except ValueError:
        return machine()


def gpu_program() -> str | None:
    """The path of nvidia-smi; None without it, or where PyTorch is to see no GPU."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return None if hidden else shutil.which("nvidia-smi")


def query_gpu(fields: str) -> str:
    """These fields of the first GPU that PyTorch would see, with commas; "" without one.

    Starts a process and waits for it.
    """
    if (program := gpu_program()) is None:
        return ""
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command.append(f"--id={visible.split(',')[0]}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0]
