"""What a room can read: nothing small, pale, outside or upon another, whatever the run was."""

from __future__ import annotations

from typing import Any

import pytest

from shakegpt.history import History
from shakegpt_figures import architecture, generation, style, training
from tests.figures import logs
from tests.figures.looks import complaints, contrast


def run(**how: Any) -> History:
    return logs.history(logs.talk_like(**how))


RUNS: dict[str, dict[str, Any]] = {
    "pocket": {},
    "large": {"name": "gpt2-large"},
    "xl": {"name": "gpt2-xl"},
    "diverged": {"start": 4.2, "goal": 9.5, "spread": 0.4},
    "exploded": {"start": 4.2, "goal": 123456.0},
    "one": {"iterations": 1},
    "flat": {"goal": 4.2201, "spread": 0.0},
    "long": {"iterations": 2000, "micro_steps": 1, "eval_interval": 250, "goal": 1.9},
}


@pytest.mark.parametrize("how", RUNS.values(), ids=RUNS.keys())
def test_curves(how: dict[str, Any]) -> None:
    assert complaints(training.draw([run(**how)])) == []


@pytest.mark.parametrize("name", sorted(logs.SHAPES))
def test_models(name: str) -> None:
    assert complaints(architecture.draw([run(name=name)])) == []
    assert complaints(generation.draw([run(name=name)])) == []


def test_several_runs() -> None:
    goals = (3.71, 3.72, 3.73, 3.74, 4.1, 4.9)
    runs = [run(goal=goal, learning_rate=10.0**-k) for k, goal in enumerate(goals, 1)]
    assert complaints(training.draw(runs)) == []


def test_the_palette_has_contrast() -> None:
    text = (
        style.INK,
        style.LABEL,
        style.MUTED,
        style.CYAN,
        style.YELLOW,
        style.GREEN,
        style.ORANGE,
    )
    for colour in text:
        assert contrast(colour, style.BACKGROUND) >= 4.5
        assert contrast(colour, style.PANEL) >= 4.5


def test_complaints_are_heard() -> None:
    figure, page = style.slide()
    style.write(page, 100, 100, "one", 20)
    style.write(page, 110, 100, "two", colour="#444444")
    style.write(page, 1900, 500, "outside")
    found = "\n".join(complaints(figure))
    assert all(word in found for word in ("20", "overlap", "#444444", "leaves the slide"))
