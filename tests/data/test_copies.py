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
