"""Numbers as a slide says them, rounded for a room: one function a kind, so that no two differ.

What a terminal shows in more digits is in `shakegpt.format`.
"""

from __future__ import annotations

from collections.abc import Sequence

from shakegpt import format


def digits(number: int) -> str:
    """Every digit: 774,030,080."""
    return f"{number:,}"


def characters(number: int) -> str:
    """How long a text is: 5.0 million, 48 thousand, 812."""
    if number >= 999_500:
        return f"{number / 1e6:.1f} million"
    return f"{number / 1e3:.0f} thousand" if number >= 9_500 else digits(number)


def loss(nats: float) -> str:
    """Two decimals: a third would be noise; one that has exploded in short: 9,000, 1.2 × 10⁸."""
    if abs(nats) < 1000:
        return format.loss(nats, 2)
    return f"{nats:,.0f}" if abs(nats) < 1e6 else power_of_ten(nats)


def power_of_ten(number: float) -> str:
    """A very large number: 1.2 × 10⁸."""
    mantissa, _, exponent = f"{number:.1e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{raised}"


def difference(nats: float) -> str:
    """Two decimals, more where they would hide that there is one."""
    return loss(nats) if nats >= 0.005 or nats == 0 else f"{nats:.1g}"


def percent(share: float) -> str:
    """A whole percent; one decimal where whole percents would hide it."""
    return f"{share:.0f}%" if abs(share) >= 9.95 or share == 0 else f"{share:.1f}%"


def perplexity(nats: float) -> str:
    """Among how many equally likely tokens a loss of `nats` leaves the choice."""
    tokens = format.perplexity(nats)
    if tokens < 9.95:
        return f"{tokens:.1f}"
    return (
        f"{tokens:,.0f}" if tokens < 1e6 else power_of_ten(tokens) if tokens < 1e12 else "countless"
    )


def duration(seconds: float) -> str:
    """How long something took, in the unit that a person would use."""
    if seconds < 89.5:
        return count(max(1, round(seconds)), "second")
    if seconds < 89.5 * 60:
        return count(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def listing(names: Sequence[str], most: int = 3) -> str:
    """Names as a sentence has them: A, B and C; beyond `most`: A, B, C and 4 more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def place(device: str, threads: int) -> str:
    """What computed, so that `on …` goes before it."""
    if device == "cpu":
        return count(threads, "CPU thread")
    return {"cuda": "a GPU", "mps": "an Apple GPU"}.get(device, device)


def count(number: int, noun: str) -> str:
    """1 iteration, 20 iterations, 2,000 iterations."""
    return f"{number:,} {noun}" + ("s" if number != 1 else "")
