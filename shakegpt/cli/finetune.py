"""`shakegpt finetune`: start a run, or resume one, under a screen or a console."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shakegpt.bounds import Switch, Text, setting
from shakegpt.cli.arguments import given
from shakegpt.cli.attended import unattended
from shakegpt.cli.imports import heavy_imports
from shakegpt.config import MACHINE, WHAT, FinetuneConfig
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.presets import PRESETS

if TYPE_CHECKING:
    from shakegpt.cli.request import Request
    from shakegpt.runlog.history import History

PROG = "shakegpt finetune"
NATIVE_WINDOWS = (
    "shakegpt: native Windows is not tested: several processes, --compile on and --save-signal are "
    "not supported there; for these use WSL"
)


@dataclass(frozen=True, kw_only=True)
class Arguments(FinetuneConfig):
    """All arguments of the command."""

    preset: str | None = setting(
        None,
        Text("PRESET", known=tuple(PRESETS)),
        "Settings to begin with, which the flags change.",
        WHAT,
        none="what suits the model",
        positional=True,
    )
    resume: str | None = setting(
        None,
        Text("RUN", path=True),
        "Continue a run that was stopped or killed. Other flags change how it continues; those "
        "that would make it another run are refused.",
        WHAT,
        none="start a run",
    )
    tui: bool = setting(
        True,
        Switch(),
        "Open the live screen in a terminal, instead of printing lines. In a notebook and in CI, "
        "where nobody sits at the terminal, only when --tui is given.",
        MACHINE,
    )
    on_end: str | None = setting(
        None,
        Text("COMMAND"),
        "Run this command, without a shell, when the run has finished, stopped, failed, crashed or "
        "stalled: the result is in SHAKEGPT_RUN, SHAKEGPT_STATE and others (see the README), a "
        "sentence of it on standard input.",
        MACHINE,
        none="nothing",
    )
    notify: bool = setting(
        True,
        Switch(),
        "When the run ends, ring the terminal's bell, with a notification where it is known to "
        "have one. Never in pipes, logs and notebooks.",
        MACHINE,
    )


def parse(words: list[str], *, watches: bool = False) -> Request:
    """What `words` ask for; with `watches`, a run directory may stand where a preset may.

    Raises ShakegptError for words that do not fit, SystemExit for help.
    """

    def defaults(values: dict[str, Any]) -> Arguments | None:
        preset = PRESETS.get(values.get("preset", ""))
        return None if preset is None else Arguments(**vars(preset.config))

    settings = given(Arguments, PROG, words, _about(), defaults)
    from shakegpt.cli.request import requested  # help needs none of this

    return requested(settings, watches=watches)


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    request = parse(words)
    watches = request.asks_tui or not unattended()
    if request.tui and watches and on_terminal() and not request.reads_pipe:
        from shakegpt_tui.main import watch

        return watch(words)
    if sys.platform != "win32":
        # a dropped line does not stop a run, nor a save when there is nothing to save yet
        for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
            if name != request.settings.get("save_signal"):
                signal.signal(signal.Signals[name], signal.SIG_IGN)
    else:
        print(NATIVE_WINDOWS, file=sys.stderr)
    if request.resume is not None:
        return _resume(request.resume, request)
    from shakegpt.cli.request import configure

    config = configure(request)
    with heavy_imports():
        from shakegpt import session
    from shakegpt.distributed import env
    from shakegpt.runlog import history

    earlier = env.earlier_attempt(config.out_dir)  # a restarted job resumes its run
    past = history.load(earlier)[0] if earlier is not None else None
    return _with_console(
        request, lambda log: session.finetune(config, log, own_process=True), past, earlier
    )


def on_terminal() -> bool:
    """Whether a person sits at a terminal that can show the live screen."""
    from shakegpt.distributed import env

    dumb = os.environ.get("TERM", "") in ("", "dumb") or env.launched()
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty() and not dumb


def _resume(run: Path, request: Request) -> int:
    from shakegpt.cli.request import changes
    from shakegpt.runlog import history

    past, settings = history.load_started(run), changes(request)
    with heavy_imports():
        from shakegpt import session

    limit, shard = settings.pop("max_iters", None), settings.pop("shard", False)
    return _with_console(
        request,
        lambda log: session.resume(
            run, limit, log, own_process=True, shard=shard, changes=settings
        ),
        past,
        run,
    )


def _with_console(
    request: Request,
    job: Callable[[Any], Path],
    past: History | None = None,
    run: Path | None = None,
) -> int:
    """Train under the console that suits, which knows the past of `run`; returns the exit code."""
    from shakegpt.cli.console import console
    from shakegpt.notify import command
    from shakegpt.notify.on_end import OnEnd
    from shakegpt.session import Tee

    words = command.split(request.on_end) if request.on_end is not None else []
    on_end, code = OnEnd(words, request.notify and unattended() is None, run), 1

    try:
        with console(past, run) as log:
            job(Tee(log, on_end))
        code = 0
    except Stopped as stopped:
        code = stopped.exit_code
    except ShakegptError as error:
        code = error.exit_code
        raise
    finally:
        on_end.end(code)
    return code


def _about() -> str:
    """What the help says first: the presets, and how to resume."""
    rows = {name: preset.about for name, preset in PRESETS.items()}
    rows["--resume RUN"] = "continue a run that was stopped or killed, as other flags change it"
    width = max(60, min(120, shutil.get_terminal_size().columns)) - 1
    table = (
        textwrap.fill(f"  {name:<12}  {about}", width, subsequent_indent=" " * 16)
        for name, about in rows.items()
    )
    return (
        "Finetune a GPT-2 on a text. Presets:\n"
        + "\n".join(table)
        + "\nWithout a preset, --init-from decides: settings follow the size of the model."
    )
