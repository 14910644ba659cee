"""A deck without its figures or numbers: a sentence that says what to run, and no build."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deck import made
from tests.deck.conftest import FIGURES, SLIDES, need, stand_in

Break = Callable[[Path], object]


def check(deck: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", "check.mjs"], cwd=deck, capture_output=True, text=True, timeout=30
    )


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    """As much of a deck as the check looks at."""
    need("Node", bool(shutil.which("node")))
    deck = tmp_path / "slides"
    (deck / "public").mkdir(parents=True)
    for name in ("check.mjs", "optional.mjs", "talk.mjs", "slides.md"):
        shutil.copy(SLIDES / name, deck)
    run = made.pocket(tmp_path / "run")
    for name in FIGURES:
        (deck / "public" / f"{name}.svg").write_text(stand_in(run.log))
    run.write_numbers(deck / "data" / "run.json")
    return deck


def _edit(change: Callable[[dict[str, dict[str, object]]], object]) -> Break:
    def edit(deck: Path) -> None:
        path = deck / "data" / "run.json"
        told = json.loads(path.read_text("utf-8"))
        change(told)
        path.write_text(json.dumps(told))

    return edit


def _of_another_run(deck: Path) -> None:
    (deck / "public/training.svg").write_text(stand_in(made.large(deck / "other").log))


def test_a_whole_deck_passes(deck: Path) -> None:
    done = check(deck)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d: (d / "data/run.json").unlink(), "slides/data/run.json is missing"),
        (lambda d: (d / "data/run.json").write_text('{"schema": 2,'), "run.json is no JSON"),
        (lambda d: (d / "data/run.json").write_text("[]"), "has schema undefined"),
        (lambda d: (d / "data/run.json").write_text("null"), "has schema undefined"),
        (_edit(lambda run: run.update(schema={"next": 2})), "has schema"),
        (_edit(lambda run: run["curves"].pop("best")), "shows curves.best"),
        (_edit(lambda run: run["alt"].pop("training")), "slides.md shows alt.training"),
        (
            _edit(lambda run: run["dataset"].pop("short")),
            "which slides/data/run.json does not have",
        ),
        (_of_another_run, "slides/public/training.svg is not of run run-a"),
        (lambda d: (d / "public/training.svg").unlink(), "slides/public/training.svg is missing"),
        (lambda d: (d / "public/generation.svg").write_text(""), "generation.svg is missing"),
    ],
)
def test_what_is_missing_is_said(deck: Path, spoil: Break, said: str) -> None:
    spoil(deck)
    done = check(deck)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.startswith("The deck cannot be built: ")
    assert done.stderr.endswith("run `shakegpt figures` first.\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('name = "Ada"\nduration = "25min"\n', ""),
        ('nmae = "Ada"\n', "unknown key nmae"),
        ("name = Ada\n", "not valid TOML"),
        ("[name]\n", "name must be text"),
    ],
)
def test_the_speakers_file_is_checked(deck: Path, toml: str, said: str) -> None:
    need("the deck's packages", (SLIDES / "node_modules" / "smol-toml").is_dir())
    (deck / "node_modules").symlink_to(SLIDES / "node_modules")
    (deck / "talk.toml").write_text(toml)
    done = check(deck)
    assert done.returncode == (1 if said else 0) and said in done.stderr


def test_an_absent_tool_skips_with_a_word_but_never_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    need("Node", True)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="the deck was not tested: Node is absent"):
        need("Node", False)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Node is absent, and CI must test the deck"):
        need("Node", False)
