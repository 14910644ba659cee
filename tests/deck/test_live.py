"""The deck while it is presented: another run takes the stage without a reload; text stays text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt_figures import data
from shakegpt_figures.whole import replace
from tests.deck import made
from tests.deck.browse import SLIDES, faults, look, show, turn_to, visit
from tests.deck.build import ROOT
from tests.deck.chromium import Chromium, Seen
from tests.deck.conftest import FIGURES, copy_deck, presenting, stand_in
from tests.figures import logs

MAIN = "import sys; from shakegpt.cli.main import main; sys.exit(main())"


TOTAL = "document.querySelector('.corner .number')?.ariaLabel.endsWith(' %d')"
"""Whether the deck has so many slides; the first shows no number."""


class Stage(NamedTuple):
    """A deck that is being presented."""

    deck: Path
    base: str

    def tell(self, run: made.Made) -> dict[str, Any]:
        """Give it another run, as `shakegpt figures --watch` does; its run.json."""
        path = self.deck / "data" / "run.json"
        run.write_numbers(path)
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return told


@pytest.fixture(scope="module")
def stage(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    where = tmp_path_factory.mktemp("stage")
    deck = copy_deck(modules, where, made.pocket(where / "run"))
    with presenting(deck) as base:
        yield Stage(deck, base)


def test_all_slides_come_at_a_first_start_without_a_reload(browser: Chromium, stage: Stage) -> None:
    """Nothing is left to be bundled once the first page is shown: it would reload the stage."""
    show(browser, stage.base, 1)
    browser.ask("window.still = true")
    for slide in range(1, SLIDES + 1):
        turn_to(browser, slide)
    assert browser.ask("window.still") is True
    assert browser.seen.errors == [] and browser.seen.failures == []


def test_another_run_takes_the_stage_without_a_reload(
    browser: Chromium, stage: Stage, tmp_path: Path
) -> None:
    show(browser, stage.base, 7)
    assert "4.22" in json.dumps(look(browser, 7)["runs"])
    browser.ask("window.still = true")
    stage.tell(made.large(tmp_path / "run"))
    browser.wait("document.querySelector('[data-run=\"curves.first\"]')?.textContent === '3.66'")
    assert browser.ask("window.still") is True
    assert browser.seen.errors == []


def test_a_figure_that_was_replaced_is_shown_and_marked_when_of_another_run(
    browser: Chromium, stage: Stage, tmp_path: Path
) -> None:
    show(browser, stage.base, 6)
    browser.ask("window.still = true")
    figure = stage.deck / "public" / "training.svg"
    part = figure.with_suffix(".part")
    pocket = made.pocket(tmp_path / "run")
    part.write_text(stand_in(pocket.log))
    part.replace(figure)
    browser.wait(
        "document.querySelector('.slidev-page-6 img')?.complete && "
        "document.querySelector('.slidev-page-6 img').src.includes('training.svg?v=')"
    )
    assert browser.ask("window.still") is True
    assert any("training.svg?v=" in url for url in browser.seen.requests)
    stage.tell(pocket)
    page = "document.querySelector('.slidev-page-6 %s')"
    browser.wait(f"{page % 'img'}?.alt.includes('from 4.22') && !{page % '.other'}")
    stage.tell(made.large(tmp_path / "other"))
    browser.wait(f"!!{page % '.other'}")
    for name in FIGURES:  # for the tests after this one
        figure.with_stem(name).write_text(stand_in(tmp_path / "other" / LOG_NAME))


def test_an_address_that_slidev_prints_leads_to_its_page(stage: Stage) -> None:
    with urllib.request.urlopen(f"{stage.base}/export/", timeout=20) as answer:
        assert answer.url == f"{stage.base}/#/export"


def test_a_deck_that_waits_for_another_run_says_so(browser: Chromium, stage: Stage) -> None:
    path = stage.deck / "data" / "run.json"
    told = data.read(path)
    waiting = msgspec.structs.replace(told.run, stale="waiting for runs/next to begin")
    show(browser, stage.base, 7)
    path.write_bytes(data.encoded(msgspec.structs.replace(told, run=waiting)))
    browser.wait("document.querySelector('.stale')?.textContent.includes('runs/next')")
    path.write_bytes(data.encoded(told))
    browser.wait("!document.querySelector('.stale')")


def test_an_unfinished_run_is_called_so(browser: Chromium, stage: Stage, tmp_path: Path) -> None:
    show(browser, stage.base, 7)
    assert not browser.ask("document.querySelector('.status')")
    stage.tell(made.running(tmp_path / "run"))
    browser.wait(
        "(() => { const status = document.querySelector('.status');"
        "const box = status?.getBoundingClientRect();"
        "return box && document.elementFromPoint(box.x + 5, box.y + 5) === status })()"
    )
    assert ["run.status", "unfinished at iteration 10 of 20"] in look(browser, 7)["runs"]


OF_A_RUN = (1, 2, 5, 7, 10, 12, 13, 14, 15)
"""Slides with words or numbers of the run, in a deck with the optional one."""


@pytest.mark.parametrize("kind", ["large", "hostile", "brimful", "scratch", "diverged", "begun"])
def test_every_slide_holds_another_run(
    browser: Chromium, stage: Stage, tmp_path: Path, kind: str
) -> None:
    visit(browser, stage.base, 1)
    browser.ask("window.still = true")
    told = stage.tell(getattr(made, kind)(tmp_path / "run"))
    found = {}
    visit(browser, stage.base, 1)
    digest = told["run"]["log_short"]
    browser.wait(f"document.querySelector('.source')?.textContent.includes('{digest}')")
    visit(browser, stage.base, 2)
    inside = bool(told["alt"]["inside"])
    browser.wait(TOTAL % (SLIDES if inside else SLIDES - 1))
    if not inside:
        browser.seen = Seen()  # Slidev warns while it takes a slide away
    for slide in (n if inside or n < 11 else n - 1 for n in OF_A_RUN):
        turn_to(browser, slide)
        if wrong := faults(browser, stage.base, slide, told):
            found[slide] = wrong
    assert found == {} and browser.ask("window.still") is True


def test_slides_come_and_go_with_the_run_without_a_reload(
    browser: Chromium, stage: Stage, tmp_path: Path
) -> None:
    """The one about the inside of the model is taken away and comes back, three times."""
    whole, without = made.pocket(tmp_path / "whole"), made.begun(tmp_path / "without")
    told = stage.tell(whole)
    show(browser, stage.base, 1)
    browser.ask("window.still = true")
    for _ in range(3):
        turn_to(browser, SLIDES - 1)
        browser.wait(TOTAL % SLIDES)
        stage.tell(without)
        browser.wait(TOTAL % (SLIDES - 1))
        told = stage.tell(whole)
        browser.wait(TOTAL % SLIDES)
    for slide in range(SLIDES - 5, SLIDES + 1):
        turn_to(browser, slide)
        browser.seen = Seen()  # Slidev warns while it takes a slide away
        assert faults(browser, stage.base, slide, told) == []
    assert browser.ask("window.still") is True


def test_a_run_that_trains_is_followed_on_stage(
    browser: Chromium, stage: Stage, tmp_path: Path
) -> None:
    """The whole way: a log grows, `shakegpt figures --watch` redraws, the slides change."""
    stage.tell(made.pocket(tmp_path / "before"))
    show(browser, stage.base, 2)
    browser.wait(TOTAL % SLIDES)
    run = logs.write([logs.inspection(iteration=0)], made.begun(tmp_path / "run").run)
    with watching(run, stage.deck.parent):
        show(browser, stage.base, 7)
        first = "document.querySelector('[data-run=\"curves.%s\"]')?.textContent"
        browser.wait(f"{first % 'first'} === '4.20' && {first % 'first_perplexity'} === '67'")
        browser.wait(TOTAL % SLIDES)
        turn_to(browser, 6)
        browser.ask("window.still = true")
        with RunLog(run / LOG_NAME) as log:
            for record in logs.curve([[4.1, 3.9]] * 5, {5: 3.5}):
                log.write(record)
            log.write(logs.end(5))
        browser.wait("document.querySelector('.slidev-page-6 img')?.alt.includes('to 3.50 in 5')")
        browser.wait("document.querySelector('.slidev-page-6 img')?.src.includes('?v=')")
        turn_to(browser, 7)
        assert browser.ask(first % "best") == "3.50"
        assert browser.ask("window.still") is True
        assert browser.seen.errors == []


@contextmanager
def watching(run: Path, where: Path) -> Iterator[None]:
    """`shakegpt figures RUN --watch` at the top of a checkout, until it ends by itself."""
    rooms = os.pathsep.join(str(ROOT / room) for room in ("", "tui", "figures"))
    told = where / "watch.txt"
    with told.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "figures", str(run), "--watch"],
            cwd=where,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": rooms},
        )
    try:
        yield
        assert process.wait(60) == 0, told.read_text()
    finally:
        process.kill()
        process.wait()


def test_the_slide_about_the_inside_is_there_for_runs_that_recorded_it(
    browser: Chromium, stage: Stage, tmp_path: Path
) -> None:
    for run, slides in ((made.pocket, SLIDES), (made.worse, SLIDES - 1), (made.pocket, SLIDES)):
        stage.tell(run(tmp_path / f"{run.__name__}-{slides}"))
        show(browser, stage.base, 7)
        browser.wait(TOTAL % slides)
        turn_to(browser, 11)
        assert bool(look(browser, 11)["images"]) == (slides == SLIDES)


def test_a_sample_is_text_whatever_it_says(browser: Chromium, stage: Stage, tmp_path: Path) -> None:
    told = stage.tell(made.hostile(tmp_path / "run"))
    show(browser, stage.base, 12)
    seen = look(browser, 12)
    lines = [line["text"] for line in told["sample"]["lines"]]
    assert "<script>document.title = 'taken'</script>{{ 7 * 6 }}" in " ".join(lines)
    assert seen["sample"] == lines
    assert seen["sampleElements"] == len(lines)
    assert seen["copied"] == []
    assert ["sample.prompt", "{{ 6 * 7 }}<i>"] in seen["runs"]
    assert "taken" not in seen["title"]


def test_a_key_that_is_not_there_is_an_error(
    browser: Chromium, stage: Stage, tmp_path: Path
) -> None:
    told = stage.tell(made.pocket(tmp_path / "run"))
    show(browser, stage.base, 7)
    del told["curves"]["best"]
    path = stage.deck / "data" / "run.json"
    try:
        path.write_text('{"half')  # as no tool of ours leaves it; the server lives on
        time.sleep(0.3)
        browser.ask("fetch('/')")
        until = time.monotonic() + 20
        while time.monotonic() < until and "no curves" not in " ".join(browser.seen.errors):
            replace(path, json.dumps(told).encode())  # again, until the server has noticed it
            browser.ask("'what the page does is noted while it is asked'")
            time.sleep(0.5)
        assert "has no curves.best" in " ".join(browser.seen.errors)
    finally:
        stage.tell(made.pocket(tmp_path / "again"))
