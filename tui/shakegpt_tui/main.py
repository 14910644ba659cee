"""`shakegpt-tui`: sort out what is asked, then show it; Textual is imported for screens only."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shakegpt import __version__
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run
from shakegpt_tui import terminal
from shakegpt_tui.printable import one_line

if TYPE_CHECKING:
    from shakegpt_tui.feed import Feed
    from shakegpt_tui.trainer import Trainer

HELP = """shakegpt-tui: watch a GPT-2 learn Shakespeare, drive the run, leave it, come back.

  shakegpt-tui                       start a run, or pick one from the list
  shakegpt-tui [PRESET] [--flags]    start a run with the flags of `shakegpt finetune`
  shakegpt-tui RUN                   attach to a live run, or open a finished one
  shakegpt-tui replay RUN            play a run as if it were live; --speed 20 for 20 times as fast
  shakegpt-tui picture RUN           the run screen as SVG; --size 120x40, --at ITERATION,
                                     --press KEYS (as b,c), --theme NAME, --out FILE
  shakegpt-tui --no-tui [...]        the headless run; chosen by itself without a terminal

On the screen ? explains the keys. NO_COLOR is respected."""


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments ask; returns the exit code, 128 + n after signal n."""
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
    if first == "replay":
        return _replay(arguments[1:])
    if first == "picture":
        from shakegpt_tui.picture import main as picture

        return picture(arguments[1:])
    if first and not first.startswith("-") and not _is_preset(first):
        return open_run(Path(first), arguments[1:])
    return watch(arguments) if arguments else _home()


def _is_preset(word: str) -> bool:
    from shakegpt.config import PRESETS

    return word in PRESETS


def watch(finetune_argv: list[str]) -> int:
    """Start a trainer with the flags of `shakegpt finetune` and show it; headless without a tty."""
    if "--no-tui" in finetune_argv:
        return _headless([word for word in finetune_argv if word != "--no-tui"])
    if (why := terminal.missing()) is not None:
        _say(f"{why}: running headless, as with --no-tui")
        return _headless(finetune_argv)
    if {"-h", "--help"} & set(finetune_argv):
        return _headless(finetune_argv)
    from shakegpt_tui import asked, trainer
    from shakegpt_tui.feed import LiveFeed

    asked.require(finetune_argv)
    started = trainer.start(finetune_argv)
    return _show(LiveFeed(started.run), started)


def open_run(run: Path, rest: list[str] | None = None) -> int:
    """Attach to a run directory; without a terminal, say once how the run stands."""
    arguments = [word for word in rest or [] if word != "--no-tui"]
    if arguments:
        raise ShakegptError(f"{run} is opened as it is: it takes no {arguments[0]}")
    if not is_run(run):
        raise ShakegptError(_neither(run))
    why = "--no-tui" if "--no-tui" in (rest or []) else terminal.missing()
    if why is not None:
        return _once(run, why)
    from shakegpt_tui.feed import LiveFeed

    return _show(LiveFeed(run))


def _neither(word: Path) -> str:
    import difflib

    from shakegpt.config import PRESETS

    close = difflib.get_close_matches(str(word), list(PRESETS), n=1)
    if close and not word.exists():
        return f"there is no preset {word}: did you mean {close[0]}?"
    known = ", ".join(PRESETS)
    return f"{word} is neither a run directory nor a preset: the presets are {known}"


def _replay(arguments: list[str]) -> int:
    options = _options(arguments, {"--speed": "1"}, "replay")
    run = Path(options["RUN"])
    try:
        speed = float(options["--speed"])
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 10_000:
        raise ShakegptError(f"--speed {options['--speed']} makes no sense: give a number above 0")
    if not is_run(run):
        raise ShakegptError(f"{run} is no run directory")
    if (why := terminal.missing()) is not None:
        return _once(run, why)
    from shakegpt_tui.feed import ReplayFeed

    return _show(ReplayFeed(run, speed))


def _options(arguments: list[str], known: dict[str, str], verb: str) -> dict[str, str]:
    """One run directory and `--flag value` pairs; raises ShakegptError for anything else."""
    found, rest = dict(known), iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in known:
            found[flag] = value if equals else next(rest, "")
        elif word.startswith("-") or "RUN" in found:
            raise ShakegptError(f"{verb} does not know {word}: see shakegpt-tui --help")
        else:
            found["RUN"] = word
    if "RUN" not in found:
        raise ShakegptError(f"{verb} needs a run directory: shakegpt-tui {verb} RUN")
    return found


def _home() -> int:
    if (why := terminal.missing()) is not None:
        _say(f"{why}: running headless, as with --no-tui")
        return _headless([])
    return _show(None)


def _headless(arguments: list[str]) -> int:
    from shakegpt.cli.main import main as command_line

    return command_line(["finetune", *arguments, "--no-tui"])


def _once(run: Path, why: str) -> int:
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


def _show(feed: Feed | None, trainer: Trainer | None = None) -> int:
    terminal.tune()
    from shakegpt_tui.app import ShakegptApp

    app = ShakegptApp(feed, trainer)
    word = app.run()
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
