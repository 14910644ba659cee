"""Numbers as text, the same in console, terminal UI, figures, deck and claims."""

from __future__ import annotations

import math


def loss(value: float | None) -> str:
    """A loss in nats a token; what was not finite is said so."""
    return "not finite" if value is None or not math.isfinite(value) else f"{value:.4f}"


def size(count: int) -> str:
    """Bytes in the unit that suits: 512 MiB, 15.3 GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def parameters(count: int) -> str:
    """Parameters as the papers give them: 774M, 1.56B, 4.3M, 850K, 512."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size * 0.9995:
            scaled = count / size
            places = 2 if size == 10**9 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{places}f}".removesuffix(".0") + letter
    return str(count)


def rate(learning_rate: float) -> str:
    """As people write it in a configuration: 3e-5, 1e-3, 1.5e-4."""
    mantissa, exponent = f"{learning_rate:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def duration(seconds: float) -> str:
    """Seconds as 8 s, 1:05 or 2:10:00."""
    whole = round(min(seconds, 1e15))  # a log may tell any number
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60}:{rest % 60:02d}" if not hours else f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{minutes}" if hours else minutes
