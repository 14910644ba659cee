"""`shakegpt-tui`: sort out what is asked, then show it; Textual is imported for screens only."""

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
from shakegpt_tui import terminal

if TYPE_CHECKING:
    from shakegpt_tui.feed import Feed
    from shakegpt_tui.trainer import Trainer

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
    """Do what the arguments ask; returns the exit code, 128 + n after signal n."""
    if "_ARGCOMPLETE" in os.environ:
        from shakegpt.cli.completion import complete

        complete("shakegpt-tui", {name: f"shakegpt_tui.{name}" for name in COMMANDS})
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        return _dispatch(arguments)
    except ShakegptError as error:
        return _fail(error)
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
        code: int = import_module(f"shakegpt_tui.{first}").main(arguments[1:])
        return code
    return watch(arguments) if arguments else _home()


def watch(words: list[str]) -> int:
    """Start a trainer with the arguments of `shakegpt finetune` and show it, or show a run.

    Without a terminal, or with --no-tui, train without a screen, or print how the run stands.
    """
    from shakegpt.cli.finetune_arguments import parse

    request = parse(words, watches=True)
    why = terminal.missing(request.asks_tui) if request.tui else "--no-tui"
    if request.watch is not None:
        return open_run(request.watch, why)
    if why is not None:
        if request.tui:
            _say(f"{why}: running headless, as with --no-tui")
        return _headless(words)
    if request.resume is None:
        from shakegpt.cli import preflight

        config = request.config()
        if "-" in (*config.dataset, *(config.val_dataset or ())):
            raise ShakegptError("--dataset - would read the keyboard: use a file, or --no-tui")
        preflight.require_no_faults(config)
        if request.reads_pipe:
            _say("a pipe can be read only once: running headless, as with --no-tui")
            return _headless(words)
    elif not is_run(request.resume):
        raise ShakegptError(f"--resume {request.resume} is no run directory")
    from shakegpt_tui import trainer
    from shakegpt_tui.feed import LiveFeed

    started = trainer.start(words)
    return show(LiveFeed(started.run), started, notifies=request.notify)


def open_run(run: Path, why: str | None) -> int:
    """Attach to a run directory; if `why` there is no screen, print how the run stands."""
    if why is not None:
        return print_status(run, why)
    from shakegpt_tui.feed import LiveFeed

    return show(LiveFeed(run))


def _home() -> int:
    if (why := terminal.missing()) is not None:
        _say(f"{why}: running headless, as with --no-tui")
        return _headless([])
    return show(None)


def _headless(arguments: list[str]) -> int:
    from shakegpt.cli.main import main as command_line

    return command_line(["finetune", *arguments, "--no-tui"])


def print_status(run: Path, why: str) -> int:
    """The facts of a run in plain lines."""
    import time

    from shakegpt.runlog.history import load
    from shakegpt_tui.facts import details, facts, headline, loss_line

    _say(f"{why}: this is how the run stands now")
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
    terminal.tune()
    from shakegpt_tui.app import ShakegptApp

    app = ShakegptApp(feed, trainer)
    app.notifies = notifies
    with terminal.title_kept():
        word = app.run()
    app.save_runs()
    if word:
        _say(one_line(word))
    _let_go()
    return app.return_code or 0


def _let_go() -> None:
    """Of a terminal that hung up: Python would fail to flush to it and exit with 120."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)


def _fail(error: ShakegptError) -> int:
    _say(one_line(str(error)))
    return error.exit_code


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that hung up
        print(f"shakegpt-tui: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
