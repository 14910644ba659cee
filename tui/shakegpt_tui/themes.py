"""The themes: dark, light, ansi (the terminal's own colours) and clear (safe for colour blindness).

The losses keep their hues apart in every theme: train is $secondary, val is $primary. In `clear`
they are the blue and orange of Okabe and Ito's palette, and good and bad never differ by red and
green alone: every state has a word as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textual.theme import BUILTIN_THEMES, Theme


def _theme(name: str, *, quiet: str, rule: str, warm: str, **colours: Any) -> Theme:
    """A theme with small print, lines, plain scrollbars, and grounds for unlikely tokens."""
    text, ground, error = (colours[role] for role in ("foreground", "background", "error"))
    bars = dict.fromkeys(("scrollbar", "scrollbar-hover"), rule)
    behind = ("scrollbar-background", "scrollbar-background-hover", "scrollbar-background-active")
    heat = {"warm": text, "hot": text, "hot-ground": f"{error}b3"}
    heat |= {"warm-ground": f"{warm}38", "warmer-ground": f"{warm}7a"}
    own = {"quiet": quiet, "rule": rule, **bars, **dict.fromkeys(behind, ground), **heat}
    return Theme(name=name, variables=own, **colours)


DARK = _theme(
    "shakegpt-dark",
    quiet="#9a978f",
    rule="#474a55",
    warm="#f2934b",
    primary="#f2b84b",
    secondary="#6aa9e9",
    accent="#c9a2f2",
    success="#7fc98b",
    warning="#f2934b",
    error="#f0616d",
    foreground="#e8e4da",
    background="#14151a",
    surface="#1b1d24",
    panel="#262933",
    dark=True,
)
LIGHT = _theme(
    "shakegpt-light",
    quiet="#6c6960",
    rule="#c9c0ab",
    warm="#b04a00",
    primary="#a35c00",
    secondary="#1f5fa8",
    accent="#7a3fb0",
    success="#2c7a3d",
    warning="#b04a00",
    error="#b3202f",
    foreground="#23221f",
    background="#fbf8f1",
    surface="#f3eee2",
    panel="#e6dfcf",
    dark=False,
)
CLEAR = _theme(
    "shakegpt-clear",
    quiet="#a0a4aa",
    rule="#4a515b",
    warm="#e69f00",
    primary="#e69f00",
    secondary="#56b4e9",
    accent="#cc79a7",
    success="#009e73",
    warning="#f0e442",
    error="#d55e00",
    foreground="#f2f2f2",
    background="#101216",
    surface="#181b20",
    panel="#252a31",
    dark=True,
)
# Textual's own, but for the losses: its blue and cyan would be hard to tell apart.
ANSI_DARK = replace(
    BUILTIN_THEMES["ansi-dark"],
    primary="ansi_yellow",
    secondary="ansi_cyan",
    accent="ansi_magenta",
    warning="ansi_bright_yellow",
)
# On white, a terminal's yellow and cyan can hardly be read: what warns is red there, as errors are.
ANSI_LIGHT = replace(
    BUILTIN_THEMES["ansi-light"],
    primary="ansi_magenta",
    secondary="ansi_blue",
    accent="ansi_green",
    warning="ansi_red",
    variables=BUILTIN_THEMES["ansi-light"].variables | {"warm": "ansi_magenta"},
)
DEFAULTS = {
    "quiet": "ansi_bright_black",
    "rule": "ansi_bright_black",
    "warm": "ansi_yellow",
    "hot": "ansi_red",
    **dict.fromkeys(("warm-ground", "warmer-ground", "hot-ground"), "transparent"),
}
"""$quiet (small print), $rule (lines) and the heat of unlikely tokens for themes without them."""
OWN = (DARK, LIGHT, ANSI_DARK, ANSI_LIGHT, CLEAR)
CYCLE = tuple(theme.name for theme in OWN)
"""What the theme key goes through; the command palette offers Textual's other themes as well."""

WITHOUT_COLOUR = "ansi-dark"
"""The theme under NO_COLOR: only with native colours can Textual leave colour out altogether."""


def is_theme(name: str) -> bool:
    """Whether there is a theme of this name."""
    return name in CYCLE or name in BUILTIN_THEMES
