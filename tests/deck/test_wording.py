"""Numbers as slides say them."""

from __future__ import annotations

import pytest

from shakegpt_figures import wording


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
def test_about(number: int, text: str) -> None:
    assert wording.about(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(812, "812"), (48_200, "48 thousand"), (999_700, "1.0 million"), (1_115_394, "1.1 million")],
)
def test_characters(number: int, text: str) -> None:
    assert wording.characters(number) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(3e-5, "3e-5"), (1e-3, "1e-3"), (1.5e-4, "1.5e-4"), (0.01, "1e-2"), (1.0, "1e0")],
)
def test_rate(rate: float, text: str) -> None:
    assert wording.rate(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 second"),
        (66, "66 seconds"),
        (89.6, "1 minute"),
        (100, "2 minutes"),
        (1860, "31 minutes"),
        (7560, "2.1 hours"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("nats", "text"),
    [(0.0, "1.0"), (3.66, "38.9"), (2.86, "17.5"), (8.3, "4,024"), (900, "countless")],
)
def test_perplexity(nats: float, text: str) -> None:
    assert wording.perplexity(nats) == text


@pytest.mark.parametrize(
    ("nats", "text"), [(0.0, "0.00"), (0.26, "0.26"), (0.004, "0.004"), (0.00012, "0.0001")]
)
def test_a_small_difference_does_not_look_like_none(nats: float, text: str) -> None:
    assert wording.difference(nats) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["A"], "A"),
        (["A", "B"], "A and B"),
        (["A", "B", "C"], "A, B and C"),
        (["A", "B", "C", "D", "E"], "A, B, C and 2 more"),
    ],
)
def test_listing(names: list[str], text: str) -> None:
    assert wording.listing(names) == text


def test_place() -> None:
    assert wording.place("cpu", 1) == "1 CPU thread"
    assert wording.place("cpu", 8) == "8 CPU threads"
    assert wording.place("cuda", 8) == "a GPU"
    assert wording.place("xpu", 8) == "xpu"
