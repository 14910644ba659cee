"""Rounds in which the candidates take turns, and the table of what came out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Job = Callable[[], object]
OURS = "shakegpt"


def turns(jobs: dict[str, Job], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in each round; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_number in range(rounds + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def table(title: str, seconds: dict[str, list[float]], units: int, unit: str) -> None:
    """Print medians, and how many times faster than each peer we are, round by round."""
    print(title)
    for name, times in seconds.items():
        ratios = [peer / ours for peer, ours in zip(times, seconds[OURS], strict=True)]
        middle = statistics.median(times)
        print(
            f"  {name:16} {units / middle:9.1f} {unit}  shakegpt is {statistics.median(ratios):.2f}"
            f" x as fast ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print()
