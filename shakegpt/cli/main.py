"""`shakegpt COMMAND`: runs the command's module, and turns exceptions into exit codes."""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from shakegpt import __version__
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import sentence

LONGEST = 1000
"""Characters of an error message on stderr."""

COMMANDS = (
    *("finetune", "advise", "sample", "evaluate", "inspect", "runs", "figures"),
    *("claims", "deck", "convert", "export", "completion"),
)
"""Each is a module of this package with a `main`."""

HELP = """usage: shakegpt COMMAND [arguments] [flags]

Finetune GPT-2 on Shakespeare, watch it learn, check the talk's numbers.

commands:
  finetune [PRESET]      train; in a terminal with a live screen
  finetune --resume RUN  continue a run that was stopped or killed
  advise TEXT            settings that suit a text, from a minute of short runs
  sample MODEL           draw text from a run, checkpoint or model
  evaluate MODEL         val loss and perplexity over fixed sequences
  inspect MODEL          what happens inside a model while it writes
  runs [DIR]             list the runs and how they went
  figures [RUN ...]      draw training, architecture, generation and samples
  claims [RUN]           the talk's claims beside a run's numbers
  deck [DIR]             lay out the talk's slides with a run's figures and numbers
  convert SOURCE DIR     make a safe checkpoint of ckpt.pt or pytorch_model.bin
  export RUN             model as GGUF or to the hub, metrics as CSV or for TensorBoard
  completion SHELL       shell completion for bash, zsh or fish

The presets are {presets}.
`shakegpt COMMAND --help` explains each flag. `shakegpt-tui` opens the terminal UI.
SHAKEGPT_DEBUG=1 prints the traceback of an error."""


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 failed, 2 bad input, 128 + n by a signal."""
    if "_ARGCOMPLETE" in os.environ:
        from shakegpt.cli.completion import complete

        complete("shakegpt", {name: f"shakegpt.cli.{name}" for name in COMMANDS})
    return run(_dispatch, sys.argv[1:] if argv is None else argv)


def _dispatch(arguments: list[str]) -> int:
    command, *rest = arguments or ["--help"]
    if command == "help" and rest:
        command, rest = rest[0], ["--help"]
    if command in ("-h", "--help", "help"):
        from shakegpt.config.presets import PRESETS

        print(HELP.format(presets=", ".join(PRESETS)))
        return 0
    if command in ("-V", "--version"):
        print(f"shakegpt {__version__}")
        return 0
    if command.startswith("-"):
        raise ShakegptError(f"a command stands before its flags: shakegpt COMMAND {command}")
    if command not in COMMANDS:
        from shakegpt.cli.arguments import suggestion

        close = suggestion(command, COMMANDS)
        raise ShakegptError(
            f"unknown command {command!r}" + (close or f"; the commands are {', '.join(COMMANDS)}")
        )
    code: int = import_module(f"shakegpt.cli.{command}").main(rest)
    return code


def run(job: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Call `job`; exceptions become one sentence on stderr and an exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # a terminal may lack characters: ? then
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            _require_directory()
            return job(arguments)
        finally:
            sys.stdout.flush()  # raises BrokenPipeError here, not at exit
    except KeyboardInterrupt:
        print("shakegpt: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except (ShakegptError, OSError) as error:
        if os.environ.get("SHAKEGPT_DEBUG"):
            traceback.print_exc()
        # the middle of a very long name is left out
        message = re.sub(r"(\S{150})\S{100,}(\S{30})", r"\1…\2", str(error))
        print(f"shakegpt: {sentence(message, LONGEST)}", file=sys.stderr)
        return error.exit_code if isinstance(error, ShakegptError) else 1


def _require_directory() -> None:
    """Raise ShakegptError in a working directory that was deleted, where imports may crash."""
    try:
        Path.cwd()
    except OSError as error:
        raise ShakegptError(
            f"the working directory cannot be used ({error.strerror}): change to another with cd"
        ) from None


def _open_closed_streams() -> None:
    """Open streams that are closed, as by `>&-`: the next opened file would get their output."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        continue
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
