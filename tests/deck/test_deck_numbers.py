"""Numbers as slides say them."""

from __future__ import annotations

import pytest

from shakegpt_figures import numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [(812, "812"), (48_200, "48 thousand"), (999_700, "1.0 million"), (1_115_394, "1.1 million")],
)
def test_characters(number: int, text: str) -> None:
    assert numbers.characters(number) == text


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
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("nats", "text"),
    [(0.0, "1.0"), (3.66, "39"), (2.2, "9.0"), (8.3, "4,024"), (900, "countless")],
)
def test_perplexity(nats: float, text: str) -> None:
    assert numbers.perplexity(nats) == text


@pytest.mark.parametrize(
    ("nats", "text"), [(0.0, "0.00"), (0.26, "0.26"), (0.004, "0.004"), (0.00012, "0.0001")]
)
def test_a_small_difference_does_not_look_like_none(nats: float, text: str) -> None:
    assert numbers.difference(nats) == text


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
    assert numbers.listing(names) == text


def test_place() -> None:
    assert numbers.place("cpu", 1) == "1 CPU thread"
    assert numbers.place("cpu", 8) == "8 CPU threads"
    assert numbers.place("cuda", 8) == "a GPU"
    assert numbers.place("xpu", 8) == "xpu"
