"""The stage: letters of blocks, and the screen that is made of them."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.screens.presenter import PresenterScreen
from shakegpt_tui.screens.run import RunScreen
from shakegpt_tui.widgets.large_text import LargeText, Part
from shakegpt_tui.widgets.lettering import HALVES, SIZES, Lettering, largest
from tests.tui import logs
from tests.tui.screens import Driver, play, text, until

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=40)


@pytest.mark.parametrize("size", SIZES)
def test_letters_are_blocks_within_their_measure(size: int) -> None:
    font = Lettering(size, size % 2 == 0)
    rows = font.draw("Äg 4.60→3.87/20 |j")
    assert len(rows) == font.rows <= size
    assert {len(row) for row in rows} == {font.width("Äg 4.60→3.87/20 |j")}
    assert set("".join(rows)) <= set(HALVES)
    assert rows[-1].strip(), "descenders are cut off"


def test_letters_can_be_told_apart() -> None:
    font = Lettering(SIZES[0])
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?-"
    drawn = {tuple(font.draw(letter)) for letter in letters}
    assert len(drawn) >= len(letters) - 2  # l and I are one bar


@given(WORDS, st.integers(12, 90), st.integers(1, 5))
def test_wrapping_keeps_to_the_width_and_the_words(said: str, width: int, most: int) -> None:
    font = Lettering(8)
    lines = font.wrap(said, width, most)
    assert len(lines) <= most
    assert all(font.width(line) <= width or len(line) == 1 for line in lines)
    squeezed = "".join(said.split())
    assert squeezed.startswith("".join("".join(lines).split()))


def test_the_largest_letters_that_fit() -> None:
    small, large = largest("4.60", 40, 10), largest("4.60", 150, 30)
    assert small is not None and large is not None
    assert small.width("4.60") <= 40 and small.rows <= 10 < large.rows
    assert largest("a long line of words", 20, 10) is None


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (50, 15)], ids=str)
def test_the_stage_shows_losses_curves_and_samples_in_blocks_alone(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    run = logs.write(tmp_path / "run", [*logs.story(20), logs.end(20, logs.T0 + 33)])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, PresenterScreen))
        await until(pilot, lambda: "█" in text(app))
        stage = app.screen
        shown = text(app)
        assert not re.search(r"[0-9A-Za-z]", shown)
        areas = {name: stage.query_one(f"#{name}").region for name in ("losses", "bold-curves")}
        assert all(area.width and area.height for area in areas.values())
        both = [stage.query_one(f"#{name}", LargeText) for name in ("before", "after")]
        assert [widget.said[0][0].text for widget in both] == ["iteration 0", "iteration 20"]
        seen = [widget.region.area > 0 for widget in both]
        assert seen == ([True, True] if size[0] > 110 else [False, True])
        await pilot.press("b")
        await pilot.pause(0.1)
        assert both[0].region.area > 0
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert "FINISHED" in text(app)

    play(run, script, size=size, config=tmp_path)


@pytest.mark.parametrize("tail", [False, True])
def test_running_text_fills_its_room_and_leaves_no_line_blank(tail: bool) -> None:
    class Host(App[None]):
        def compose(self) -> ComposeResult:
            yield LargeText(id="said", running=True)

    async def body() -> None:
        app = Host()
        async with app.run_test(size=(60, 24)) as pilot:
            said = app.query_one(LargeText)
            said.styles.height = "100%"
            said.say([Part("one:"), Part("two\n\nthree\n \nfour five\n" * 2000)], tail=tail)
            await pilot.pause()
            blank = [not said.render_line(y).text.strip() for y in range(24)]
            assert sum(blank) <= 24 // 4 + 2  # a row between lines at most, and what is left below
            assert not any(a and b for a, b in pairwise(blank[:-3]))

    asyncio.run(body())


def test_a_sample_that_is_drawn_is_followed_on_the_stage(tmp_path: Path) -> None:
    start = time.time() - 30
    run = logs.write(tmp_path / "run", logs.story(7, start=start))
    first, *rest = logs.sample(9, 7, time.time())

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, PresenterScreen))
        after = app.screen.query_one("#after", LargeText)
        with RunLog(run / LOG_NAME) as log:
            for record in (first, *rest[:20]):
                log.write(record)
            await until(pilot, lambda: after.tail and "sun" in after.said[0][-1].text)
            for record in rest[20:]:
                log.write(record)
        await until(pilot, lambda: not after.tail)

    play(run, script, config=tmp_path)
