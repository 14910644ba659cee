"""`shakegpt deck`: lay out the talk's slides, with the figures and numbers of a run."""

from __future__ import annotations

from shakegpt.cli.arguments import parse
from shakegpt.config import DeckConfig

Arguments = DeckConfig
ABOUT = "Lay out the talk's slides in a directory, with the figures and numbers of a run."


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt deck", words, ABOUT)
    from shakegpt_figures.layout import run

    return run(arguments)
