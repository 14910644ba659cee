"""Copied or invented: passages of a sample that stand in the text."""

from __future__ import annotations

import random
import re
import tracemalloc
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shakegpt.cli.copied import finder, lines
from shakegpt.data.copies import SHORTEST, CopyFinder
from shakegpt.session import finetune
from tests.commands import Commands
from tests.tiny import play, tiny_config

TEXT = "ROMEO:\nBut soft, what light through yonder window breaks?\nIt is the east, and Juliet is"


def passages(sample: str, text: str = TEXT) -> list[str]:
    return [" ".join(sample[c.begin : c.end].split()) for c in CopyFinder(text).copies(sample)]


def test_passages_are_found_across_line_breaks_and_named_where_they_stand() -> None:
    sample = "He said: what light\nthrough yonder window was it; the east, and Juliet was"
    assert passages(sample) == ["what light through yonder window", "the east, and Juliet"]
    first = CopyFinder(TEXT).copies(sample)[0]
    assert first.words == 5 and TEXT[first.source :].startswith("what light through")
    assert sample[first.begin : first.end] == "what light\nthrough yonder window"


def test_the_index_of_a_text_takes_little_more_memory_than_the_text() -> None:
    text = play() * (200_000 // len(play()) + 1)
    tracemalloc.start()
    index = CopyFinder(text)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 4 * len(text), "the estimate of a run's memory counts on it"
    assert index.copies(TEXT) == CopyFinder(text).copies(TEXT)


def test_whole_words_only_and_short_passages_do_not_count() -> None:
    assert passages("hat light through yonder win") == []
    assert passages("what light through") == []
    assert passages("") == [] and passages("anything at all here", "") == []
    assert CopyFinder(TEXT).copies(TEXT)[0].words == len(TEXT.split())


def test_chinese_and_japanese_have_no_spaces_between_words() -> None:
    """Two characters count as a word, and where lines break does not matter."""
    poem = "诗:\n春眠不觉晓,处处闻啼鸟。\n夜来风雨声,花落知多少。用Python 3写"
    sample = "他说,处处闻\n啼鸟。夜来风雨声;我用Python 3写"
    (copy,) = CopyFinder(poem).copies(sample)
    assert sample[copy.begin : copy.end] == ",处处闻\n啼鸟。夜来风雨声" and copy.words == 5
    assert poem[copy.source :].startswith(",处处闻啼鸟")
    assert passages("花落知多", poem) == []  # as much as two words
    cat = "吾輩は猫である。名前はまだ無い。"
    assert passages("実は吾輩は猫である。名前がある", cat) == ["吾輩は猫である。名前"]


def test_signs_are_no_words() -> None:
    assert passages("* * * * * | ---", "a\n* * * * *\n| --- |") == []
    assert passages("* to be, -- or not", "* to be, -- or not") == ["* to be, -- or not"]
    assert CopyFinder("* to be, -- or not").copies("* to be, -- or not")[0].words == 4


def test_documents_end_where_they_end() -> None:
    """Their first and last words are words, and no passage goes on into the next document."""
    text = "What light through yonder window?<|endoftext|>It is the east, and<|endoftext|>"
    assert passages("So: what light through yonder window?", text) == [
        "light through yonder window?"
    ]
    assert passages("It is the east, and Juliet", text) == ["It is the east, and"]
    assert passages("through yonder window? It is the", text) == []
    (copy,) = CopyFinder(text).copies("It is the east, and")
    assert text[copy.source :].startswith("It is")


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=40)


@given(WORDS, WORDS)
def test_equal_to_the_slow_definition(text: list[str], sample: list[str]) -> None:
    """Every maximal run of words that stands in the text, by trying all of them."""
    runs = {tuple(text[i:j]) for i in range(len(text)) for j in range(i + SHORTEST, len(text) + 1)}
    spans = [
        (i, j)
        for i in range(len(sample))
        for j in range(i + SHORTEST, len(sample) + 1)
        if tuple(sample[i:j]) in runs
    ]
    maximal = [
        (i, j)
        for i, j in spans
        if not any(a <= i and j <= b and (a, b) != (i, j) for a, b in spans)
    ]
    joined = " ".join(sample)
    expected = [" ".join(sample[i:j]) for i, j in sorted(maximal)]
    assert passages(joined, "\n".join(text)) == expected


def test_a_long_text() -> None:
    draw = random.Random(1)
    words = [f"w{draw.randrange(20_000)}" for _ in range(300_000)]
    sample = [*words[200_000:200_012], "new", *words[5:12]]
    found = CopyFinder(" ".join(words)).copies(" ".join(sample))
    assert [copy.words for copy in found] == [12, 7]
    assert re.match(r"\S+", " ".join(words)[found[0].source :])[0] == words[200_000]  # type: ignore[index]


def test_a_sample_of_a_run_is_compared_with_its_training_text(
    shakegpt: Commands, tmp_path: Path
) -> None:
    path = tmp_path / "play.txt"
    path.write_text(play(), "utf-8")
    run = finetune(tiny_config(path, tmp_path / "run", max_iters=1, eval_interval=1))
    words = ["sample", "run", "--max-new-tokens", "20", "--threads", "1"]
    done = shakegpt(*words, "--copies", "on", cwd=tmp_path)
    assert done.code == 0 and "training text" in done.err and "training text" not in done.out
    assert not shakegpt(*words, cwd=tmp_path).err  # nobody sits at this terminal
    text = path.read_text("utf-8")
    learned, held_out = text[:200].split("\n", 1)[1], text[-200:-100]
    first, *rest = lines(finder(str(run)), "Well, " + learned)
    assert int(re.findall(r"\d+", first)[0]) == len(learned.split()) - 1 and len(rest) == 1
    assert "training text" in next(lines(finder(str(run)), held_out))
    path.write_text(play(seed=3), "utf-8")
    assert "has changed" in shakegpt(*words, "--copies", "on", cwd=tmp_path).sentence
    path.unlink()
    assert shakegpt(*words, "--copies", "on", cwd=tmp_path).sentence
    assert shakegpt("sample", "pocket", "--copies", "on", cwd=tmp_path).sentence
