"""The built deck in a real Chromium: every slide as the audience sees it, and that checks bite."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deck.browse import SLIDES, faults, is_outside, look, show, turn_to, value, visit
from tests.deck.build import ROOT
from tests.deck.chromium import Chromium

FONTS = {"Fraunces Variable", "Nunito Sans", "Fira Code"}


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    """The run.json that the deck was built with."""
    told: dict[str, Any] = json.loads((ROOT / "slides/data/run.json").read_text("utf-8"))
    return told


@pytest.mark.parametrize("slide", range(1, SLIDES + 1))
def test_a_slide_is_as_it_should_be(
    browser: Chromium, site: str, run: dict[str, Any], slide: int
) -> None:
    visit(browser, site, slide)
    assert faults(browser, site, slide, run) == []


def test_the_deck_opens_from_a_disk(browser: Chromium, built: Path, run: dict[str, Any]) -> None:
    """file:// has no server, and its modules are blocked."""
    base, found = built.as_uri(), {}
    show(browser, base, 1)
    for slide in range(1, SLIDES + 1):
        turn_to(browser, slide)
        if wrong := faults(browser, base, slide, run):
            found[slide] = wrong
    assert found == {}


def test_every_page_of_the_pdf_has_its_number(browser: Chromium, site: str) -> None:
    browser.open(f"{site}/#/export")
    pages = "[...document.querySelectorAll('.print-slide-container')]"
    browser.wait(f"{pages}.length === {SLIDES}")
    numbers = browser.ask(f"{pages}.map(page => page.querySelector('.corner').textContent)")
    assert numbers == ["", *map(str, range(2, SLIDES + 1))]


def test_the_handout_has_slides_and_notes_on_paper(
    browser: Chromium, built: Path, tmp_path: Path
) -> None:
    for name in ("pdf.mjs", "optional.mjs", "slides.md", "data/run.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "slides" / name, tmp_path / name)
    (tmp_path / "dist").symlink_to(built)
    done = subprocess.run(
        ["node", "pdf.mjs", "--notes"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    pdf = (tmp_path / "handout.pdf").read_bytes()
    pages = len(re.findall(rb"/Type /Page\b", pdf))
    assert SLIDES / 8 < pages < SLIDES / 2  # several slides on each
    assert b"/MediaBox [0 0 594" in pdf  # A4, upright
    assert pdf.count(b"/Subtype /Image") < SLIDES  # slides are vectors


def test_there_are_as_many_slides_as_the_talk_has(browser: Chromium, site: str) -> None:
    visit(browser, site, 1)
    pages = browser.ask("document.querySelectorAll('[class*=slidev-page-]').length")
    assert pages >= 1
    visit(browser, site, SLIDES)
    assert "Questions?" in [text for _, _, text in look(browser, SLIDES)["texts"]]


def test_the_fonts_are_the_decks_own(browser: Chromium, site: str) -> None:
    shown = set()
    for slide in (1, 8):
        visit(browser, site, slide)
        shown |= set(look(browser, slide)["faces"])
    assert shown >= FONTS


def test_the_sample_is_the_recorded_one(browser: Chromium, site: str, run: dict[str, Any]) -> None:
    visit(browser, site, 12)
    seen = look(browser, 12)
    assert seen["sample"] == [line["text"] for line in run["sample"]["lines"]]
    assert seen["sampleElements"] == len(seen["sample"])


@pytest.mark.parametrize(
    ("slide", "figure"), [(3, "architecture"), (6, "training"), (9, "generation"), (11, "inside")]
)
def test_a_figure_has_words(
    browser: Chromium, site: str, run: dict[str, Any], slide: int, figure: str
) -> None:
    visit(browser, site, slide)
    ((source, width, alt),) = look(browser, slide)["images"]
    assert source.endswith(f"{figure}.svg")
    assert width > 0
    assert alt == run["alt"][figure]


@pytest.mark.parametrize(
    ("slide", "file", "region"), [(8, "finetune.py", "loop"), (10, "generate.py", "generate")]
)
def test_the_code_is_the_code_that_runs(
    browser: Chromium, site: str, slide: int, file: str, region: str
) -> None:
    visit(browser, site, slide)
    source = (ROOT / "shakegpt" / file).read_text("utf-8").splitlines()
    first, last = (
        next(i for i, line in enumerate(source) if line.strip() == f"# {mark} {region}")
        for mark in ("region", "endregion")
    )
    lines = source[first + 1 : last]
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    assert [line.rstrip() for line in look(browser, slide)["code"]] == [
        line[indent:] for line in lines
    ]


def _more(html: str) -> str:
    return f"s.insertAdjacentHTML('beforeend', `{html}`)"


BREAKS = {
    "outside the slide: more": _more("<p>more</p>" * 12),
    "outside the slide: wide": _more(f"<p style='white-space:nowrap'>{'wide ' * 60}</p>"),
    "font of 21": _more("<p style='font-size:11px'>small print</p>"),
    "contrast of 3.": _more("<p style='color:#6b7280'>gray on blue</p>"),
    "clipped": _more("<p style='height:20px;overflow:hidden;font-size:40px'>cut</p>"),
    "over each other": _more("<p style='position:absolute;top:44px;left:64px'>on the title</p>"),
    "curves.best shows '9.99'": "s.querySelector('[data-run$=best]').textContent = '9.99'",
    "still hidden": "s.querySelector('li').classList.add('slidev-vclick-hidden')",
    "picture not loaded": _more("<img src='data:,' alt='none'>"),
    "picture without words": _more("<img src='favicon.svg'>"),
    "request failed: 404": "await fetch('missing.svg')",
    "request outside: http://127.0.0.2": "await fetch('http://127.0.0.2:9/').catch(() => 0)",
    "error: ": "setTimeout(() => { throw new Error('on purpose') })",
    "nothing on the slide": "s.replaceChildren()",
}
"""What a check says -> what is done to a good slide so that it must say it."""


def test_what_is_broken_is_found(browser: Chromium, site: str, run: dict[str, Any]) -> None:
    """Each once on an unbroken slide; what leaves nothing to look at by itself."""
    alone = ["nothing on the slide"]
    for together in ([said for said in BREAKS if said not in alone], alone):
        show(browser, site, 7)
        assert faults(browser, site, 7, run) == []
        for said in together:
            browser.ask(
                "(async () => { const s = document.querySelector('.slidev-page-7 .slidev-layout'); "
                f"{BREAKS[said]}; await new Promise(r => setTimeout(r, 50)) }})()"
            )
        found = faults(browser, site, 7, run)
        assert [s for s in together if not any(f.startswith(s) for f in found)] == []


def test_values_are_told_apart_from_missing_ones(run: dict[str, Any]) -> None:
    assert value(run, "curves.first") == run["curves"]["first"]["text"]
    assert value(run, "run.id") == run["run"]["id"]
    assert value(run, "curves") is None
    assert value(run, "curves.nothing") is None


def test_outside_is_all_but_the_site() -> None:
    base = "http://127.0.0.1:80"
    assert not is_outside(base + "/a.svg", base)
    assert not is_outside("data:image/png;base64,", base)
    assert is_outside("http://127.0.0.1:8080/a.svg", base)
    assert is_outside("https://fonts.example/a.woff2", base)


def test_nothing_in_the_build_names_a_server_to_load_from(built: Path) -> None:
    for page in built.glob("*.html"):
        assert "//fonts." not in page.read_text("utf-8")
        assert "cdn" not in page.read_text("utf-8")
