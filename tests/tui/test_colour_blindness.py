"""Each theme as people see it who cannot tell some colours apart.

The matrices are those of Machado, Oliveira and Fernandes, "A Physiologically-based Model for
Simulation of Color Vision Deficiency" (2009), at severity 1, for linear RGB.
"""

from __future__ import annotations

import itertools
import math

import pytest
from textual.theme import Theme

from shakegpt_tui.themes import OWN
from shakegpt_tui.widgets.frame_view import FrameView
from tests.figures.looks import BLIND

Colour = tuple[float, float, float]
SEEN = {"usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)), **BLIND}
XTERM = {
    "ansi_yellow": "#cdcd00",
    "ansi_cyan": "#00cdcd",
    "ansi_magenta": "#cd00cd",
    "ansi_blue": "#0000ee",
    "ansi_default": "",
}
"""xterm's own palette, for themes that take the terminal's colours."""
APART = 20.0
"""CIE 1976 difference from which two lines a cell wide are told apart without looking twice; 2.3
is just noticeable for large areas side by side."""


def linear(colour: str) -> Colour:
    channels = [int(XTERM.get(colour, colour)[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return r, g, b


def lab(colour: Colour, seen: str) -> Colour:
    r, g, b = (
        min(max(sum(m * c for m, c in zip(row, colour, strict=True)), 0.0), 1.0)
        for row in SEEN[seen]
    )
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    fx, fy, fz = (
        t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z)
    )
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, seen: str) -> float:
    return math.dist(lab(linear(one), seen), lab(linear(other), seen))


def contrast(colour: str, ground: str) -> float:
    def luminance(c: Colour) -> float:
        return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]

    low, high = sorted((luminance(linear(colour)), luminance(linear(ground))))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("theme", OWN, ids=lambda theme: theme.name)
def test_train_and_val_are_told_apart_in_every_theme(theme: Theme, seen: str) -> None:
    assert theme.secondary is not None
    assert distance(theme.primary, theme.secondary, seen) >= APART


@pytest.mark.parametrize("theme", [t for t in OWN if "ansi" not in t.name], ids=lambda t: t.name)
def test_curves_and_words_of_state_stand_out_from_the_ground(theme: Theme) -> None:
    assert theme.background is not None
    for colour in (theme.primary, theme.secondary, theme.warning, theme.error, theme.success):
        assert colour is not None
        assert contrast(colour, theme.background) >= 3, colour


@pytest.mark.parametrize("seen", SEEN)
def test_runs_laid_over_each_other_differ(seen: str) -> None:
    css = FrameView.DEFAULT_CSS
    runs = [css.split(f"frame--run{k} {{ color: ")[1][:7] for k in range(1, 6)]
    for one, other in itertools.combinations(runs, 2):
        assert distance(one, other, seen) >= APART / 2, (one, other)
