"""The measure of how well a model writes plays, on texts where the answer is plain."""

from __future__ import annotations

from tests.bench.quality import quality, vocabulary

KNOWN = vocabulary("What light? 'Tis o'er; the king is, to be sure, come.\nI am the Queen")


def test_words_are_counted_outside_speaker_lines_and_the_cut_one() -> None:
    sample = "ROMEO:\nWhat light 'tis!\n\nFACASTONRVINA:\nThe kinge is o\u2019er, 20 -- '\nto b"
    found = quality([sample], KNOWN)
    assert found.words == 7
    assert found.unknown == ("kinge",)
    assert round(found.known_percent, 1) == 85.7


def test_a_speaker_should_be_followed_by_speech() -> None:
    spoken = "ROMEO:\nWhat?\n\nJULIET:\nThe king.\n\nFirst Lord:\n\nKING:\nQUEEN:\nI am.\nlight\n"
    found = quality([spoken], KNOWN)
    assert (found.speaker_lines, found.spoken) == (4, 2)  # not First Lord, not KING
    assert found.spoken_percent == 50
    assert quality(["ROMEO:\nWhat?\nThe king.\n"], KNOWN).speaker_lines == 0


def test_rare_words_of_a_large_text_are_not_known() -> None:
    assert vocabulary("one two one Two one three", often=2) == {"one", "two"}
