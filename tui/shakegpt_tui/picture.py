"""`shakegpt-tui picture`: the run screen as SVG, drawn by the app itself without a terminal."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run
from shakegpt_tui import terminal

FLAGS = {"--size": "120x40", "--at": "", "--press": "", "--theme": "", "--out": "run-screen.svg"}


def main(arguments: list[str]) -> int:
    """Draw what the flags ask for into a file; same run, same flags, same picture."""
    from shakegpt_tui.main import _options

    options = _options(arguments, FLAGS, "picture")
    run, out = Path(options["RUN"]), Path(options["--out"])
    if not is_run(run):
        raise ShakegptError(f"{run} is no run directory")
    terminal.tune()
    width, height = _size(options["--size"])
    until = _iteration(options["--at"])
    _require_theme(options["--theme"])
    keys = [key for key in options["--press"].split(",") if key]
    svg = asyncio.run(draw(run, width, height, until, keys, options["--theme"]))
    try:
        out.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise ShakegptError(f"cannot write {out}: {error.strerror}", exit_code=1) from None
    print(out)
    return 0


def _size(text: str) -> tuple[int, int]:
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and 20 <= int(columns) <= 400):
        raise ShakegptError(f"--size {text} makes no sense: give columns x rows, as 120x40")
    return int(columns), max(5, min(200, int(rows)))


def _require_theme(name: str) -> None:
    from shakegpt_tui.themes import CYCLE, is_theme

    if name and not is_theme(name):
        raise ShakegptError(f"--theme {name} makes no sense: give one of {', '.join(CYCLE)}")


def _iteration(text: str) -> int | None:
    if text and not text.isdecimal():
        raise ShakegptError(f"--at {text} makes no sense: give an iteration")
    return int(text) if text else None


async def draw(
    run: Path, width: int, height: int, until: int | None, keys: list[str], theme: str = ""
) -> str:
    """The screen after `keys`, at the last moment of iteration `until`, with default settings."""
    from shakegpt_tui.app import ShakegptApp
    from shakegpt_tui.feed import Still
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
