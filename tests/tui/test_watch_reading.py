"""Reading the samples of a run: steps, comparison, tokens, search, copies."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.style import Style

from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.settings import load
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.sample_pane import SamplePane
from tests.tui.screens import (
    LARGE,
    SMALL,
    USUAL,
    Driver,
    burst,
    live,
    play,
    run_screen,
    text,
    until,
)


def test_stepping_back_and_comparing_with_the_first(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        shown = run_screen(app).query_one("#shown", SamplePane)
        await pilot.press("left")
        assert str(shown.border_title).startswith("iteration 5 · sample 2 of 3")
        await pilot.press("home")
        assert str(shown.border_title).startswith("iteration 0 · sample 1 of 3")
        await pilot.press("end", "b")
        await until(pilot, lambda: text(app).count("through yonder") == 2)
        assert "iteration 0 · sample 1" in text(app) and "iteration 10 · sample 3" in text(app)
        assert load(tmp_path / "tui.json").compare
        for pane in app.screen.query(SamplePane):  # a text does not touch its scrollbar
            assert pane.query_one(Quiet).content_size.width < pane.scrollable_content_region.width

    play(live(tmp_path, 12), script, config=tmp_path)


@pytest.mark.parametrize("size", [LARGE, USUAL, SMALL])
def test_a_token_and_what_could_have_stood_there(tmp_path: Path, size: tuple[int, int]) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("b", "t", "right", "right", "right")
        await until(pilot, lambda: "token 4 of 28" in text(app))
        pane = run_screen(app).query_one("#shown", SamplePane)
        await until(pilot, lambda: pane.scrollable_content_region.height >= 2)  # to see it in
        assert "▸ “ yonder”" in text(app) and "“ thee”" in text(app)
        browser = run_screen(app).browser
        await pilot.press("b")
        await until(pilot, lambda: run_screen(app).query_one("#beside").display is False)
        await pilot.pause(0.2)
        await pilot.press("down")  # a line, to the token below or nearly so
        assert browser.sample and browser.token
        below = "\n" if size == SMALL else " art"  # the line is broken there
        assert browser.sample.tokens[browser.token].text == below
        await pilot.press("up")
        assert browser.sample.tokens[browser.token].text == " yonder"
        await until(pilot, lambda: "token 4 of 28" in text(app))
        assert "chance 5.0%, model's 4.0%, rank 3" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: "token 4 of" not in text(app))

    play(live(tmp_path), script, size=size, config=tmp_path)


def test_a_click_chooses_the_token(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        lines = text(app).splitlines()
        row = next(y for y, line in enumerate(lines) if "yonder" in line)
        await pilot.click(offset=(lines[row].index("yonder") + 2, row))
        await until(pilot, lambda: "token 4 of 28" in text(app))

    play(live(tmp_path), script, config=tmp_path)


def test_probabilities_show_in_styles_with_a_legend(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("c")
        await until(pilot, lambda: "≥60% ≥30% ≥10% ≥2% <2%" in text(app))
        styles = _styles_of(app, "[east")
        assert any(style.italic and style.bold and not style.underline for style in styles)

    play(live(tmp_path), script, config=tmp_path)


def _styles_of(app: ShakegptApp, piece: str) -> list[Style]:
    strips = app.screen._compositor.render_strips()
    return [s.style or Style() for strip in strips for s in strip if piece in s.text]


def test_search_in_all_samples(tmp_path: Path) -> None:
    async def script(pilot: Driver, app: ShakegptApp) -> None:
        screen = run_screen(app)
        await pilot.press("slash")
        await pilot.pause(0.2)
        burst(app, *"no", "ctrl+u", *"THE STN", "left", "backspace", "U", "enter")
        await until(pilot, lambda: screen.hit is not None)
        assert screen.hit is not None and screen.hit.sample == 2
        assert "found 3 of 3" in text(app)
        await pilot.press("n")
        await until(pilot, lambda: screen.hit is not None and screen.hit.sample == 0)
        await until(pilot, lambda: "found 1 of 3" in text(app))
        await pilot.press("N")
        await until(pilot, lambda: screen.hit is not None and screen.hit.sample == 2)
        await pilot.press("slash", *"yon")  # while one types
        await until(pilot, lambda: screen.hit is not None and "yon " in text(app))
        await pilot.press("q")
        await until(pilot, lambda: screen.hit is None and "none" in text(app))
        await pilot.press("escape")  # back to where it began
        await until(pilot, lambda: not screen.browser.needle and "found" not in text(app))
        assert screen.browser.position == 2

    play(live(tmp_path, 12), script, config=tmp_path)


def test_copies(tmp_path: Path) -> None:
    run = live(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("y", "Y")
        written = run / "sample-2-iteration-5.txt"
        await until(pilot, written.exists)
        assert (
            app.clipboard
            == written.read_text()
            == run_screen(app).query_one("#shown", SamplePane).said
        )
        assert app.clipboard.startswith("ROMEO: What light")

    play(run, script, config=tmp_path)
