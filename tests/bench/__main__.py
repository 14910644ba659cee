"""Speed beside the peers, in one run: `make bench NANOGPT=path/to/nanoGPT`, under ten minutes.

Figures are medians of rounds in which the candidates take turns (A B C, A B C, …), so that a
machine whose speed drifts slows them alike. Weights are random: speed does not depend on them.
Each part ends in rows of a figure, its aim, and whether it is reached, kept in
docs/measurements.md. The part `job`, the whole job of the talk from command to end, takes half an
hour more and is run only when named (`make bench PARTS=job NANOGPT=…`), like `gpu`, training on
one.
"""

from __future__ import annotations

import argparse
import gc
import importlib
from pathlib import Path

from tests.bench import job
from tests.bench.report import Row, machine, update

PARTS = {
    "start": "start",
    "train": "training",
    "sample": "sampling",
    "pocket": "pocket",
    "job": "job",
    "gpu": "gpu",
}
"""What can be measured, and the module with a function bench_<module> for it."""
USUAL = [name for name in PARTS if name not in ("job", "gpu")]


def main() -> None:
    """Print the machine, each measurement, and at the end all rows."""
    asked = _asked()
    told = machine()
    print(f"{told}\n")
    rows = [Row(f"measured on, {' '.join(asked.parts)}", told)]
    for name in asked.parts:
        module = PARTS[name]
        rows += getattr(importlib.import_module(f"tests.bench.{module}"), f"bench_{module}")(asked)
        gc.collect()
    for row in rows:
        print(row.cells())
    if asked.write:
        update(rows)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="speed of shakegpt beside nanoGPT, transformers")
    parser.add_argument("parts", nargs="*", default=USUAL, help=f"of {' '.join(PARTS)}")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    job.options(parser)
    asked = parser.parse_args()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"no such part: {' '.join(unknown)}; give some of {' '.join(PARTS)}")
    return asked


if __name__ == "__main__":
    main()
