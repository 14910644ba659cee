"""Commands of shakegpt without their start: one process imports what is heavy, and forks for each.

The forked command runs `shakegpt.cli.main.main` with a session, streams, directory and environment
of its own, and leaves with its exit code, as the installed script does; with `gate` it waits at a
named pipe until a tracer holds it. With `code`, the name of a file, nobody waits for it: its exit
code is written there, and the next request is served at once.

    python -m tests.fork_server [--warm]   a JSON object a line in; {"pid": …}, then {"code": …} out
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.tiny import play
from tests.torture.tiny import flags

_jumps: list[tuple[float, float]] = []
"""When, by the monotonic clock, the clock on the wall is set by how many seconds."""
_wall = time.time


def _set_clock() -> float:
    now = time.monotonic()
    return _wall() + sum(seconds for when, seconds in _jumps if when <= now)


time.time = _set_clock  # before shakegpt is imported: its records are stamped by this one


def serve() -> None:
    """Fork for each line of standard input until it ends."""
    for line in sys.stdin:
        request = json.loads(line)
        if "code" in request:
            print(json.dumps({"pid": _start(request)}), flush=True)
            continue
        child = os.fork()
        if child == 0:
            _live(request)
        print(json.dumps({"pid": child}), flush=True)
        print(json.dumps({"code": _exit_code(child)}), flush=True)


def _exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _start(request: dict[str, Any]) -> int:
    """Fork a command by way of a process that waits for it; returns the command's number."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.setsid()
        child = os.fork()
        if child == 0:
            os.close(ours)
            os.close(theirs)
            _live(request)
        os.write(theirs, str(child).encode())
        os.close(theirs)
        part = Path(request["code"] + ".part")
        part.write_text(str(_exit_code(child)))
        part.replace(request["code"])
        os._exit(0)
    os.close(theirs)
    with open(ours) as pipe:
        return int(pipe.read(20))


def _live(request: dict[str, Any]) -> None:
    code = 70
    try:
        _settle_in(request)
        import shakegpt.cli.main

        sys.argv = ["shakegpt", *request["argv"]]
        code = shakegpt.cli.main.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _settle_in(request: dict[str, Any]) -> None:
    os.setsid()
    if request.get("ignore"):
        signal.signal(request["ignore"], signal.SIG_IGN)
    if request.get("file_size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
    streams = (request.get("stdin", os.devnull), request["out"], request["err"])
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDWR), number)
    sys.stdout = os.fdopen(1, "w", closefd=False)  # what was a file may be a terminal now
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    _jumps.extend(
        (time.monotonic() + after, seconds) for after, seconds in request.get("clock", ())
    )
    if request.get("gate"):
        select.select([os.open(request["gate"], os.O_RDONLY | os.O_NONBLOCK)], [], [])


def imports() -> None:
    """Import what commands import late."""
    import huggingface_hub

    import shakegpt.session

    del huggingface_hub, shakegpt
    gc.freeze()  # no forked process copies it only to look through it


def warm() -> None:
    """Train once, so that whatever is imported late is there when a child is born."""
    import shakegpt.cli.main

    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch) / "play.txt"
        text.write_text(play(), "utf-8")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            run = Path(scratch) / "run"
            assert shakegpt.cli.main.main(["finetune", *flags(text, run, max_iters=1)]) == 0
            words = ["finetune", "--resume", str(run), "--max-iters", "2", "--no-tui"]
            assert shakegpt.cli.main.main(words) == 0
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    gc.freeze()


if __name__ == "__main__":
    if "--warm" in sys.argv:
        warm()
        print(json.dumps({"ready": True}), flush=True)
    else:
        imports()
    serve()
