"""Other scripts in figures: a font of the system, or escapes and a sentence; never a warning."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from matplotlib.font_manager import fontManager

from shakegpt.config import FiguresConfig
from shakegpt.runlog import schema as ev
from shakegpt_figures import glyphs, make, system_fonts
from tests.figures import logs
from tests.figures.looks import Svg

FAMILY = "Sans for a test"
TEXT = ["天", "地", "玄", "黄", "\n"]


def run(where: Path) -> Path:
    header, *rest = logs.talk_like()
    assert isinstance(header, ev.Run)
    dataset = msgspec.structs.replace(header.dataset, name="千字文.txt", speakers=())
    curves = [e for e in rest if isinstance(e, ev.Progress | ev.Step | ev.Eval)]
    sample = logs.sample(TEXT, prompt="話", iteration=20)
    records = [msgspec.structs.replace(header, dataset=dataset), *curves, *sample, logs.end(20)]
    return logs.write(records, where)


def forget() -> None:
    """As in a new process."""
    system_fonts._used.clear()
    system_fonts.fonts.cache_clear()
    system_fonts.covers.cache_clear()


@pytest.fixture
def none_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(system_fonts, "_UNFIT", re.compile(f"^(?!{FAMILY})"))
    before = list(fontManager.ttflist)
    forget()
    yield
    fontManager.ttflist[:] = [e for e in fontManager.ttflist if e in before or "shake" in e.name]
    forget()


def font_with(text: str, path: Path) -> Path:
    """A font that has a box for each of these characters."""
    pen = TTGlyphPen(None)
    for place, point in enumerate([(50, 0), (50, 800), (950, 800), (950, 0)]):
        (pen.lineTo if place else pen.moveTo)(point)
    pen.closePath()
    names = [".notdef", *(f"box{n}" for n in range(len(text)))]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(char): names[n + 1] for n, char in enumerate(text)})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def test_without_a_font_the_characters_are_named_and_drawn_as_escapes(
    none_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make.run(FiguresConfig(runs=(str(run(tmp_path / "run")),), out=str(tmp_path))) == 0
    said = capsys.readouterr().err
    assert "8 characters" in said and "天地玄黄" in said
    assert "\\u5929" in Svg((tmp_path / "generation.svg").read_bytes()).words


def test_a_font_of_the_system_is_used_and_nothing_is_said(
    none_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fontManager.addfont(font_with("天地玄黄話千字文", tmp_path / "font.ttf"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = run(tmp_path / "run")
        assert make.run(FiguresConfig(runs=(str(path),), out=str(tmp_path))) == 0
        first = (tmp_path / "generation.svg").read_bytes()
        forget()  # what was drawn before does not change what is drawn
        config = FiguresConfig(runs=(str(path),), out=str(tmp_path), only=("generation",))
        assert make.run(config) == 0
    assert capsys.readouterr().err == ""
    assert {"天", "地"} <= set(Svg(first).words)
    assert (tmp_path / "generation.svg").read_bytes() == first
    assert glyphs.lacking("天a話ü") == "" and glyphs.lacking("西天") == "西"
