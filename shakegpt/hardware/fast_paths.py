"""Self-tests of the fast paths, and their switch. Imports no torch.

oneDNN products, the chunked loss, int8 kernels and others use operators that differ between
processors and PyTorch versions. Each is used only if it agrees with the plain computation on a tiny
example in this process; if it does not, or raises, the plain computation is used instead. The
environment variable SHAKEGPT_PLAIN=1 disables all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from functools import cache
from typing import ParamSpec

P = ParamSpec("P")
PLAIN = "SHAKEGPT_PLAIN"
"""Environment variable: 1 disables the fast paths; unset, empty or 0 leaves them enabled."""


def enabled() -> bool:
    """Whether fast paths may be used."""
    return os.environ.get(PLAIN, "") in ("", "0")


def self_test(test: Callable[P, bool]) -> Callable[P, bool]:
    """`test`, run once for the same arguments. False if it raises, and with SHAKEGPT_PLAIN=1."""

    @cache
    def run(*args: Hashable, **kwargs: Hashable) -> bool:
        try:
            return enabled() and test(*args, **kwargs)  # type: ignore[arg-type]
        except Exception:  # a missing operator, an unsupported dtype, a compiler, ...
            return False

    return run  # type: ignore[return-value]
