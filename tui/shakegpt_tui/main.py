"""The command `shakegpt-tui`. Textual is imported for screens only."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from shakegpt import __version__
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run
from shakegpt.sanitize import one_line
from shakegpt_tui.terminal import capabilities

if TYPE_CHECKING:
    from shakegpt_tui.processes.trainer import Trainer
    from shakegpt_tui.run.feed import Feed

HELP = """usage: shakegpt-tui [PRESET | RUN | replay RUN | picture RUN | serve] [flags]

Watch a GPT-2 learn Shakespeare, control the run, leave it, come back.

  shakegpt-tui                       start a run, or pick one from the list
  shakegpt-tui [PRESET] [flags]      start a run with the flags of `shakegpt finetune`
  shakegpt-tui RUN                   attach to a live run, or open a finished one
  shakegpt-tui replay RUN [flags]    play a run as if it were live
  shakegpt-tui picture RUN [flags]   draw the run screen as SVG
  shakegpt-tui serve [RUN] [flags]   show the UI in a browser
  shakegpt-tui --no-tui [...]        run without a screen, as where there is no terminal

On the screen ? explains the keys. NO_COLOR is respected."""
COMMANDS = ("replay", "picture", "serve")
"""Each is a module beside this one, with its `main`."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 128 + n after signal n."""
    if "_ARGCOMPLETE" in os.environ:
        from shakegpt.cli.completion import complete

        complete("shakegpt-tui", {name: f"shakegpt_tui.commands.{name}" for name in COMMANDS})
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        return _dispatch(arguments)
    except ShakegptError as error:
        _say(one_line(str(error)))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help"):
        print(HELP)
        return 0
    if first in ("-V", "--version"):
        print(f"shakegpt-tui {__version__}")
        return 0
    if first in COMMANDS:
        code: int = import_module(f"shakegpt_tui.commands.{first}").main(arguments[1:])
        return code
    if arguments:
        return watch(arguments)
    why = capabilities.missing()
    return show(None) if why is None else _headless([], why)


def watch(words: list[str]) -> int:
    """Start a trainer with the arguments of `shakegpt finetune` and show it, or show a run.

    Without a terminal, or with --no-tui, train without a screen, or print the run's state.
    """
    from shakegpt.cli.finetune_arguments import parse

    request = parse(words, watches=True)
    why = capabilities.missing(request.forces_tui) if request.tui else "--no-tui"
    from shakegpt_tui.run.feed import LiveFeed

    if request.watch is not None:
        return show(LiveFeed(request.watch)) if why is None else print_status(request.watch, why)
    if why is not None:
        return _headless(words, why if request.tui else "")
    if request.resume is None:
        from shakegpt.cli import preflight

        config = request.config()
        if "-" in (*config.dataset, *(config.val_dataset or ())):
            raise ShakegptError("--dataset - would read the keyboard: use a file, or --no-tui")
        preflight.require_no_faults(config)
        if request.reads_pipe:
            return _headless(words, "a pipe can be read only once")
    elif not is_run(request.resume):
        raise ShakegptError(f"--resume {request.resume} is no run directory")
    from shakegpt_tui.processes import trainer

    started = trainer.start(words)
    return show(LiveFeed(started.run), started, notifies=request.notify)


def _headless(arguments: list[str], why: str) -> int:
    """Train without a screen, and say why."""
    from shakegpt.cli.main import main as command_line

    if why:
        _say(f"{why}: running headless, as with --no-tui")
    return command_line(["finetune", *arguments, "--no-tui"])


def print_status(run: Path, why: str) -> int:
    """Print the state of a run in plain lines; `why` there is no screen."""
    import time

    from shakegpt.runlog.history import load
    from shakegpt_tui.run.facts import details, facts, headline, loss_line

    _say(f"{why}: printing the run's present state")
    history, _ = load(run)
    now = facts(history, time.time())
    print(f"{now.word}  {headline(now)}  {now.model}  {now.dataset}".rstrip())
    print(loss_line(now))
    for label, value in details(now):
        print(f"{label} {value}".strip())
    return 0


def show(feed: Feed | None, trainer: Trainer | None = None, *, notifies: bool = True) -> int:
    """Show a run, or the first screen; returns the exit code.

    `notifies`: whether the terminal is notified when a run ends.
    """
    capabilities.tune()
    from shakegpt_tui.app import ShakegptApp

    app = ShakegptApp(feed, trainer)
    app.notifies = notifies
    with capabilities.title_restored():
        message = app.run()
    app.save_runs()
    if message:
        _say(one_line(message))
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the terminal hung up: at exit, Python would fail to flush and return 120
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    return app.return_code or 0


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that hung up
        print(f"shakegpt-tui: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
