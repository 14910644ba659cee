"""The rows of --memory side by side over GPT-2's sizes: memory, disk and time.

`python -m tests.bench.memory_figure docs` draws docs/memory.svg from docs/memory.json, which
`tests.bench.memory --json` writes, and puts the table into docs/cost.md. Rings are measured, dashes
are the estimate that `shakegpt finetune` prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from shakegpt.config import FinetuneConfig
from shakegpt.files import write_atomically
from shakegpt.format import size
from shakegpt.hardware import memory
from shakegpt.hardware.memory import Row
from shakegpt_figures.heading import heading
from shakegpt_figures.save import render
from shakegpt_figures.style import (
    BACKGROUND,
    BODY,
    CYAN,
    GREEN,
    HEIGHT,
    SMALL,
    WIDTH,
    YELLOW,
    font,
    slide,
    talk,
    write,
)  # fmt: skip
from tests.bench.memory import SHAPES

TITLE = "GPT-2 of every size, in three amounts of memory"
ROWS: dict[Row, str] = {"normal": CYAN, "low": YELLOW, "lowest": GREEN}
SIZES = ("124M", "Medium", "Large", "XL")
CONFIG = FinetuneConfig(
    batch_size=1, gradient_accumulation_steps=32, block_size=1024, dtype="float32", keep=1
)
"""Of the table: nanoGPT's recipe for XL."""
BEGIN, END = "<!-- rows -->\n", "<!-- /rows -->"
TOP, BOTTOM, ACROSS = 330, 960, 720
Point = dict[str, Any]


def main() -> None:
    """Draw, and write the table."""
    folder = Path(sys.argv[1])
    told, page = json.loads((folder / "memory.json").read_text("utf-8")), folder / "cost.md"
    with talk():
        figure = draw(told)
    write_atomically(folder / "memory.svg", render(figure, "svg", TITLE, describe()))
    page.write_text(put_in(page.read_text("utf-8"), told), "utf-8")


def draw(told: dict[str, Any]) -> Figure:
    """The slide: memory on the left, disk on the right, over the number of parameters."""
    figure, page = slide()
    heading(page, TITLE, f"dashes: estimate · rings: measured · {told['machine']}")
    n = [SHAPES[name].n_params for name in SIZES]
    for left, word in ((196, "peak memory, GiB"), (1100, "disk, GiB, 32 micro-batches, 1 state")):
        write(page, left, 268, word, BODY, face="bold")
        box = (left / WIDTH, 1 - BOTTOM / HEIGHT, ACROSS / WIDTH, (BOTTOM - TOP) / HEIGHT)
        axes = figure.add_axes(box)
        axes.set(xscale="log", yscale="log", xlim=(n[0] / 1.2, n[-1] * 1.2))
        for row, colour in ROWS.items():
            needs = [memory.estimate(SHAPES[name], CONFIG, row) for name in SIZES]
            values = [need.total if left == 196 else need.disk for need in needs]
            axes.plot(n, [v / 2**30 for v in values], "--", color=colour, lw=4)
            found = [p for p in told["points"] if p["row"] == row and left == 196]
            x = [SHAPES[p["shape"]].n_params for p in found]
            y = [p["peak"] / 2**30 for p in found]
            axes.plot(x, y, "o", color=colour, ms=14, mew=4, mfc=BACKGROUND)
        axes.xaxis.set_major_locator(FixedLocator(n))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: SIZES[n.index(round(v))]))
        axes.yaxis.set_major_locator(FixedLocator([0.5, 1, 2, 4, 8, 16, 32, 64]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y")
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_fontproperties(font("sans", SMALL))
    for place, (row, colour) in enumerate(ROWS.items()):
        write(page, 196 + 250 * place, 1044, f"--memory {row}", SMALL, colour)
    return figure


def describe() -> str:
    """The estimates in words."""
    said = []
    for row in ROWS:
        needs = (memory.estimate(SHAPES[name], CONFIG, row).total for name in SIZES)
        said.append(f"{row} {', '.join(map(size, needs))}")
    return f"Peak memory by estimate of {', '.join(SIZES)}: " + "; ".join(said) + "."


def table(told: dict[str, Any]) -> str:
    """A line for each size and row."""
    found = {(p["shape"], p["row"]): p for p in told["points"]}
    lines = [
        "| model | `--memory` | memory, estimate | measured | disk | disk traffic an iteration "
        "| operations | processor s of the measurement |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in SIZES:
        for row in ROWS:
            need = memory.estimate(SHAPES[name], CONFIG, row)
            point = found.get((name, row))
            measured = size(point["peak"]) if point else ""
            seconds = f"{point['cpu']:.0f}" if point else ""
            again = 0.0 if row == "normal" else 1 / 3  # of forward and backward
            shape = SHAPES[name]
            if row == "lowest":
                again += shape.vocab_size * shape.n_embd / (3 * shape.n_params)
            traffic = size(need.traffic) if need.traffic else ""
            needs = (size(need.total), measured, size(need.disk), traffic)
            lines.append(f"| {' | '.join((name, row, *needs, f'× {1 + again:.2f}', seconds))} |")
    return "\n".join([told["machine"] + ".", "", *lines, ""])


def put_in(page: str, told: dict[str, Any]) -> str:
    """The page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table(told) + END + rest.partition(END)[2]


if __name__ == "__main__":
    main()
