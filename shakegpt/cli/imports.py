"""Importing PyTorch and modules that need it, which takes a second or several."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from shakegpt.hardware import control_group

SPIN = "1000"
"""Rounds for which an OpenMP thread without work looks for some before it sleeps; GNU's runtime
has 300,000. Where other programs use the processors, threads that wait for one that was interrupted
take its time: two updated the pocket ten times more slowly (docs/advice.md)."""


@contextmanager
def heavy_imports(*, trains: bool = False) -> Iterator[None]:
    """Import large modules. Ctrl-C meanwhile ends the process by the signal: some extension modules
    crash on an exception during their import. Garbage collection, a tenth of the time, is off.

    Where a control group limits processor time, PyTorch gets as many threads as it may use: with
    one for each processor of the machine, all are halted together for most of the time.

    `trains`: the process trains, and its threads wait with `SPIN`, unless the environment says how.
    """
    if trains and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)  # read when PyTorch is loaded
    quota = control_group.processors()
    if quota is not None and quota < len(os.sched_getaffinity(0)):
        os.environ.setdefault("OMP_NUM_THREADS", str(ceil(quota)))
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
