"""Numbers as text, the same in console, terminal UI, figures, deck and claims.

None is shown as `–`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import islice

NOTHING = "–"
_LONGEST = 1e15
"""Longest duration shown, seconds: a damaged log may hold any number."""


def loss(nats: float | None, digits: int = 4, missing: str = NOTHING) -> str:
    """A loss in nats per token, from 1000 on as a power of ten; `missing` if it is not finite.

    >>> loss(3.21449), loss(3.21449, 2), loss(123456.0), loss(None)
    ('3.2145', '3.21', '1.23e+05', '–')
    """
    if nats is None or not math.isfinite(nats):
        return missing
    return f"{nats:.{digits}f}" if abs(nats) < 1000 else f"{nats:.3g}"


def perplexity(nats: float) -> float:
    """The number of equally likely tokens with this loss in nats per token, at most e^700."""
    return math.exp(min(nats, 700.0))


def bits(per_character: float | None) -> str:
    """Bits per character: 2.09 bits/char."""
    return NOTHING if per_character is None else f"{per_character:.2f} bits/char"


def size(count: int | None) -> str:
    """Bytes in MiB or GiB: 512 MiB, 15.3 GiB."""
    if count is None:
        return NOTHING
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def parameters(count: int) -> str:
    """Parameters as the papers give them: 774M, 1.56B, 4.3M, 850K, 512."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size * 0.9995:
            scaled = count / size
            places = 2 if size == 10**9 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{places}f}".removesuffix(".0") + letter
    return str(count)


def rate(learning_rate: float | None) -> str:
    """A learning rate as in a configuration file: 3e-5, 1e-3, 1.5e-4, 0."""
    if not learning_rate:
        return NOTHING if learning_rate is None else "0"
    mantissa, exponent = f"{learning_rate:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def throughput(tokens_per_second: float | None) -> str:
    """Tokens per second: 12,346 tok/s, 8.2 tok/s."""
    if tokens_per_second is None:
        return NOTHING
    return f"{tokens_per_second:,.{0 if tokens_per_second >= 10 else 1}f} tok/s"


def duration(seconds: float | None) -> str:
    """Seconds in units that fit the length.

    >>> duration(4.2), duration(83), duration(7800), duration(200_000)
    ('4 s', '1:23', '2:10:00', '2 d 7 h')
    """
    if seconds is None:
        return NOTHING
    whole = max(0, round(min(seconds, _LONGEST)))
    if whole < 60:
        return f"{whole} s"
    if whole < 48 * 3600:
        return clock(whole)
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def clock(seconds: float | None) -> str:
    """Seconds as minutes and hours: 0:42, 1:05, 2:10:00."""
    if seconds is None:
        return "-:--"
    minutes, secs = divmod(max(0, round(min(seconds, _LONGEST))), 60)
    hours, mins = divmod(minutes, 60)
    return f"{hours}:{mins:02}:{secs:02}" if hours else f"{mins}:{secs:02}"


def ago(seconds: float | None) -> str:
    """An age in its largest whole unit, so that the text seldom changes.

    >>> ago(7), ago(95), ago(4000)
    ('7 s ago', '1 min ago', '1 h ago')
    """
    if seconds is None:
        return NOTHING
    seconds = max(0.0, min(seconds, _LONGEST))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    unit, length = next((u for u in units if seconds >= u[1]), units[-1])
    return f"{int(seconds // length)} {unit} ago"


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 thread", "1,000 threads"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listing(names: Collection[str], most: int = 3) -> str:
    """The first names and the number of the others.

    >>> listing(["a", "b", "c", "d"]), listing(["a", "b"])
    ('a, b, c and 1 more', 'a, b')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(islice(names, most)) + more


def probability(share: float) -> str:
    """A probability as a percentage with two significant digits.

    >>> probability(0.1234), probability(0.0034), probability(0.00001), probability(1.0)
    ('12%', '0.34%', '<0.01%', '100%')
    """
    percent = 100 * share
    if percent >= 9.5:
        return f"{percent:.0f}%"
    if percent >= 0.95:
        return f"{percent:.1f}%"
    return f"{percent:.2f}%" if percent >= 0.005 else "<0.01%"
