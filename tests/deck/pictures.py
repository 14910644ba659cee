"""Pictures of all slides, to look at: `python -m tests.deck.pictures OUT [RUN ...]`.

By default of five runs: the one that ships, and made-up ones on an own text, from scratch, of GPT-2
Large's shape, and diverged. A folder of slides and a contact sheet for each. Needs Node, the deck's
packages and Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from shakegpt.config import FiguresConfig
from shakegpt.runlog.default_run import recorded
from shakegpt_figures import data, make
from shakegpt_figures.source import Source
from tests.deck import made
from tests.deck.browse import show, turn_to
from tests.deck.build import MODULES
from tests.deck.chromium import Chromium
from tests.deck.conftest import copy_deck, presenting

ACROSS, WIDTH, HEIGHT = 3, 640, 360
"""Pictures beside each other on a contact sheet, and their size, px."""


def five(where: Path) -> list[Path]:
    """The run that ships, and four made-up ones."""
    kinds = (made.own, made.scratch, made.large, made.diverged)
    return [recorded(), *(kind(where / kind.__name__).run for kind in kinds)]


def take(runs: list[Path], out: Path, where: Path) -> None:
    """Show each run's slides in one deck in `where` and write pictures of them to `out`."""
    deck = copy_deck(MODULES, where, made.pocket(where / "first"))
    with presenting(deck) as base, Chromium() as browser:
        for run in runs:
            config, source = FiguresConfig(), Source(run)
            numbers = deck / "data" / "run.json"
            make.put(make.files(config, [source], deck / "public", numbers))
            show(browser, base, 1)
            digest = data.sha256(source.log)[:8]
            browser.wait(f"document.querySelector('.source')?.textContent.includes('{digest}')")
            show(browser, base, 2)
            slides = browser.ask(
                "+document.querySelector('.corner .number').ariaLabel.match(/\\d+$/)"
            )
            folder = out / run.name
            folder.mkdir(parents=True, exist_ok=True)
            sheet = Image.new("RGB", (ACROSS * WIDTH, -(-slides // ACROSS) * HEIGHT))
            for slide in range(1, slides + 1):
                turn_to(browser, slide)
                picture = folder / f"{slide:02d}.png"
                browser.picture(picture)
                with Image.open(picture) as whole:
                    place = divmod(slide - 1, ACROSS)
                    small = whole.resize((WIDTH, HEIGHT))
                    sheet.paste(small, (place[1] * WIDTH, place[0] * HEIGHT))
            sheet.save(out / f"{run.name}.png")
            print(out / f"{run.name}.png", *browser.seen.errors, sep="\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        chosen = [Path(name) for name in sys.argv[2:]] or five(place / "runs")
        take(chosen, Path(sys.argv[1]), place)
