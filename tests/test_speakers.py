"""Who speaks: the same rule for a text, a claim and a slide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakegpt.data.speakers import invented, speakers
from shakegpt_figures import excerpt


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ROMEO: You're high.\n\nLORIUS:\nI pray", ("ROMEO", "LORIUS")),
        ("ROMEO:\nHear me:\nnow", ("ROMEO",)),
        ("ROMEO:\nO\n\nHark you: go\n\nFirst Lord:\nAy", ("ROMEO", "First Lord")),
        ("MANTRE:\n\nI am so sorry:\nO\n\nAll the Goths:\nAy", ("MANTRE", "All the Goths")),
        ("ROMEO:\nO\nDINS:\nAs I:\nI:\nKATE: yes", ("ROMEO", "DINS")),
        ("no play at all", ()),
        ("\n\nROMEO:\nO", ("ROMEO",)),
        ("", ()),
    ],
)
def test_who_speaks(text: str, names: tuple[str, ...]) -> None:
    assert speakers(text) == names


@given(st.text(st.sampled_from("ROab :.\n'"), max_size=60))
def test_slides_and_claims_find_the_same_names(text: str) -> None:
    shown = excerpt.lines(text)
    assert excerpt.speakers(shown) == speakers(excerpt.clean(text))


def test_an_invented_speaker_is_one_that_the_text_lacks_in_any_spelling() -> None:
    assert invented(["Romeo", "LORIUS"], ["ROMEO", "Juliet"]) == ["LORIUS"]
