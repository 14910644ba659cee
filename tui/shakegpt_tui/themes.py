"""The looks: dark, light, ansi (the terminal's own colours) and clear (safe for colour blindness).

The losses keep their hues apart in every theme: train is $secondary, val is $primary. In `clear`
they are the blue and orange of Okabe and Ito's palette, and good and bad are never told apart by
red and green alone: every state has a word as well.
"""

from __future__ import annotations

from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme


def _bars(ground: str, rule: str) -> dict[str, str]:
    """Scrollbars that are there and say no more: a text is beside them."""
    return {
        "scrollbar": rule,
        "scrollbar-hover": rule,
        "scrollbar-background": ground,
        "scrollbar-background-hover": ground,
        "scrollbar-background-active": ground,
    }


def _heat(text: str, warning: str, error: str) -> dict[str, str]:
    """Grounds for what is less and less likely, and the text on them."""
    return {
        "warm": text,
        "hot": text,
        "warm-ground": f"{warning}38",
        "warmer-ground": f"{warning}7a",
        "hot-ground": f"{error}b3",
    }


DARK = Theme(
    name="shakegpt-dark",
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
    variables={
        "quiet": "#9a978f",
        "rule": "#474a55",
        **_bars("#14151a", "#474a55"),
        **_heat("#e8e4da", "#f2934b", "#f0616d"),
    },
)
LIGHT = Theme(
    name="shakegpt-light",
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
    variables={
        "quiet": "#6c6960",
        "rule": "#c9c0ab",
        **_bars("#fbf8f1", "#c9c0ab"),
        **_heat("#23221f", "#b04a00", "#b3202f"),
    },
)
CLEAR = Theme(
    name="shakegpt-clear",
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
    variables={
        "quiet": "#a0a4aa",
        "rule": "#4a515b",
        **_bars("#101216", "#4a515b"),
        **_heat("#f2f2f2", "#e69f00", "#d55e00"),
    },
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
    """Whether a remembered theme still exists."""
    return name in CYCLE or name in BUILTIN_THEMES
