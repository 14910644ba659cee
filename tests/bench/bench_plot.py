"""How long a redraw of the loss plot takes: arithmetic, and the whole widget, 10,000 points.

Run: python -m tests.bench.bench_plot [points]. Reports the median CPU time of this process over 25
redraws, so other load on the machine counts little; the goal is under 20 ms.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from textual.app import App, ComposeResult

from shakegpt_tui.plot.draw import draw
from shakegpt_tui.plot.frame import Curve
from shakegpt_tui.plot.series import Series, smoothed
from shakegpt_tui.widgets.loss_plot import LossPlot

GOAL = 20.0
SIZES = ((200, 50), (120, 40), (80, 24))


def noisy(points: int) -> list[Series]:
    """A train curve of that many points with a gap, and a val curve with a hundredth of them."""
    rng = random.Random(1)
    xs = range(1, points + 1)
    ys: list[float | None] = [3 + 4 * math.exp(-5 * x / points) + rng.gauss(0, 0.2) for x in xs]
    ys[points // 2] = None
    evals = range(0, points + 1, max(points // 100, 1))
    return [
        Series("train", "train", xs, ys),
        Series("val", "val", evals, [3 + 4 * math.exp(-5 * x / points) for x in evals]),
    ]


def milliseconds(work: Callable[[], object], times: int = 25) -> float:
    """Median CPU time of `work`."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(1e3 * (time.process_time() - began))
    return statistics.median(taken)


def arithmetic(series: list[Series], width: int, height: int) -> float:
    """Smoothing, thinning, rasterizing: a frame of characters."""
    train, val = series

    def work() -> None:
        soft = smoothed(train, 0.95)
        draw([Curve(train, "raw"), Curve(soft, "train", "train"), Curve(val, "val", "val")],
             width, height)  # fmt: skip

    return milliseconds(work)


class Host(App[None]):
    """Nothing but the plot."""

    def compose(self) -> ComposeResult:
        """The plot."""
        yield LossPlot()


async def widget(series: list[Series], size: tuple[int, int]) -> tuple[float, float, float]:
    """(new data, zoom, cursor move): every row of the widget made anew."""
    app = Host()
    async with app.run_test(size=size) as pilot:
        plot = app.query_one(LossPlot)
        plot.show(series)
        await pilot.pause(0.5)

        def rows() -> None:
            for y in range(plot.size.height):
                plot.render_line(y)

        def fresh() -> None:
            plot.curves.series = [replace(one) for one in series]  # equal, but of other ids
            zoom()

        def zoom() -> None:
            plot.redraw()
            rows()

        def move() -> None:
            plot.put_cursor(random.random() * len(series[0].xs))
            rows()

        return milliseconds(fresh), milliseconds(zoom), milliseconds(move)


def main() -> None:
    """Print a line a size."""
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    series = noisy(points)
    print(f"{points} points; goal: a redraw under {GOAL:.0f} ms of CPU time")
    for size in SIZES:
        frame = arithmetic(series, *size)
        fresh, zoom, move = asyncio.run(widget(series, size))
        verdict = "ok" if fresh < GOAL else "TOO SLOW"
        print(
            f"{size[0]:>4} × {size[1]:<3} frame {frame:5.1f} ms   new data {fresh:5.1f} ms"
            f"   zoom {zoom:5.1f} ms   cursor move {move:5.1f} ms   {verdict}"
        )


if __name__ == "__main__":
    main()
