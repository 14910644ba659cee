"""`shakegpt-tui serve`: the terminal UI in a browser, through textual-serve."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from shakegpt.cli.arguments import parse
from shakegpt.config.bounds import Switch, Text, integer, setting
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run
from shakegpt_tui.terminal.capabilities import READ_ONLY

ABOUT = "Show the terminal UI in a browser, by default read-only and on this machine alone."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    run: str | None = setting(
        None, Text("RUN", path=True), "Run directory.", positional=True, none="the list of runs"
    )
    host: str = setting(
        "127.0.0.1", Text("ADDRESS"), "Address to listen on; 0.0.0.0 lets other machines in."
    )
    port: int = setting(8000, integer(1, 65535), "Port to listen on.")
    control: bool = setting(
        False, Switch(), "Let the browser start, drive, delete and sample from runs."
    )


def main(words: list[str]) -> int:
    """Serve until Ctrl+C; returns the exit code."""
    arguments = parse(Arguments, "shakegpt-tui serve", words, ABOUT)
    if arguments.run is not None and not is_run(Path(arguments.run)):
        raise ShakegptError(f"{arguments.run} is no run directory")
    if find_spec("textual_serve") is None:
        raise ShakegptError("serve needs textual-serve: pip install 'shakegpt[serve]'")
    from shakegpt_tui.commands.web_server import WebServer

    command = [sys.executable, "-m", "shakegpt_tui.main"]
    if arguments.run is not None:
        command.append(str(Path(arguments.run).absolute()))
    os.environ[READ_ONLY] = "" if arguments.control else "1"
    server = WebServer(shlex.join(command), arguments.host, arguments.port, arguments.control)
    try:
        server.serve()
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        raise ShakegptError(f"cannot listen on {where}: {error.strerror}", exit_code=1) from None
    return 0
