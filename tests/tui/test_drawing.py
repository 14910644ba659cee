"""A sample while it is drawn: its caret, the candidates of each token, the heat of its colours."""

from __future__ import annotations

import time
from pathlib import Path

from textual.content import Content

from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.widgets.candidates import Candidates
from shakegpt_tui.widgets.sample_text import CARET, LEVELS, Look, style_of, styled
from tests.tui import logs
from tests.tui.screens import USUAL, Driver, play, run_screen, text, until


def test_the_candidates_of_each_token_show_as_it_is_drawn(tmp_path: Path) -> None:
    start = time.time() - 30
    run = logs.write(tmp_path / "run", logs.story(7, start=start))
    first, *rest = logs.sample(9, 7, time.time())

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        panel = run_screen(app).query_one(Candidates)
        assert not panel.display and CARET not in text(app)
        with RunLog(run / LOG_NAME) as log:
            for record in (first, *rest[:4]):
                log.write(record)
            await until(pilot, lambda: panel.display and "▸ “ yonder”" in panel.said)
            assert "token 4 of 28" in panel.said and f"yonder{CARET}" in text(app)
            log.write(rest[4])
            await until(pilot, lambda: "▸ “ window”" in panel.said)
            await pilot.press("left")  # an earlier sample, which is complete
            await until(pilot, lambda: not panel.display and CARET not in text(app))
            await pilot.press("right")
            await until(pilot, lambda: panel.display)
            await pilot.resize_terminal(*USUAL)
            await until(pilot, lambda: panel.region.area == 0 and f"window{CARET}" in text(app))
            for record in rest[5:]:
                log.write(record)
        await until(pilot, lambda: CARET not in text(app) and "wherefore" in text(app))

    play(run, script, config=tmp_path)


def test_a_sample_that_a_crash_cut_short_has_no_caret(tmp_path: Path) -> None:
    first, *rest = logs.sample(9, 7, logs.T0 + 40)
    run = logs.write(tmp_path / "run", [*logs.story(7), first, *rest[:4]])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await until(pilot, lambda: "CRASHED" in text(app) and "yonder" in text(app))
        assert CARET not in text(app) and not run_screen(app).query_one(Candidates).display

    play(run, script, config=tmp_path)


def test_the_heat_scale_has_no_underline_and_holds_without_colour() -> None:
    styles = [style_of(probability) for probability in (0.9, 0.4, 0.2, 0.05, 0.001)]
    assert styles == [style for _, _, style in LEVELS]
    assert not any("underline" in style for style in styles)
    attributes = [frozenset({"dim", "bold", "italic"} & set(style.split())) for style in styles]
    assert len(set(attributes)) == len(styles)
    view = History().extend(logs.story(7)).samples[0]
    shown = styled(view, Look(probabilities=True))
    assert isinstance(shown, Content)
    at = shown.plain.index(" yonder")
    assert any(span.start == at and span.style == LEVELS[3][2] for span in shown.spans)
