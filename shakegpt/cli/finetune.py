"""`shakegpt finetune`: start or resume a run, with the terminal UI or a console."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shakegpt.cli.attended import unattended
from shakegpt.cli.finetune_arguments import Arguments, parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.errors import ShakegptError, Stopped

__all__ = ["Arguments", "main"]

if TYPE_CHECKING:
    from shakegpt.cli.request import Request
    from shakegpt.runlog.history import History
    from shakegpt.train.supervisor import Log

NATIVE_WINDOWS = (
    "shakegpt: native Windows is not tested: several processes, --compile on and --save-signal are "
    "not supported there; for these use WSL"
)


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    request = parse(words)
    watches = request.forces_tui or not unattended()
    if request.tui and watches and on_terminal() and not request.reads_pipe:
        from shakegpt_tui.main import watch

        return watch(words)
    if sys.platform != "win32":
        # a closed terminal does not stop a run, nor do signals to save before there is a state
        for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
            if name != request.settings.get("save_signal"):
                signal.signal(signal.Signals[name], signal.SIG_IGN)
    else:
        print(NATIVE_WINDOWS, file=sys.stderr)
    if request.resume is not None:
        return _resume(request.resume, request)
    from shakegpt.cli.request import configure

    config = configure(request)
    with heavy_imports(trains=True):
        from shakegpt import session
    from shakegpt.distributed import env
    from shakegpt.runlog import history

    earlier = env.earlier_attempt(config.out_dir)  # a restarted job resumes its run
    past = history.load(earlier)[0] if earlier is not None else None
    return _with_console(
        request, lambda log: session.finetune(config, log, own_process=True), past, earlier
    )


def on_terminal() -> bool:
    """Whether standard streams are a terminal that can show the live screen."""
    from shakegpt.distributed import env

    dumb = os.environ.get("TERM", "") in ("", "dumb") or env.launched()
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty() and not dumb


def _resume(run: Path, request: Request) -> int:
    from shakegpt.cli.request import changes
    from shakegpt.runlog import history

    past, settings = history.load_started(run), changes(request)
    with heavy_imports(trains=True):
        from shakegpt import session

    limit, shard = settings.pop("max_iters", None), settings.pop("shard", False)

    def job(log: Log) -> Path:
        return session.resume(run, limit, log, own_process=True, shard=shard, changes=settings)

    return _with_console(request, job, past, run)


def _with_console(
    request: Request,
    job: Callable[[Log], Path],
    past: History | None = None,
    run: Path | None = None,
) -> int:
    """Train with a console, for a resumed `run` with its history; returns the exit code."""
    from shakegpt.cli.console import console
    from shakegpt.notify import command
    from shakegpt.notify.on_end import OnEnd
    from shakegpt.session import Tee

    words = command.split(request.on_end) if request.on_end is not None else []
    on_end, code = OnEnd(words, request.notify and unattended() is None, run), 1
    reason = ""
    try:
        with console(past, run) as log:
            job(Tee(log, on_end))
        code = 0
    except Stopped as stopped:
        code = stopped.exit_code
    except ShakegptError as error:
        code, reason = error.exit_code, str(error)
        raise
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        on_end.end(code, reason)
    return code
