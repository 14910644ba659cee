"""The plot and the sparkline in a terminal: keys, mouse, growing logs, other runs, three sizes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.events import Key, MouseScrollUp
from textual.widgets import SelectionList, Static

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt_tui.plot.frame import Frame
from shakegpt_tui.plot.series import Series, smoothed
from shakegpt_tui.run import curves
from shakegpt_tui.screens.help import key_table
from shakegpt_tui.screens.plot import PlotScreen
from shakegpt_tui.screens.plot_picker import PlotPicker
from shakegpt_tui.widgets.loss_plot import LossPlot
from shakegpt_tui.widgets.sparkline import LossSparkline
from tests.tui.screens import text

SIZES = [(120, 40), (80, 24), (50, 15)]
T0 = 1_750_000_000.0


def step(iteration: int, loss: float | None) -> ev.Step:
    return ev.Step(
        time=T0 + iteration,
        iteration=iteration,
        loss=loss,
        learning_rate=1e-3,
        grad_norm=1.0,
        seconds=1.0,
        tokens_per_second=1.0,
        memory=1,
    )


def evaluation(iteration: int, loss: float | None) -> ev.Eval:
    return ev.Eval(
        time=T0 + iteration + 0.5,
        iteration=iteration,
        val_loss=loss,
        tokens=1,
        seconds=0.5,
        best=True,
    )


def history(iterations: int = 20) -> History:
    told = History()
    for i in range(iterations + 1):
        if i:
            told.add(step(i, None if i == 7 else 3 + 1 / i))
        if i % 5 == 0:
            told.add(evaluation(i, 3.5 - i / iterations))
    return told


def write(run: Path, told: History) -> Path:
    run.mkdir(parents=True)
    with RunLog(run / LOG_NAME) as log:
        for done in told.steps.values():
            log.write(done)
        for measured in told.evals.values():
            log.write(measured)
    return run


class Host(App[None]):
    """Nothing but the screen under test."""

    def __init__(self, told: History, runs: list[Path] | None = None) -> None:
        super().__init__()
        self.plot_screen = PlotScreen(told, runs or [])

    def on_mount(self) -> None:
        self.push_screen(self.plot_screen)

    @property
    def plot(self) -> LossPlot:
        return self.plot_screen.query_one(LossPlot)

    def said(self, name: str) -> str:
        return str(self.plot_screen.query_one(name, Static).content)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def picture(plot: LossPlot) -> str:
    return "\n".join("".join(segment.text for segment in plot.render_line(y))
                     for y in range(plot.size.height))  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_curves_fill_the_screen_with_axes_and_labels(size: tuple[int, int]) -> None:
    async def test() -> None:
        app = Host(history())
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            shown = picture(app.plot)
            assert "●" in shown and "┤" in shown and "┬" in shown
            assert "val 2.500" in shown and "train 3.050" in shown
            assert app.said("#readout").startswith("iteration 20 · val 2.500 · train 3.050 · ")
            await pilot.resize_terminal(60, 20)
            await pilot.pause()
            assert "val 2.500" in picture(app.plot)

    run(test())


def readable(app: App[Any]) -> str:
    """The text on the screen but for what has the colour of its ground."""
    segments = [s for strip in app.screen._compositor.render_strips() for s in strip]
    return "".join(s.text for s in segments if not s.style or s.style.color != s.style.bgcolor)


def test_keys_zoom_pan_log_smooth_and_change_symbols() -> None:
    async def test() -> None:
        app = Host(history(100))
        async with app.run_test(size=(80, 24)) as pilot:
            plot = app.plot
            await pilot.press("up", "up")
            assert plot.view.window(plot.extent)[1] == 100
            assert plot.view.follows
            await pilot.press("comma")
            assert not plot.view.follows
            await pilot.press("end")
            assert plot.view.follows and plot.view.span is not None
            await pilot.press("0")
            assert plot.view.window(plot.extent) == (0, 100)
            await pilot.press("l")
            assert plot.frame.log and "log" in app.said("#settings")
            await pilot.press("plus", "minus", "minus", "minus", "minus")
            assert plot.curves.smoothing == 0.0 and "not smoothed" in app.said("#settings")
            await pilot.press("b", "b")
            assert "ascii" in app.said("#settings")
            assert picture(plot).isascii()

    run(test())


def test_the_help_tells_the_plot_s_keys_under_the_plot_s_own_heading() -> None:
    async def test() -> None:
        app = Host(history())
        async with app.run_test(size=(80, 24)):
            bindings = [active.binding for active in app.plot_screen.active_bindings.values()]
            told = key_table(bindings, app.get_key_display).plain.splitlines()
            assert "This screen" in told and "Reading the samples" not in told
            pairs = [line.split("  ")[0].strip() for line in map(str.strip, told)]
            assert {"←→", "↑↓", "+-", "esc", "q", "c"} <= set(pairs)
            assert len(pairs) == len(set(pairs) - {""}) + pairs.count("")

    run(test())


def test_fifty_columns_have_the_whole_footer_and_the_keys_of_the_drawing() -> None:
    async def test() -> None:
        app = Host(history())
        async with app.run_test(size=(50, 15)):
            last = text(app).splitlines()[-2:]
            assert "l linear  +- not smoothed  b braille" in last[0]
            assert last[1].rstrip().endswith("c Compare")

    run(test())


def test_an_end_that_is_out_of_view_has_no_value_beside_the_picture() -> None:
    async def test() -> None:
        app = Host(history(100))
        async with app.run_test(size=(80, 24)) as pilot:
            assert "val 2.500" in picture(app.plot)
            await pilot.press("up", "comma", "comma")
            assert "╶ val" in picture(app.plot) and "2.500" not in picture(app.plot)

    run(test())


def test_the_cursor_reads_values_a_gap_and_the_time() -> None:
    async def test() -> None:
        app = Host(history())
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("right")
            assert app.plot.cursor == 0
            for expected in (1, 2):
                while app.plot.cursor == expected - 1:
                    await pilot.press("right")
                assert app.plot.cursor == expected
            app.plot.put_cursor(7)
            await pilot.pause()
            said = app.said("#readout")
            assert "iteration 7" in said and "train –" in said and "val 3.250 at 5" in said
            app.plot.put_cursor(10)
            await pilot.pause()
            await pilot.press("plus")
            _, val, train, when, smooth = app.said("#readout").split(" · ")
            assert (val, train) == ("val 3.000", "train 3.100")
            assert re.fullmatch(r"\d\d:\d\d:\d\d", when) and smooth.startswith("smooth ")
            await pilot.press("escape")
            assert app.plot.cursor is None
            assert app.screen is app.plot_screen
            await pilot.press("escape")
            assert app.screen is not app.plot_screen

    run(test())


def test_the_mouse_reads_zooms_and_drags() -> None:
    async def test() -> None:
        app = Host(history(100))
        async with app.run_test(size=(120, 40)) as pilot:
            plot = app.plot
            await pilot.pause()
            column = plot.frame.column_of(50)
            assert column is not None
            await pilot.hover(LossPlot, offset=(column, 10))
            assert plot.cursor is not None and abs(plot.cursor - 50) <= 1
            await pilot._post_mouse_events(
                [MouseScrollUp],
                LossPlot,
                offset=(column, 10),
            )
            await pilot.pause()
            lo, hi = plot.view.window(plot.extent)
            assert hi == 100 and lo == pytest.approx(20)
            await pilot.mouse_down(LossPlot, offset=(30, 10))
            await pilot.hover(LossPlot, offset=(60, 10))
            await pilot.mouse_up(LossPlot, offset=(60, 10))
            assert plot.view.window(plot.extent)[1] < 100
            await pilot.click(LossPlot, offset=(40, 10), times=2)
            assert plot.view.window(plot.extent) == (0, 100)

    run(test())


def test_a_growing_history_shows_and_keeps_the_newest_in_view() -> None:
    async def test() -> None:
        told = History()
        app = Host(told)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert "no loss yet" in picture(app.plot)
            told.add(evaluation(0, 4.0))
            for i in range(1, 31):
                told.add(step(i, 3.0))
            app.plot_screen.refresh_history()
            await pilot.press("up")
            await pilot.pause(0.3)
            assert app.plot.frame.x_range[1] == 30
            told.add(step(31, 2.9))
            app.plot_screen.refresh_history()
            await pilot.pause(0.3)
            assert app.plot.frame.x_range[1] == 31
            assert "train 2.900" in picture(app.plot)

    run(test())


def test_an_unchanged_history_is_not_drawn_again() -> None:
    async def test() -> None:
        app = Host(history())
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause(0.3)
            drawn = app.plot.frame
            for _ in range(5):
                app.plot_screen.refresh_history()
            await pilot.pause(0.3)
            assert app.plot.frame is drawn
            await pilot.press("right")
            assert app.plot.frame is drawn

    run(test())


def test_other_runs_are_picked_and_laid_over(tmp_path: Path) -> None:
    own = write(tmp_path / "2026-11-22T10-00-00-own", history())
    write(tmp_path / "2026-11-22T11-30-00-gpt2", history(10))
    with (tmp_path / "2026-11-22T11-30-00-gpt2" / LOG_NAME).open("ab") as log:
        log.write(b"[red]torn")

    async def test() -> None:
        app = Host(history(), [own])
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("c")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert isinstance(app.screen, PlotPicker)
            assert app.screen.query_one(SelectionList).option_count == 1
            assert "3.500 → 2.500" in readable(app)
            await pilot.press("space", "enter")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert list(app.plot.curves.others) == ["11:30 gpt2"]
            assert "11:30 gpt2 2.500" in picture(app.plot)
            assert "11:30 gpt2 2.500 at 10" in app.said("#readout")

    run(test())


def test_keys_that_come_at_once_pick_in_their_order(tmp_path: Path) -> None:
    own = write(tmp_path / "2026-11-22T10-00-00-own", history())
    for name in ("a", "b"):
        write(tmp_path / f"2026-11-22T11-30-00-{name}", history(10))

    async def test() -> None:
        app = Host(history(), [own])
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("c")
            await app.workers.wait_for_complete()
            await pilot.pause()
            for key, char in (("space", " "), ("down", None), ("space", " "), ("enter", "\r")):
                app.post_message(Key(key, char))
            await pilot.pause(0.1)
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert set(app.plot.curves.others) == {"11:30 a", "11:30 b"}

    run(test())


def test_curves_of_a_log_are_those_of_its_history(tmp_path: Path) -> None:
    told = history()
    assert curves.of_run(write(tmp_path / "run", told)) == curves.of_history(told)
    assert [len(s.xs) for s in curves.of_run(tmp_path / "nowhere")] == [0, 0]


class Spark(App[None]):
    def compose(self) -> ComposeResult:
        yield LossSparkline()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_sparkline_shows_both_losses_with_their_values(size: tuple[int, int]) -> None:
    async def test() -> None:
        app = Spark()
        async with app.run_test(size=size) as pilot:
            spark = app.query_one(LossSparkline)
            await pilot.pause()
            lines = [spark.render_line(y).text for y in range(spark.size.height)]
            assert "no loss yet" in "\n".join(lines)
            nan = Series("train", "train", [1, 2, 3], [3.0, float("nan"), 2.0])
            spark.show([nan, Series("val", "val", [0, 3], [4.0, 2.5])])
            await pilot.pause(0.3)
            lines = [spark.render_line(y).text for y in range(spark.size.height)]
            assert all(len(line) == size[0] for line in lines)
            assert "train 2.000" in "\n".join(lines) and "val 2.500" in "\n".join(lines)

    run(test())


@pytest.mark.parametrize("points", [20, 99, 100, 300])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_label_says_the_value_that_its_line_ends_at(points: int, size: tuple[int, int]) -> None:
    """Raw losses in a short run; in a long one their moving average, named, and the raw ones."""
    told = History()
    for i in range(points + 1):
        if i:
            told.add(step(i, 3 + 100 / (i + 30) + (-1) ** i / 3))
        if i % 5 == 0:
            told.add(evaluation(i, 2.5))
    train, _ = curves.of_history(told)

    async def test() -> None:
        app = Host(told)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            frames = [app.plot.frame]
            for height in (4, 10):
                sparkline = LossSparkline()
                sparkline.show([train])
                frames.append(sparkline.draw_frame(size[0], height))
            for frame in frames:
                labels = {"train": rf"train {train.latest:.3f}"}
                if points >= 100:
                    mean = smoothed(train, 0.6).latest
                    name = r"train \(EMA 0.6\)" if size[0] >= 70 else "EMA 0.6"
                    labels = {"train": f"{name} {mean:.3f}", "raw": f"raw {train.latest:.3f}"}
                for role, label in labels.items():
                    assert re.search(label, words_of(frame, role))
                assert points >= 100 or not words_of(frame, "raw")

    run(test())


def words_of(frame: Frame, role: str) -> str:
    """What is written or drawn in the cells of that role."""
    return "".join(
        char
        for chars, roles in zip(frame.chars, frame.roles, strict=True)
        for char, is_role in zip(chars, roles, strict=True)
        if is_role == role
    )


def test_the_best_val_loss_is_marked_once_it_rises_and_a_loss_that_is_no_number_is_named() -> None:
    told = history()
    assert {mark.text for mark in curves.marks(told)} == set()
    told.add(evaluation(25, 3.9))
    assert [(m.x, m.text) for m in curves.marks(told) if m.text] == [(20, "best val 2.500")]
    told.add(step(26, None))
    train, _ = curves.of_history(told)
    assert curves.end_label("train", train) == "train NaN/inf"
