"""The switch and the self-tests of everything that is faster than the plain computation.

Products by oneDNN, the chunked loss, int8 kernels and the like use operators that differ between
processors and PyTorch versions. Each is used only after it agreed with the plain computation on a
tiny example in this process; where it does not, or raises, the plain computation is used and
nothing else changes. `SHAKEGPT_PLAIN=1` in the environment switches all of them off. No torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from functools import cache
from typing import ParamSpec

P = ParamSpec("P")
PLAIN = "SHAKEGPT_PLAIN"
"""Environment variable: 1 switches the fast paths off; unset, empty or 0 leaves them on."""


def enabled() -> bool:
    """Whether fast paths may be used at all."""
    return os.environ.get(PLAIN, "") in ("", "0")


def self_test(test: Callable[P, bool]) -> Callable[P, bool]:
    """Run `test` when it is first called with these arguments, and remember its result.

    False if the test raises, and with SHAKEGPT_PLAIN=1.
    """

    @cache
    def run(*args: Hashable, **kwargs: Hashable) -> bool:
        try:
            return enabled() and test(*args, **kwargs)  # type: ignore[arg-type]
        except Exception:  # a missing operator, an unsupported dtype, a compiler: any of them
            return False

    return run  # type: ignore[return-value]
