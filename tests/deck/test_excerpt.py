"""What of a sample fits on a slide, and where it is cut."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from shakegpt_figures.excerpt import Line, clean, excerpt, lines, speakers
from tests.deck.made import HOSTILE, VERSES


def shown(text: str, rows: int = 10, columns: int = 64) -> list[str]:
    return [line.text for line in excerpt(text, rows, columns)[0]]


def test_a_name_with_a_colon_opens_a_speech() -> None:
    found = lines("ROMEO:\nSoft!\n\nFirst Citizen:\nSpeak: we listen.\n\nO: no name\nKATE: yes")
    assert speakers(found) == ("ROMEO", "First Citizen", "O")
    assert Line(text="Speak: we listen.", speaker=False) in found
    assert Line(text="KATE: yes", speaker=False) in found  # inside a speech: nobody new speaks


def test_words_after_the_name_stay() -> None:
    found = lines("ROMEO: You must be cold.")
    assert [line.text for line in found] == ["ROMEO", "You must be cold."]
    assert lines("My lord: come here.") == [Line(text="My lord: come here.", speaker=False)]


def test_a_blank_line_under_a_name_is_no_end_of_a_speech() -> None:
    text = "A:\none.\n\nB:\n\ntwo\nthree\nfour.\nfive\nsix"
    assert [line.text for line in lines(text)][:5] == ["A", "one.", "", "B", "two"]
    assert shown(text, rows=7)[-1] == "four."
    assert speakers(lines("A:\n\nB:\n\nsoft")) == ("A", "B")


def test_all_of_a_short_sample_is_shown() -> None:
    assert excerpt("ROMEO:\nSoft!\n") == (tuple(lines("ROMEO:\nSoft!")), False)


def test_the_cut_falls_between_speeches_when_one_ends_late_enough() -> None:
    assert shown("ROMEO:" + VERSES, rows=8)[-1] == "What says the duke?"
    assert excerpt("ROMEO:" + VERSES, rows=8)[1]


def test_the_cut_falls_after_a_late_sentence_rather_than_an_early_speech() -> None:
    text = "A:\none\ntwo\nthree\n\nB:\nfour.\nfive,\nsix and\nseven"
    assert shown(text, rows=8)[-1] == "four."
    assert shown(text.replace("four.", "four"), rows=8)[-1] == "three"


def test_the_cut_falls_after_a_sentence_when_the_speech_is_long() -> None:
    speech = "NURSE:\n" + "\n".join(["One line that goes", "on to here."] * 6)
    assert shown(speech, rows=8)[-1] == "on to here."


def test_a_speech_without_an_end_is_cut_between_words() -> None:
    text, cut = excerpt("NURSE:\n" + "and " * 400, rows=3, columns=20)
    assert cut
    assert [line.text for line in text] == ["NURSE", " ".join(["and"] * 15)]


def test_a_word_without_an_end_is_cut_where_the_room_ends() -> None:
    assert shown("x" * 1000, rows=2, columns=10) == ["x" * 20]
    assert shown("漢" * 1000, rows=2, columns=10) == ["漢" * 10]
    assert shown("W" * 1000, rows=2, columns=15) == ["W" * 20]


def test_what_hides_or_reorders_text_is_left_out() -> None:
    assert clean("a\u202eb\x1b[31mc\rd\u2028e\n\n\n\n\nf") == "ab[31mc\nd\ne\n\nf"
    assert "\u202e" not in "".join(line.text for line in lines(HOSTILE))


def test_markup_stays_as_it_is() -> None:
    assert shown(HOSTILE)[0].startswith("<script>document.title = 'taken'</script>{{ 7 * 6 }}")


@given(st.text(max_size=400), st.integers(1, 12), st.integers(1, 70))
def test_any_text_fits_and_is_its_own_beginning(text: str, rows: int, columns: int) -> None:
    found, cut = excerpt(text, rows, columns)
    words = [line.text for line in found if not line.speaker]
    for line in words:
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in line)
    whole = clean(text).replace("\n", "").replace(" ", "").replace(":", "")
    short = "".join(line.text for line in found).replace(" ", "").replace(":", "")
    assert whole.startswith(short) if not cut else short in whole
    assert cut or short == whole


@given(st.text(st.sampled_from("Aa :\n.漢"), max_size=200))
def test_an_excerpt_needs_no_more_rows_than_there_are(text: str) -> None:
    found, _ = excerpt(text, rows=6, columns=8)
    widths = [sum(2 if c == "漢" else 1 for c in line.text) for line in found if not line.speaker]
    assert sum(-(-width // 8) or 0.5 for width in widths) <= 6
