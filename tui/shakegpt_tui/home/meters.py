"""How busy this machine is: its cores and, where there is one, the GPU that a run would use."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from shakegpt import format
from shakegpt_tui.home.machine import query_gpu
from shakegpt_tui.plot.bars import BARS


@dataclass(frozen=True)
class GpuLoad:
    """Of one GPU: how busy it is, from 0 to 1, and its memory in bytes."""

    busy: float
    used: int
    total: int


def cores() -> list[float]:
    """How busy each core was since the last call, from 0 to 1; the first call returns zeros."""
    return [percent / 100 for percent in psutil.cpu_percent(percpu=True)]


def gpu() -> GpuLoad | None:
    """The GPU's load; starts a process and waits for it: not for the UI's loop."""
    try:
        fields = query_gpu("utilization.gpu,memory.used,memory.total").split(",")
        busy, used, total = map(int, fields)
    except ValueError:
        return None
    return GpuLoad(busy / 100, used << 20, total << 20)


def cpu_text(busy: list[float]) -> str:
    """A bar for each core, and the mean.

    >>> cpu_text([0.0, 1.0])
    'cpu ▁█ 50%'
    """
    most = 32  # bars of a large machine stand for several cores each
    groups = [busy[k * len(busy) // most : (k + 1) * len(busy) // most] for k in range(most)]
    shown = busy if len(busy) <= most else [sum(group) / len(group) for group in groups]
    bars = "".join(BARS[round(min(max(share, 0.0), 1.0) * 7)] for share in shown)
    return f"cpu {bars} {sum(busy) / max(len(busy), 1):.0%}"


def gpu_text(load: GpuLoad) -> str:
    """How busy, and how full.

    >>> gpu_text(GpuLoad(0.5, 1 << 30, 4 << 30))
    'gpu ▅ 50%, 1.00 GiB of 4.00 GiB'
    """
    bar = BARS[round(load.busy * 7)]
    return f"gpu {bar} {load.busy:.0%}, {format.size(load.used)} of {format.size(load.total)}"
