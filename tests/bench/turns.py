"""Rounds in which the candidates take turns, and the table of what came out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Job = Callable[[], object]
Seconds = dict[str, list[float]]
OURS = "shakegpt"


def turns(jobs: Mapping[str, Job], rounds: int) -> Seconds:
    """Seconds of each job in each round; a first round warms up and is not counted."""
    seconds: Seconds = {name: [] for name in jobs}
    for round_number in range(rounds + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def faster(seconds: Seconds, peer: str, ours: str = OURS) -> tuple[float, str]:
    """How many times as fast as `peer` we are: the median of the rounds, and that with its range.

    A round's two times were taken after each other, so their ratio says more than their medians'.
    """
    ratios = [theirs / own for theirs, own in zip(seconds[peer], seconds[ours], strict=True)]
    middle = statistics.median(ratios)
    return middle, f"{middle:.2f} × {peer} ({min(ratios):.2f} to {max(ratios):.2f})"


def rate(seconds: Seconds, name: str, units: int) -> float:
    """Units a second of the middle round."""
    return units / statistics.median(seconds[name])


def table(title: str, seconds: Seconds, units: int, unit: str) -> None:
    """Print medians, and how many times as fast as each peer we are."""
    print(title)
    for name in seconds:
        told = rate(seconds, name, units)
        print(f"  {name:16} {told:9.1f} {unit}  shakegpt is {faster(seconds, name)[1]}")
    print()
