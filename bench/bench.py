"""Speed beside the peers, as ratios in one run: `make bench NANOGPT=path/to/nanoGPT`.

Every figure is the median of rounds in which the candidates take turns (A B C, A B C, …), so that a
machine whose speed drifts slows them alike. Weights are random: speed does not depend on them.
Without a nanoGPT checkout, transformers is the only peer.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import platform
from pathlib import Path

import torch

MEASUREMENTS = {"start": "start", "train": "training", "sample": "sampling"}
"""What --only may name, and the module with a function bench_<module> for it."""


def main() -> None:
    """Print the machine, then a table for each measurement."""
    parser = argparse.ArgumentParser(description="speed of shakegpt beside nanoGPT, transformers")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement")
    parser.add_argument("--only", choices=list(MEASUREMENTS), help="one measurement")
    asked = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch")
    print(f"{torch.__version__}; 124M, float32, random weights\n")
    for name, module in MEASUREMENTS.items():
        if asked.only in (None, name):
            measure = getattr(importlib.import_module(module), f"bench_{module}")
            measure(asked.nanogpt, asked.rounds)
            gc.collect()


if __name__ == "__main__":
    main()
