"""Untrusted text: scripts are shown as they are written, and a terminal obeys nothing in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakegpt.sanitize import one_line, printable, sentence


@given(st.text())
def test_every_character_has_one_in_its_place_and_none_acts(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text) and printable(shown) == shown
    shown.encode("utf-8")
    assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert "\n" not in one_line(text) and "\n" not in sentence(text)


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",  # Persian: without its non-joiner another word
        "क्\u200dष",  # Hindi: a joiner keeps the half form
        "👩\u200d🔬 ❤\ufe0f",  # emoji: joined, and with a variation selector
        "שלום, العربية",
        "e\u0301 auf\u00adgabe ข้าว",
        "\u0600١٢٣",  # an Arabic number sign has a shape of its own
        "two\nlines",
    ],
)
def test_what_a_script_needs_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07\r\x08", "␛[2J␇␍␈"),
        ("\x7f\x9b0m\x85", "␡\ufffd0m\ufffd"),
        ("a\tb", "a b"),
        *((char, "\ufffd") for char in "\u202a\u202e\u2066\u2069\u200e\u200f\u061c"),
        *((char, "\ufffd") for char in "\u200b\u2060\ufeff\u2028\u2029\ud800\U000e0041"),
    ],
)
def test_what_acts_or_hides_is_made_visible(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_are_cut_to_their_width() -> None:
    assert one_line("a\n b\rc\x1b[2J") == "a↵ b␍c␛[2J"
    assert one_line("x" * 100, 10) == "x" * 9 + "…" and one_line("xy", 2) == "xy"
    assert sentence(" two\n  words ", 8) == "two wor…"
