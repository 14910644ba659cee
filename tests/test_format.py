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
    [(3e-5, "3e-5"), (1e-3, "1e-3"), (1.5e-4, "1.5e-4"), (0.01, "1e-2"), (1.0, "1e0")],
)
def test_rate(rate: float, text: str) -> None:
    assert format.rate(rate) == text


def test_any_number_of_seconds_is_a_duration() -> None:
    assert format.duration(65) == "1:05"
    assert format.duration(math.inf).endswith(":40")
