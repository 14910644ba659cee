"""What is done before a signal that nothing handles ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FATAL = ("SIGTERM", "SIGHUP")
"""Those that end a process without a word to it; Ctrl-C is an exception in Python."""


@contextmanager
def before_death(action: Callable[[], object]) -> Iterator[None]:
    """Call `action` when a signal of `FATAL` that nothing handles ends this process meanwhile; it
    ends by that signal nevertheless. Outside the main thread, which gets the signals, nothing.
    """
    process = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() == process:  # not a process forked from it
            action()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    taken = list[int]()
    if threading.current_thread() is threading.main_thread():
        numbers = (getattr(signal, name, None) for name in FATAL)
        taken = [n for n in numbers if n and signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)
