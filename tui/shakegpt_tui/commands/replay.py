"""`shakegpt-tui replay`: play a run as if it were live."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, cast

from shakegpt.cli.arguments import parse
from shakegpt.config.bounds import Switch, Text, real, setting
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run
from shakegpt_tui.terminal import capabilities

ABOUT = "Play a run as if it were live."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    run: str = setting(
        cast("Any", MISSING), Text("RUN", path=True), "Run directory.", positional=True
    )
    speed: float = setting(
        1.0, real(0, 10_000, "factor", above=True), "How many times as fast as it ran."
    )
    loop: bool = setting(False, Switch(), "Restart at the end.")


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    from shakegpt_tui.main import print_status, show

    arguments = parse(Arguments, "shakegpt-tui replay", words, ABOUT)
    run = Path(arguments.run)
    if not is_run(run):
        raise ShakegptError(f"{run} is no run directory")
    if (why := capabilities.missing()) is not None:
        return print_status(run, why)
    from shakegpt_tui.run.replay_feed import ReplayFeed

    return show(ReplayFeed(run, arguments.speed, loop=arguments.loop))
