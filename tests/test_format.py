"""Numbers as a person reads them in every part."""

from __future__ import annotations

import math

import pytest

from shakegpt import format


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (512, "512"),
        (999, "999"),
        (1_000, "1K"),
        (85_300, "85.3K"),
        (850_000, "850K"),
        (999_600, "1M"),
        (5_853_184, "5.9M"),
        (99_960_000, "100M"),
        (124_439_808, "124M"),
        (774_030_080, "774M"),
        (1_557_611_200, "1.56B"),
    ],
)
def test_parameters(number: int, text: str) -> None:
    assert format.parameters(number) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(3e-5, "3e-5"), (1e-3, "1e-3"), (1.5e-4, "1.5e-4"), (0.01, "1e-2"), (1.0, "1e0"), (0.0, "0")],
)
def test_rate(rate: float, text: str) -> None:
    assert format.rate(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text", "digits"),
    [
        (None, "–", "-:--"),
        (-1.0, "0 s", "0:00"),
        (8.4, "8 s", "0:08"),
        (65, "1:05", "1:05"),
        (7800, "2:10:00", "2:10:00"),
        (200_000, "2 d 7 h", "55:33:20"),
    ],
)
def test_duration(seconds: float | None, text: str, digits: str) -> None:
    assert (format.duration(seconds), format.clock(seconds)) == (text, digits)


def test_any_number_of_seconds_is_a_duration() -> None:
    assert format.duration(math.inf).endswith(" h") and format.ago(math.inf).endswith(" d ago")


@pytest.mark.parametrize(
    ("seconds", "text"), [(7, "7 s ago"), (-3, "0 s ago"), (95, "1 min ago"), (200_000, "2 d ago")]
)
def test_ago(seconds: float, text: str) -> None:
    assert format.ago(seconds) == text


def test_losses_are_rounded_for_their_place_and_none_is_made_up() -> None:
    assert [format.loss(3.21449, n) for n in (2, 3, 4)] == ["3.21", "3.214", "3.2145"]
    assert format.loss(123456.0) == "1.23e+05"
    assert format.loss(None) == format.loss(math.nan) == format.size(None) == format.rate(None)
    assert format.loss(math.inf, missing="not finite") == "not finite"


def test_throughput() -> None:
    assert [format.throughput(v) for v in (12345.6, 8.25)] == ["12,346 tok/s", "8.2 tok/s"]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 threads"), (1, "1 thread"), (1_000, "1,000 threads")]
)
def test_counted(number: int, text: str) -> None:
    assert format.counted(number, "thread") == text
