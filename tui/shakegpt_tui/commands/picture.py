"""`shakegpt-tui picture`: the run screen as SVG, drawn by the app itself without a terminal."""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, cast

from shakegpt.cli.arguments import parse
from shakegpt.config.bounds import Text, integer, setting
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run
from shakegpt_tui.terminal import capabilities

ABOUT = "Draw the run screen as SVG: same run, same flags, same picture."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    run: str = setting(
        cast("Any", MISSING), Text("RUN", path=True), "Run directory.", positional=True
    )
    size: str = setting("120x40", Text("COLUMNSxROWS"), "Size of the screen.")
    at: int | None = setting(
        None, integer(0, unit="iteration"), "Show the run as it was then.", none="the end"
    )
    press: str = setting("", Text("KEYS", empty=True), "Keys to press first, as b,c.")
    theme: str = setting("", Text("NAME", empty=True), "Theme, else the default one.")
    out: str = setting("run-screen.svg", Text("FILE", path=True), "File to write.")


def main(words: list[str]) -> int:
    """Draw what the flags ask for into a file; returns the exit code."""
    arguments = parse(Arguments, "shakegpt-tui picture", words, ABOUT)
    run, out = Path(arguments.run), Path(arguments.out)
    if not is_run(run):
        raise ShakegptError(f"{run} is no run directory")
    size = re.fullmatch(r"(\d{1,4})x(\d{1,4})", arguments.size, re.ASCII)
    if size is None or not 20 <= int(size[1]) <= 400:
        raise ShakegptError(
            f"--size must be columns x rows with 20 to 400 columns, as 120x40, got {arguments.size}"
        )
    width, height = int(size[1]), max(5, min(200, int(size[2])))
    capabilities.tune()
    from shakegpt_tui.themes import CYCLE, is_theme

    if arguments.theme and not is_theme(arguments.theme):
        raise ShakegptError(f"--theme must be one of {', '.join(CYCLE)}, got {arguments.theme}")
    keys = [key for key in arguments.press.split(",") if key]
    svg = asyncio.run(draw(run, width, height, arguments.at, keys, arguments.theme))
    try:
        out.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise ShakegptError(f"cannot write {out}: {error.strerror}", exit_code=1) from None
    print(out)
    return 0


async def draw(
    run: Path, width: int, height: int, until: int | None, keys: list[str], theme: str = ""
) -> str:
    """The screen after `keys`, at the last moment of iteration `until`, with default settings."""
    from shakegpt_tui.app import ShakegptApp
    from shakegpt_tui.run.feed import Still
    from shakegpt_tui.screens.run import RunScreen
    from shakegpt_tui.settings import Settings, save

    with tempfile.TemporaryDirectory() as fresh:
        config = Path(fresh) / "tui.json"
        save(Settings(theme=theme) if theme else Settings(), config)
        app = ShakegptApp(Still(run, until), config=config)
        async with app.run_test(size=(width, height)) as pilot:
            screen = app.screen
            while not (isinstance(screen, RunScreen) and screen.caught_up):
                await pilot.pause(0.02)
                screen = app.screen
            for key in keys:
                await pilot.press(key)
            await pilot.pause(0.5)  # curves are redrawn four times a second
            return app.picture()
