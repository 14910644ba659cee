"""Texts in records: the field is chosen, or named in a sentence; each record is a document."""

from __future__ import annotations

import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from shakegpt.data.sources import load_text
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.errors import ShakegptError

ROWS: list[dict[str, Any]] = [
    {"id": "a1", "poem": "Shall I compare thee\nto a summer's day?", "year": 1609},
    {"id": "b2", "poem": 'Thou art "more" lovely, and; more', "year": 1609},
    {"id": "c3", "poem": "", "year": None},
    {"id": "d4", "poem": "春眠不覺曉，處處聞啼鳥。", "year": 700},
]
TEXTS = [row["poem"] for row in ROWS if row["poem"]]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    file = io.BytesIO()
    importlib.import_module("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


def csv(delimiter: str, ends: str = "\r\n") -> bytes:
    quoted = ['"' + row["poem"].replace('"', '""') + '"' for row in ROWS]
    lines = [
        delimiter.join((row["id"], q, str(row["year"])))
        for row, q in zip(ROWS, quoted, strict=True)
    ]
    return ends.join([delimiter.join(("id", "poem", "year")), *lines]).encode("utf-8-sig")


def tsv_without_quotes() -> bytes:
    rows = [f"{row['id']}\t{row['poem']}" for row in ROWS if "\n" not in row["poem"]]
    return "\n".join(["id\tpoem", *rows]).encode()


FILES = {
    "a.jsonl": lambda: "\n\n".join(json.dumps(row) for row in ROWS).encode(),
    "b.JSONL": lambda: "\r\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS).encode(
        "utf-16"
    ),
    "c.json": lambda: json.dumps(ROWS, indent=1).encode(),
    "d.json": lambda: json.dumps({"version": 1, "data": ROWS}).encode(),
    "e.json": lambda: "\n".join(json.dumps(row) for row in ROWS).encode(),
    "f.csv": lambda: csv(","),
    "g.csv": lambda: csv(";", "\n"),
    "h.tsv": lambda: csv("\t"),
    "i.parquet": lambda: parquet(ROWS),
    "k.csv": lambda: b"\xef\xbb\xbfsep=;\r\n" + csv(";").removeprefix(b"\xef\xbb\xbf"),
    "j.ndjson": lambda: "\n".join(json.dumps(row["poem"]) for row in ROWS).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_the_text_field_is_chosen(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name]())
    text = load_text([str(tmp_path / name)])
    assert text.content == "".join(one + END_OF_TEXT for one in TEXTS) and text.documents == 3
    assert any("4 records" in note for note in text.notes)
    if name != "j.ndjson":
        assert load_text([str(tmp_path / name)], text_field="id").content.startswith("a1")
        with pytest.raises(ShakegptError, match=r"id, poem, year"):
            load_text([str(tmp_path / name)], text_field="verse")


def test_quotation_marks_in_tsv_are_just_that(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(tsv_without_quotes())
    assert load_text([str(tmp_path / "a.tsv")]).content.startswith('Thou art "more" lovely')


def test_a_file_without_an_ending_is_read_by_its_field(tmp_path: Path) -> None:
    for name in ("a", "a.txt"):
        (tmp_path / name).write_bytes(FILES["a.jsonl"]())
        assert load_text([str(tmp_path / name)], text_field="poem").documents == 3
        assert "--text-field" in load_text([str(tmp_path / name)]).notes[0], (
            "it is learned as it is"
        )
    (tmp_path / "b").write_bytes(FILES["f.csv"]())
    assert load_text([str(tmp_path / "b")], text_field="poem").documents == 3


PROSE = "To be, or not to be, that is the question."
REFUSED: dict[str, tuple[str, str]] = {
    "several.jsonl": (json.dumps({"prompt": PROSE, "answer": PROSE}), "prompt, answer"),
    "none.jsonl": ('{"a": 1}', "has no field that holds a text"),
    "broken.jsonl": ('{"text": "a"}\n{"text": "b"', "line 2"),
    "number.jsonl": ('{"text": "a"}\n7', "line 2"),
    "list.jsonl": ('{"text": "a"}\n{"text": ["b"]}', "record 2"),
    "surrogate.jsonl": ('{"text": "\\ud800"}', "line 1"),
    "deep.json": ("[" * 100_000, "deep.json"),
    "empty.csv": ("text\n", "no records"),
    "ragged.csv": (f"n,text\n1,{PROSE}", "line 2 has 4 fields"),
    "headless.csv": (f'1,"{PROSE}"\n2,"{PROSE}"', "no line of column names"),
    "nested.jsonl": (json.dumps({"meta": {"text": PROSE}}), "--text-field meta.text"),
    "quote.csv": ('text,n\n"a,1\nb,2\n', "line"),
    "torn.parquet": ("PAR1", "Parquet"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    content, words = REFUSED[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(ShakegptError, match=words) as refused:
        load_text([str(tmp_path / name)])
    assert name in str(refused.value) and refused.value.exit_code == 2


def test_a_field_called_text_goes_first(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"title": PROSE, "text": PROSE + "!"}))
    assert load_text([str(tmp_path / "a.jsonl")]).content == PROSE + "!"


def test_a_field_inside_another(tmp_path: Path) -> None:
    rows = [{"meta": {"text": PROSE}}, {"meta": None}, {"meta.text": "O"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = load_text([str(tmp_path / "a.jsonl")], text_field="meta.text")
    assert text.content == f"{PROSE}{END_OF_TEXT}O{END_OF_TEXT}"
    assert "1 of them without" in text.notes[0]


def test_without_pyarrow_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ShakegptError, match="pip install"):
        load_text([str(tmp_path / "a.parquet")])


def test_a_field_for_no_records_is_said_to_be_unused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("plain")
    assert "--text-field" in load_text([str(tmp_path / "a.txt")], text_field="x").notes[0]
