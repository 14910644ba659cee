"""`shakegpt figures`: draw the figures of a run."""

from __future__ import annotations

from shakegpt.cli.arguments import parse
from shakegpt.config import FiguresConfig

Arguments = FiguresConfig
ABOUT = "Draw the figures of a run, and write the deck's data."


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt figures", words, ABOUT)
    if arguments.watch:
        from shakegpt_figures.watch import watch

        return watch(arguments)
    from shakegpt_figures.make import run

    return run(arguments)
