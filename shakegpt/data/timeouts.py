"""A time limit for network calls that have none of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")

NETWORK_TIMEOUT = 3.0
"""Seconds without an answer after which a server counts as unreachable."""


def call_with_timeout(job: Callable[[], T]) -> T:
    """Return or raise what `job` does; raise TimeoutError after `NETWORK_TIMEOUT` seconds.

    The job runs in a daemon thread, which is abandoned on a timeout: name resolution and a proxy
    that never answers have no timeout of their own, and hub clients retry for half a minute.
    """
    answers = queue.SimpleQueue[tuple[T | None, Exception | None]]()

    def answer() -> None:
        try:
            answers.put((job(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=answer, daemon=True).start()
    try:
        result, error = answers.get(timeout=NETWORK_TIMEOUT)
    except queue.Empty:
        raise TimeoutError(f"no answer within {NETWORK_TIMEOUT:g} s") from None
    if error is not None:
        raise error
    return cast("T", result)
