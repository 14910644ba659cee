"""slides.md as it is written: no number typed by hand, names that resolve, notes to speak from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.deck.browse import SLIDES
from tests.deck.conftest import FIGURES
from tests.deck.conftest import SLIDES as DECK

ALLOWED = re.compile(r"GPT-2|^\d\. ")
"""Digits that are a name or a place in a list, and no measurement."""


@pytest.fixture(scope="module")
def deck() -> str:
    return (DECK / "slides.md").read_text("utf-8")


def typed_numbers(markdown: str) -> list[str]:
    """Lines with a digit that no log gave: outside code, attributes, addresses and matter."""
    text = re.sub(r"(?ms)^```.*?^```$|^<<<.*?$", "", markdown)
    text = re.sub(r"(?m)^(---\n)(?:[a-zA-Z]+:.*\n(?:  .*\n)*)+---$", "", text)
    text = re.sub(r"\]\([^)]*\)|(?<=>)[^<]*</a>", "]", text)
    text = re.sub(r"(?m)^\[\d+ min\] ", "", text)
    text = re.sub(r"<(?!!--)[^<>]*>", "", text)
    return [line for line in text.splitlines() if re.search(r"\d", ALLOWED.sub("", line))]


def slides(markdown: str) -> list[str]:
    """The slides' texts, without their matter."""
    matter = r"(?m)^---\n(?:(?:[a-zA-Z]+:.*\n(?:  .*\n)*)+---\n)?"
    return [part for part in re.split(matter, markdown) if part.strip()]


def test_no_number_is_typed_by_hand(deck: str) -> None:
    assert typed_numbers(deck) == []


@pytest.mark.parametrize(
    "typed",
    [
        "- it fell by 22% in no time",
        "# 20 updates",
        '<p class="hero">31 minutes</p>',
        "- **774M** parameters",
        "<!-- say: loss 3.66 -->",
        "[a link](https://example.org/1) of 2020",
        "GPT-3",
    ],
)
def test_a_typed_number_would_be_found(deck: str, typed: str) -> None:
    assert typed_numbers(f"{deck}\n---\n\n{typed}\n") == [re.sub(r"<[^!][^>]*>|\(.*\)", "", typed)]


@pytest.mark.parametrize(
    "fine",
    [
        '<Run k="curves.best" />',
        "```bash\nmake run # 20\n```",
        "<<< ../a.py#loop py {all|1|2}",
        "[a link](https://example.org/1)",
        '<h1 class="text-2xl">GPT-2</h1>',
    ],
)
def test_what_is_no_number_passes(deck: str, fine: str) -> None:
    assert typed_numbers(f"{deck}\n---\n\n{fine}\n") == []


def test_every_slide_has_notes_with_minutes_and_a_mark_per_click(deck: str) -> None:
    every = slides(deck)
    assert len(every) == SLIDES
    minutes = 0
    for slide in every:
        notes = re.findall(r"(?s)<!--(.*?)-->\s*\Z", slide)
        assert notes, slide
        assert len(notes[0].split()) >= 10 or "Questions?" in slide
        minutes += sum(map(int, re.findall(r"\[(\d+) min\]", notes[0])))
        points = sum(
            len(re.findall(r"(?m)^(?:- |\d\. )", part))
            for part in re.findall(r"(?s)<v-clicks>(.*?)</v-clicks>", slide)
        )
        if "<<<" not in slide:  # code is stepped through line by line
            assert notes[0].count("[click]") == points + len(re.findall("v-click ", slide)), slide
    planned = re.search(r"(?m)^duration: (\d+)min$", deck)
    assert planned is not None and minutes <= int(planned[1])


def test_the_screen_stays_awake(deck: str) -> None:
    assert "\nwakeLock: true\n" in deck


def test_no_text_is_named_that_a_run_may_not_have(deck: str) -> None:
    assert "Shakespeare" not in deck and "updates" not in deck


def test_every_figure_has_a_slide_with_words_and_a_title(deck: str) -> None:
    for name in FIGURES:
        matter = re.search(rf"(?ms)^---\n((?:(?!---).)*?image: /{name}\.svg.*?)^---$", deck)
        assert matter is not None
        assert f"alt: alt.{name}\n" in matter[1]
        assert "title: " in matter[1]
        assert "backgroundSize: contain" in matter[1]


def test_steps_of_the_code_stop_at_every_line_that_has_a_comment(deck: str) -> None:
    shown = re.findall(r"(?m)^<<< \.\./shakegpt/(\w+\.py)#(\w+) py \{([^}]*)\}$", deck)
    assert [(file, region) for file, region, _ in shown] == [
        ("finetune.py", "loop"),
        ("generate.py", "generate"),
    ]
    for file, region, steps in shown:
        source = (DECK.parent / "shakegpt" / file).read_text("utf-8")
        found = re.search(rf"(?ms)^ *# region {region}\n(.*?)^ *# endregion {region}$", source)
        assert found is not None
        lines = found[1].splitlines()
        stops = [_lines(step) for step in steps.split("|") if step != "all"]
        assert max(max(stop) for stop in stops) <= len(lines)
        told = [n for n, line in enumerate(lines, 1) if "  # " in line]
        assert told
        assert all(sum(n in stop for stop in stops) == 1 for n in told)


def _lines(step: str) -> range:
    first, _, last = step.partition("-")
    return range(int(first), int(last or first) + 1)


def test_the_lock_file_names_no_server() -> None:
    lock = (DECK / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    packages = json.loads(lock)["packages"]
    assert all("integrity" in p for name, p in packages.items() if name and not p.get("link"))


def test_versions_are_pinned() -> None:
    told = json.loads((DECK / "package.json").read_text("utf-8"))
    for version in {**told["dependencies"], **told["overrides"]}.values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_nothing_in_the_deck_is_taken_from_a_server() -> None:
    files = [p for p in DECK.rglob("*") if p.suffix in (".vue", ".ts", ".css", ".mjs")]
    for path in (p for p in files if "node_modules" not in p.parts and "dist" not in p.parts):
        assert not re.search(r"https?://(?!www\.w3\.org|127\.0\.0\.1)", path.read_text("utf-8")), (
            path
        )


def test_markup_from_a_run_is_never_interpreted() -> None:
    for path in Path(DECK).glob("*/*.vue"):
        assert "v-html" not in path.read_text("utf-8")
        assert "innerHTML" not in path.read_text("utf-8")
