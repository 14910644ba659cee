"""`shakegpt claims`: check the talk's claims against a run."""

from __future__ import annotations

from shakegpt.cli.arguments import parse
from shakegpt.config import ClaimsConfig

Arguments = ClaimsConfig
ABOUT = "Check the talk's claims against a run, a row each."


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt claims", words, ABOUT)
    from shakegpt.claims.report import run

    if not arguments.deck:
        return run(arguments)
    from shakegpt_figures.deck_check import Deck

    return run(arguments, Deck.here())
