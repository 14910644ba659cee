"""What a room can read: nothing small, pale, outside or upon another, whatever the run was."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt_figures import architecture, comparison, generation, save, style, training
from tests.figures import logs
from tests.figures.looks import BLIND, apart, blended, complaints, contrast, texts


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


@pytest.mark.parametrize("goal", [123456.0, 9150.0, 1e8])
def test_an_explosion_stays_within_the_margins(goal: float) -> None:
    found = texts(training.draw([run(start=3.6, goal=goal)]))
    assert [t.get_text() for t, box in found if box.x0 < style.MARGIN - 1] == []


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
        for colours in ({}, style.LIGHT):
            shown = colours.get(colour, colour)
            for ground in (style.BACKGROUND, style.PANEL):
                assert contrast(shown, colours.get(ground, ground)) >= 4.5, (colour, ground)


@pytest.mark.parametrize("blindness", BLIND)
def test_train_and_val_loss_are_told_apart_by_every_eye(blindness: str) -> None:
    assert apart(style.CYAN, style.YELLOW, blindness) > 60
    assert apart("#ff0000", "#8a6d00", "protanopia") < 25  # red and brown: the measure does bite


def test_dots_are_seen_and_runs_differ_by_more_than_colour() -> None:
    dots = blended(style.CYAN, training.FAINT, style.BACKGROUND)
    assert contrast(dots, style.BACKGROUND) >= 3  # of what is no text, by WCAG
    assert len(set(comparison.DASHES)) == len(set(comparison.MARKERS)) == comparison.MOST


def test_the_best_of_several_runs_lies_on_top() -> None:
    figure = training.draw([run(goal=3.70, seed=1), run(goal=3.71), run(goal=3.72, seed=2)])
    drawn = [g for line in figure.axes[1].get_lines() if "val-line" in (g := line.get_gid() or "")]
    assert drawn[-1] == "val-line-0"


def test_losses_on_the_axis_have_as_many_decimals() -> None:
    words = [text.get_text() for text, _ in texts(training.draw([run(start=4.4, goal=3.6)]))]
    ticks = [word for word in words if re.fullmatch(r"[34]\.\d+", word)]
    assert "4.0" in ticks


def test_gaps_are_explained() -> None:
    vals: dict[int, float | None] = {0: 4.2, 1: None, 3: 4.0}
    losses: list[list[float | None]] = [[4.1], [None], [4.0], [None]]
    figure = training.draw([logs.history([logs.header(), *logs.curve(losses, vals)])])
    assert "gap: the loss was not finite" in [text.get_text() for text, _ in texts(figure)]
    assert complaints(figure) == []
    assert "gap" not in " ".join(text.get_text() for text, _ in texts(training.draw([run()])))


def test_complaints_are_heard() -> None:
    figure, page = style.slide()
    style.write(page, 100, 100, "one", 20)
    style.write(page, 110, 100, "two", colour="#444444")
    style.write(page, 1900, 500, "outside")
    found = "\n".join(complaints(figure))
    assert all(word in found for word in ("20", "overlap", "#444444", "leaves the slide"))


def test_a_live_runs_axis_stays_while_its_curve_moves() -> None:
    records = [r for r in logs.talk_like() if not isinstance(r, ev.End)]
    limits = set()
    for done in (5, 10, 15, 19):
        seen = [r for r in records if getattr(r, "iteration", 0) <= done]
        axes = training.draw([logs.history(seen)]).axes[1]
        limits.add((axes.get_xlim(), axes.get_ylim()))
    assert len(limits) == 1


@pytest.mark.parametrize("name", ["training", "architecture", "generation", "samples"])
def test_on_paper_nothing_of_the_slides_is_left(name: str) -> None:
    both = [*logs.sample(number=8, iteration=0), *logs.sample(number=9)]
    history = logs.history([*logs.talk_like()[:-1], *both, logs.end(20)])
    figure = import_module(f"shakegpt_figures.{name}").draw([history])
    svg = save.render(figure, "svg", "", "", theme="light", transparent=True).decode()
    dark = set(style.LIGHT) & set(re.findall("#[0-9a-f]{6}", svg))
    assert not dark and style.LIGHT[style.INK] in svg
