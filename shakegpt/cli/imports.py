"""Importing PyTorch and modules that need it, which takes a second or several."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import large modules. Ctrl-C meanwhile ends the process by the signal: some extension modules
    crash on an exception during their import. Garbage collection, a tenth of the time, is off.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if is_main and handler is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if is_main:
            signal.signal(signal.SIGINT, handler)
