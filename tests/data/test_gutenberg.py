"""Books of Project Gutenberg: what is not the book is named, and what only mentions it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shakegpt.checkpoint.io import POCKET
from shakegpt.data import gutenberg
from shakegpt.data.dataset import Dataset
from shakegpt.data.sources import load_text
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.runlog.history import load
from shakegpt.session import finetune
from tests.commands import Commands
from tests.tiny import play, tiny_config

HEADER = "The Project Gutenberg eBook of Words\n\nTitle: Words\nAuthor: A Test\n\n"
START, END = (f"*** {kind} OF THE PROJECT GUTENBERG EBOOK WORDS ***\n" for kind in ("START", "END"))
TERMS = "".join(
    f"\n1.{n}. Terms made up for a test, which name Project Gutenberg as often as true\n"
    + "ones do, and go on for several lines about what nobody reads\n" * (20 - n % 20)
    for n in range(40)
)


def warnings(path: Path, *more: Path, val: Path | None = None) -> tuple[str, ...]:
    text = load_text([str(path), *map(str, more)])
    val_text = load_text([str(val)]) if val else None
    return Dataset(text, Tokenizer(POCKET), 16, 1, val_text=val_text).warnings


def percents(sentence: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+) %", sentence)]


def without(path: Path, sentence: str) -> str:
    """The lines of the file but for those that the sentence says to delete."""
    named = re.findall(r"(\d+)(?:-(\d+))?", sentence.partition("lines ")[2])
    deleted = {n for a, b in named for n in range(int(a), int(b or a) + 1)}
    lines = path.read_text("utf-8-sig").splitlines(keepends=True)
    return "".join(line for n, line in enumerate(lines, 1) if n not in deleted)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Short as a novella is: its licence is longer than a tenth of it."""
    path = tmp_path / "words.txt"
    path.write_text(HEADER + START + play(120) + END + TERMS, "utf-8")
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_lines_to_delete_leave_the_book(tmp_path: Path, newline: str, encoding: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(HEADER + START + play(120) + END + TERMS, encoding, newline=newline)
    (sentence,) = warnings(path)
    assert percents(sentence)[0] == 100 and "words.txt" in sentence
    assert load_text([str(path)]).content == HEADER + START + play(120) + END + TERMS
    path.write_text(path.read_text(encoding), "utf-8")
    path.write_text(without(path, sentence), "utf-8")
    assert path.read_text("utf-8") == play(120) and warnings(path) == ()


MARKS = {
    "of this": (HEADER + START.replace("THE", "THIS"), END.replace("THE", "THIS") + TERMS),
    "without a blank": (HEADER + START.replace("*** S", "***S"), END.replace("*** E", "***E")),
    "indented": (HEADER + "  " + START, "\t" + END + TERMS),
    "a long title": (
        HEADER + START.replace("WORDS", "WORDS,\nWORDS AND\nMORE WORDS"),
        END.replace("WORDS", "WORDS,\nWORDS AND\nMORE WORDS"),
    ),
    "End of": (HEADER + START, "End of Project Gutenberg's Words, by A Test\n\n" + END + TERMS),
    "End of the": (HEADER + START, "End of the Project Gutenberg EBook of Words\n" + END + TERMS),
    "copyrighted": (
        HEADER + START.replace("THE", "THE COPYRIGHTED"),
        END.replace("THE", "THE COPYRIGHTED") + TERMS,
    ),
    "the end of the book unmarked": (
        HEADER + START,
        "End of the Project Gutenberg EBook of Words\n\nTHE FULL PROJECT GUTENBERG LICENSE\n"
        + TERMS,
    ),
    "of the nineties": (
        HEADER + TERMS + "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n",
        "",
    ),
    "header only": (HEADER + START, ""),
    "licence only": ("", END + TERMS),
    "without a last line break": (HEADER + START, END + TERMS.strip()),
}


@pytest.mark.parametrize("marks", MARKS)
def test_its_marks_of_all_years(tmp_path: Path, marks: str) -> None:
    before, after = MARKS[marks]
    path = tmp_path / "a.txt"
    path.write_text(before + play(100) + after)
    (sentence,) = warnings(path)
    assert without(path, sentence) == play(100)


@pytest.mark.parametrize(
    "mention",
    [
        "I found this tale at Project Gutenberg, as one does.\n",
        "The file says *** END OF THE PROJECT GUTENBERG EBOOK *** somewhere.\n",
        '  "*** START OF THIS PROJECT GUTENBERG EBOOK",\n  "*** END OF THE PROJECT GUTENBERG",\n',
        "End of Project Gutenberg\nwas a rumour.\n",
        "GUTENBERG:\nMy press, my kingdom for a press!\n",
    ],
)
def test_a_mention_is_no_licence(tmp_path: Path, mention: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(mention + play(60) + mention + play(20, seed=1) + mention)
    assert warnings(path) == ()


def test_a_mark_in_a_long_text_is_not_worth_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(play(1000) + END + play(1000, seed=1))
    assert warnings(path) == ()


def test_books_in_one_file(tmp_path: Path) -> None:
    path, plays = tmp_path / "works.txt", [play(100, seed=n) for n in range(3)]
    path.write_text("\ufeff".join(HEADER + START + each + END + TERMS for each in plays))
    (sentence,) = warnings(path)
    assert percents(sentence)[0] == 100 and without(path, sentence) == "".join(plays)
    path.write_text("".join(HEADER + START + each + END for each in plays * 5))
    (sentence,) = warnings(path)
    assert "*** START OF" in sentence and "*** END OF" in sentence, "too many lines to list"


def test_a_licence_ends_where_a_book_without_header_begins(tmp_path: Path) -> None:
    path = tmp_path / "works.txt"
    path.write_text(play(100) + END + TERMS + play(100, seed=1))
    (sentence,) = warnings(path)
    left = without(path, sentence)
    assert left.startswith(play(100)) and left.endswith(play(100, seed=1))
    assert len(left) < len(play(100) + play(100, seed=1)) + 2000 and "validation" not in sentence


def test_several_files(book: Path, tmp_path: Path) -> None:
    clean, poem = tmp_path / "clean.txt", tmp_path / "poem.txt"
    clean.write_text(play(100, seed=3) + "Read at Project Gutenberg.\n")
    poem.write_text("A poem.\n")
    content = load_text([str(clean), str(book), str(poem)]).content
    added = [content[begin:end] for begin, end in gutenberg.places(content)]
    assert [part.strip() for part in added] == [(HEADER + START).strip(), (END + TERMS).strip()]
    (sentence,) = warnings(clean, book, poem)
    validation, training = percents(sentence)
    assert validation > 99 and 0.5 < training < 50 and "*** START OF" in sentence


def test_a_validation_text_of_its_own(book: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean.txt"
    clean.write_text(play(100))
    (of_training,) = warnings(book, val=clean)
    (of_validation,) = warnings(clean, val=book)
    both = warnings(book, val=book)
    assert "val loss" in of_validation and "val loss" not in of_training
    assert both == (of_training, of_validation)
    share = 100 * (1 - len(play(120)) / len(book.read_text()))
    assert percents(of_training) == percents(of_validation) == [pytest.approx(share, rel=0.01)]


def test_a_run_and_a_measurement_say_it(book: Path, tmp_path: Path, shakegpt: Commands) -> None:
    run = finetune(tiny_config(book, tmp_path / "run", max_iters=1))
    (said,) = [each.message for each in load(run)[0].warnings]
    assert (said,) == warnings(book)
    done = shakegpt("evaluate", str(run), cwd=tmp_path)
    assert done.code == 0 and said in done.err
    done = shakegpt(
        "evaluate", str(run), "--dataset", "words.txt", "--val-fraction", "1", cwd=tmp_path
    )
    assert done.code == 0 and "val loss is measured" in done.err and "Gutenberg" not in done.out
