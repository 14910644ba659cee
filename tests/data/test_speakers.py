"""Who speaks: the same rule for a text, a claim and a slide, in any script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakegpt.data.speakers import invented, speakers
from shakegpt_figures import excerpt

CASES: list[tuple[str, tuple[str, ...]]] = [
    ("ROMEO: You're high.\n\nLORIUS:\nI pray", ("ROMEO", "LORIUS")),
    ("ROMEO:\nHear me:\nnow", ("ROMEO",)),
    ("ROMEO:\nO\n\nHark you: go\n\nFirst Lord:\nAy", ("ROMEO", "First Lord")),
    ("MANTRE:\n\nI am so sorry:\nO\n\nAll the Goths:\nAy", ("MANTRE", "All the Goths")),
    ("ROMEO:\nO\nDINS:\nAs I:\nI:\nKATE: yes", ("ROMEO", "DINS")),
    ("no play at all", ()),
    ("\n\nROMEO:\nO", ("ROMEO",)),
    ("", ()),
    # Latin letters beyond ASCII, other alphabets with capitals
    ("KÖNIG:\nNein.\n\nGRÄFIN VON O’HARA: Doch.", ("KÖNIG", "GRÄFIN VON O’HARA")),
    ("Der König:\nJa.\n\nHier ist es:\nnein", ("Der König",)),
    ("РОМЕО:\nО\n\nДжульетта:\nДа\n\nон сказал:\nнет", ("РОМЕО", "Джульетта")),
    ("ΡΩΜΑΙΟΣ:\nΝαι.\n\nΙουλιέτα:\nΌχι", ("ΡΩΜΑΙΟΣ", "Ιουλιέτα")),
    # scripts without capitals
    ("罗密欧：\n啊！\n\n朱丽叶：\n嗯。", ("罗密欧", "朱丽叶")),
    ("罗密欧：轻声！\n朱丽叶：唉！\n罗密欧：她说话了。", ("罗密欧", "朱丽叶")),
    ("روميو:\nآه\n\nجولييت: نعم", ("روميو", "جولييت")),
    ("رومئو:\nآه\n\nمی\u200cرا:\nبله", ("رومئو", "می\u200cرا")),
    ("रोमियो:\nओह\n\nजूलियट:\nहाँ", ("रोमियो", "जूलियट")),
    ("ロミオ：\nああ\n\nジュリエット：\nはい", ("ロミオ", "ジュリエット")),
    ("רומיאו:\nאה\n\nיוליה:\nכן", ("רומיאו", "יוליה")),
    ("რომეო:\nო\n\nჯულიეტა:\nკი", ("რომეო", "ჯულიეტა")),
    # prose in them is prose
    ("他走进来，看了看四周，然后慢慢地说：“你好。”\n她说：“再见。”", ()),
    ("قال الرجل الذي كان يجلس في زاوية المقهى القديم كل صباح: نعم", ()),
    # a period after capitals, as many printed plays have it; headings are nobody
    ("HAMLET.\nTo be.\n\nKÖNIGIN.\nAch.\n\nAmen.\nSo.", ("HAMLET", "KÖNIGIN")),
    ("ACT I.\n\nSCENE II.\nA hall.\n\nTHE END.\n\nHAMLET.\nO", ("HAMLET",)),
    ("ГАМЛЕТ.\nБыть.\n\nАКТ I.\n\nДа.\nНет", ("ГАМЛЕТ",)),
    ("GUARD 2:\nHalt.\n\n士兵1：\n站住", ("GUARD 2", "士兵1")),
]


@pytest.mark.parametrize(("text", "names"), CASES)
def test_who_speaks(text: str, names: tuple[str, ...]) -> None:
    assert speakers(text) == names
    assert speakers(text.replace("\n", "\r\n")) == names, "with the line ends of Windows too"


@given(st.text(st.sampled_from("ROab :.\n'Éя罗：“”1"), max_size=60))
def test_slides_and_claims_find_the_same_names(text: str) -> None:
    shown = excerpt.lines(text)
    assert excerpt.speakers(shown) == speakers(excerpt.clean(text))


def test_an_invented_speaker_is_one_that_the_text_lacks_in_any_spelling() -> None:
    assert invented(["Romeo", "LORIUS"], ["ROMEO", "Juliet"]) == ["LORIUS"]
