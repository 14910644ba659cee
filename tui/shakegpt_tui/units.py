"""Numbers as people read them: durations, sizes, rates, losses. A number that is not there is –."""

from __future__ import annotations

from shakegpt import format

NOTHING = "–"


def loss(value: float | None) -> str:
    """Nats a token, three decimals; large ones shorter.

    >>> loss(3.21449), loss(None), loss(123456.0)
    ('3.214', '–', '123456')
    """
    if value is None:
        return NOTHING
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """Whole units that fit the length.

    >>> duration(4.2), duration(83), duration(3723), duration(200_000)
    ('4 s', '1:23', '1:02:03', '2 d 7 h')
    """
    if seconds is None:
        return NOTHING
    whole = max(0, round(min(seconds, 1e15)))  # a log may tell any number
    minutes, secs = divmod(whole, 60)
    hours, mins = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    if hours:
        return f"{hours}:{mins:02}:{secs:02}"
    return f"{mins}:{secs:02}" if mins else f"{secs} s"


def ago(seconds: float | None) -> str:
    """An age, coarser than `duration`, so that a display of it changes seldom.

    >>> ago(7), ago(95), ago(4000)
    ('7 s ago', '1 min ago', '1 h ago')
    """
    if seconds is None:
        return NOTHING
    seconds = min(seconds, 1e15)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def size(count: int | None) -> str:
    """Bytes in the unit that suits, as everywhere in shakegpt.

    >>> size(812_345_678), size(None)
    ('775 MiB', '–')
    """
    return NOTHING if count is None else format.size(count)


def rate(value: float | None) -> str:
    """Tokens a second with a thousands separator.

    >>> rate(12345.6), rate(8.25)
    ('12,346 tok/s', '8.2 tok/s')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f} tok/s" if value >= 10 else f"{value:.1f} tok/s"


def learning_rate(value: float | None) -> str:
    """The shortest exact-looking form.

    >>> learning_rate(1e-3), learning_rate(2.5e-05)
    ('0.001', '2.5e-05')
    """
    return NOTHING if value is None else f"{value:.3g}"


def percent(fraction: float | None) -> str:
    """A share from 0 to 1.

    >>> percent(0.6149)
    '61 %'
    """
    return NOTHING if fraction is None else f"{100 * fraction:.0f} %"
