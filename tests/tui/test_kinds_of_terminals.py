"""Terminals of other kinds: very wide ones, ones without colour, ones without Unicode."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.widgets import SelectionList

from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.home import meters
from shakegpt_tui.run.feed import LiveFeed
from shakegpt_tui.screens.plot_picker import PlotPicker
from shakegpt_tui.terminal import capabilities
from shakegpt_tui.terminal.ascii import SHAPES, AsciiFilter
from shakegpt_tui.widgets.sparkline import LossSparkline
from tests.tui import logs
from tests.tui.screens import Driver, play, run_screen, text, until


def test_a_wide_terminal_shows_what_else_is_measured_and_a_high_one_larger_curves(
    tmp_path: Path,
) -> None:
    start = time.time() - 30
    run = logs.write(
        tmp_path / "run", logs.story(7, start=start, head=logs.own_header(os.getpid(), start))
    )
    log = RunLog(run / LOG_NAME)  # its writer lives
    log.write(logs.beat("training", 7, time.time()))

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        curve = run_screen(app).query_one(LossSparkline)
        heights = []
        for size in ((120, 40), (160, 40), (200, 60)):
            await pilot.resize_terminal(*size)
            if size[0] >= 160:
                await until(pilot, lambda: "gradient norm 0.9" in text(app))
            else:
                assert "gradient norm" not in text(app)
            heights.append(curve.size.height)
        assert heights[0] == heights[1] and heights[2] >= 1.8 * heights[0]
        shown = text(app)
        assert all(word in shown for word in ("learning rate", "tokens/s 8,192", "memory MiB 774"))
        assert curve.frame.x_range == (0, 20)
        await until(pilot, lambda: "cpu " in text(app))

    play(run, script, config=tmp_path)
    log.close()


def test_meters_in_a_line() -> None:
    assert meters.cpu_text([0.0, 0.5, 1.0]) == "cpu ▁▅█ 50%"
    assert meters.cpu_text([1.0] * 128).startswith("cpu " + "█" * 32 + " ")
    load = meters.GpuLoad(0.9, 21 << 30, 80 << 30)
    assert "90%" in meters.gpu_text(load) and "80.0 GiB" in meters.gpu_text(load)


def test_the_gpu_is_read_from_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '37, 1024, 4096'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert meters.gpu() == meters.GpuLoad(0.37, 1 << 30, 4 << 30)
    program.write_text("#!/bin/sh\necho 'No devices were found'\n")
    assert meters.gpu() is None


def test_without_colour_curves_differ_by_pattern_and_only_ticked_runs_have_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TEXTUAL_THEME", "ansi-dark")
    run = logs.write(tmp_path / "run", [*logs.story(20), logs.end(20, logs.T0 + 33)])
    for name in ("one", "two"):
        logs.write(tmp_path / name, logs.story(6))

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        curve = run_screen(app).query_one(LossSparkline)
        cells = {
            role: sum(found == role for row in curve.frame.roles for found in row)
            for role in ("train", "val")
        }
        assert cells["val"] < 0.8 * cells["train"]
        strips = [curve.render_line(y) for y in range(curve.size.height)]
        grid = [s for strip in strips for s in strip if s.text.startswith("┈┈")]
        assert grid and all(s.style is not None and s.style.dim for s in grid)
        await pilot.press("g", "c")
        await until(pilot, lambda: isinstance(app.screen, PlotPicker))
        await until(pilot, lambda: app.screen.query_one(SelectionList).option_count == 2)
        await pilot.press("down", "space")
        await until(pilot, lambda: "X" in text(app))
        ticked = [line for line in text(app).splitlines() if "X" in line]
        assert len(ticked) == 1

    play(run, script, config=tmp_path)


def test_a_terminal_that_has_no_unicode_gets_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capabilities, "encodes", str.isascii)
    run = logs.write(tmp_path / "run", [*logs.story(20), logs.end(20, logs.T0 + 33)])
    app = ShakegptApp(LiveFeed(run), config=tmp_path / "tui.json")

    async def body() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: "FINISHED" in text(app))
            for key in ("b", "c", "t", "question_mark", "escape", "g", "b", "escape"):
                await pilot.press(key)
                await pilot.pause(0.05)
                assert text(app).isascii(), key

    asyncio.run(body())


def test_the_encoding_of_the_terminal_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        encoding = "iso-8859-1"

    monkeypatch.setattr(sys, "__stderr__", Stream())
    assert capabilities.encodes("é") and not capabilities.encodes("⣿")
    monkeypatch.setattr(Stream, "encoding", "utf-8")
    assert capabilities.encodes("⣿")


def test_every_replacement_is_as_wide_as_what_it_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "encodes", str.isascii)
    from rich.segment import Segment
    from textual.color import Color

    given = "".join(SHAPES.values()) + "⣿⠁⠀日é\u0301ß"
    (shown,) = AsciiFilter().apply([Segment(given)], Color(0, 0, 0))
    assert shown.text.isascii() and cell_len(shown.text) == cell_len(given)
    assert len({char for shapes in SHAPES.values() for char in shapes}) == sum(
        map(len, SHAPES.values())
    )


@pytest.mark.parametrize(("term", "colours"), [("vt100", False), ("xterm-256color", True)])
def test_terminfo_says_whether_there_are_colours(
    term: str, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)

    code = "from shakegpt_tui.terminal.capabilities import has_colours; print(has_colours())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(colours)
