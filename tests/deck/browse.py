"""The deck in a browser: go to a slide, look at it, and say all that is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.deck.chromium import Chromium, Seen

SLIDES = 16
"""With the optional one about the inside of the model."""
SMALLEST = 24.0
"""Font size that the last row can read, px at 1920x1080."""
FAINTEST = 4.5
"""Contrast of text with what is behind it, as WCAG asks."""

LOOK = (Path(__file__).parent / "look.js").read_text("utf-8")


STANDS = """(() => {
    const slide = document.querySelector('.slidev-page-%d')
    return slide?.checkVisibility() && slide.querySelector('.slidev-layout')
        && document.fonts.status === 'loaded' && [...document.images].every(i => i.complete)
        && !document.getAnimations().some(a => a.playState === 'running')
        && !document.querySelector('[class*=-leave-active], [class*=-enter-active]')
})()"""


def show(page: Chromium, base: str, slide: int) -> None:
    """Load the deck at one slide with all its clicks done, and wait until it stands still."""
    index = "index.html" if base.startswith("file:") else ""
    page.open(f"{base}/{index}#/{slide}?clicks=99")
    try:
        page.wait(STANDS % slide, 45)
    except TimeoutError:  # a dev server that bundled its dependencies anew under the page
        page.open(f"{base}/{index}#/{slide}?clicks=99")
        page.wait(STANDS % slide)


def visit(page: Chromium, base: str, slide: int) -> None:
    """As `show`, but only turn to the slide when the deck is open already."""
    if not page.ask("location.href").startswith(base):
        return show(page, base, slide)
    page.seen = Seen()
    return turn_to(page, slide)


def turn_to(page: Chromium, slide: int) -> None:
    """Go to another slide of the deck that is open, as a presenter does."""
    page.ask(f"location.hash = '#/{slide}?clicks=99'")
    page.wait(STANDS % slide)


def look(page: Chromium, slide: int) -> dict[str, Any]:
    """What stands on the slide: see look.js."""
    seen: dict[str, Any] = page.ask(f"({LOOK})({slide})")
    return seen


def faults(page: Chromium, base: str, slide: int, run: dict[str, Any]) -> list[str]:
    """All that is wrong with the slide that is shown, a sentence each; [] when nothing is."""
    seen = look(page, slide)
    found = [f"font of {size:.1f} px: {text}" for size, _, text in seen["texts"] if size < SMALLEST]
    found += [f"contrast of {c:.1f}: {text}" for _, c, text in seen["texts"] if c < FAINTEST]
    found += [f"outside the slide: {text}" for text in seen["outside"]]
    found += [f"clipped: {text}" for text in seen["clipped"]]
    found += [f"over each other: {text}" for text in seen["overlaps"]]
    found += [f"still hidden: {text}" for text in seen["hidden"]]
    found += [f"picture not loaded: {source}" for source, width, _ in seen["images"] if not width]
    found += [f"picture without words: {source}" for source, _, alt in seen["images"] if not alt]
    found += [
        f"{key} shows {shown!r} and run.json says {value(run, key)!r}"
        for key, shown in seen["runs"]
        if shown != value(run, key)
    ]
    if not seen["texts"] and not seen["images"]:
        found.append("nothing on the slide")
    found += [f"error: {error}" for error in page.seen.errors]
    found += [f"request failed: {failure}" for failure in page.seen.failures]
    found += [f"request outside: {url}" for url in page.seen.requests if is_outside(url, base)]
    return found


def is_outside(url: str, base: str) -> bool:
    return not re.match(r"(data|blob|about):", url) and not url.startswith(base + "/")


def value(run: dict[str, Any], key: str) -> str | None:
    """The text that a slide shows for a key of run.json; None for a key that it does not have."""
    place: Any = run
    for name in key.split("."):
        if isinstance(place, list):
            place = place[int(name)] if name.isdigit() and int(name) < len(place) else None
        else:
            place = place.get(name) if isinstance(place, dict) else None
    text = place.get("text") if isinstance(place, dict) else place
    if not isinstance(text, str):
        return None
    if key.startswith("story."):
        return re.sub(r"\{([\w.]+)\}", lambda found: str(value(run, found[1])), text)
    return text
