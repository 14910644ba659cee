"""Texts in records: a field of JSON Lines, JSON, CSV, TSV or Parquet, a document each."""

from __future__ import annotations

import csv
import importlib
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.format import listing

Row = dict[str, Any]
_LOOKED_AT = 200
"""Rows from which the text field is chosen, and the fields in an error message are taken."""
_MOST_FIELDS = 12
"""Fields in an error message."""
_ONLY = ""
"""The field of a record that is itself a text, as in a JSON array of strings."""


def documents(
    source: str | bytes, kind: str, name: str, field: str | None
) -> tuple[list[str], str]:
    """The texts in the records of `source`, and a sentence on what was read.

    `kind` is one of `folders.RECORDS`; Parquet is passed as bytes, all else decoded. With None as
    `field`, the one named text, or the only one with prose, is used. Raises ShakegptError for
    invalid files, with the line, and for a missing field or one without text, with all fields.
    """
    if isinstance(source, bytes):
        rows = _parquet_rows(source, name, field)
    elif kind in (".csv", ".tsv"):
        rows = _csv_rows(source, kind, name)
    else:
        rows = _json_rows(source, kind, name)
    first = list(islice(rows, _LOOKED_AT))
    if not first:
        raise ShakegptError(f"{name} holds no records: give a file with a text in each")
    field = _text_field(first, name, field)
    texts, without = list[str](), 0
    for number, row in enumerate(chain(first, rows), 1):
        text = _value(row, field)
        if isinstance(text, str) and text.strip():
            texts.append(text)
        elif text is None or isinstance(text, str):
            without += 1
        else:
            raise ShakegptError(
                f"{name}: {field!r} of record {number:,} is {_kind(text)}, not a text: name "
                f"another field with --text-field, of {listing(row, _MOST_FIELDS)}"
            )
    source_field = f"the text is {field!r}" if field != _ONLY else "a text each"
    missing = f"; {without:,} of them without text" if without else ""
    return texts, f"{name}: {len(texts) + without:,} records, {source_field}{missing}"


def _value(row: Row, field: str) -> Any:
    """The value of a field; a.b is b in a, unless there is a field a.b. None if absent."""
    if field in row or "." not in field:
        return row.get(field)
    outer, _, inner = field.partition(".")
    within = row.get(outer)
    return _value(within, inner) if isinstance(within, dict) else None


def looks_like_json(text: str) -> bool:
    """Whether a text looks like JSON records."""
    return text[:1000].lstrip().startswith(('{"', "{ ", '["', "[{", "[\n"))


def _text_field(rows: Sequence[Row], name: str, field: str | None) -> str:
    names = list(dict.fromkeys(key for row in rows for key in row))
    if field is not None:
        if field in names or any(_value(row, field) is not None for row in rows):
            return field
        fields = listing(names, _MOST_FIELDS)
        raise ShakegptError(f"{name} has no field {field!r}: --text-field takes {fields}")
    values = {key: [row[key] for row in rows if isinstance(row.get(key), str)] for key in names}
    strings = [key for key in names if any(map(str.strip, values[key]))]
    prose = [key for key in strings if _is_prose(values[key])]
    for candidates in (["text"] if "text" in strings else [], strings, prose):
        if len(candidates) == 1:
            return candidates[0]
    fields = listing(names, _MOST_FIELDS)
    if not strings:
        nested = next(
            (f"{key}.{k}" for row in rows for key, v in row.items() if isinstance(v, dict)
             for k in v if isinstance(v[k], str)), None,
        )  # fmt: skip
        hint = f"; one inside another is named as in --text-field {nested}" if nested else ""
        raise ShakegptError(f"{name} has no field that holds a text, only {fields}{hint}")
    raise ShakegptError(
        f"{name} has several fields, {fields}: say which holds the text, as in "
        f"--text-field {(prose or strings)[0]}"
    )


def _is_prose(values: list[str]) -> bool:
    """Whether most values have several words, or are long in a script without spaces."""
    full = [value for value in values if value.strip()]
    prose = [v for v in full if len(v.split()) > 2 or (len(v) > 9 and not v.isascii())]
    return len(prose) > len(full) / 2


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "a truth value"}
    return names.get(type(value), "a number")


def _json_rows(text: str, kind: str, name: str) -> Iterator[Row]:
    if kind == ".json":
        try:
            whole = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            whole = None  # JSON Lines under a name of JSON
        if isinstance(whole, dict):  # {"data": [...]}, as written by some libraries
            lists = [value for value in whole.values() if isinstance(value, list) and value]
            whole = lists[0] if len(lists) == 1 else [whole]
        if isinstance(whole, list):
            return (_row(value, name, f"record {n:,}") for n, value in enumerate(whole, 1))
    return _json_lines(text, name)


def _json_lines(text: str, name: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ShakegptError(
                f"{name}: line {number:,} is not JSON ({error}): JSON Lines have a whole record in "
                "each line"
            ) from None
        yield _row(value, name, f"line {number:,}")


def _row(value: object, name: str, where: str) -> Row:
    if isinstance(value, str):
        return {_ONLY: value}
    if isinstance(value, dict):
        return value
    raise ShakegptError(f"{name}: {where} is {_kind(value)}, not a record with fields")


def _csv_rows(text: str, kind: str, name: str) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    head, _, after = text[: 1 << 16].lstrip("\n").partition("\n")
    if declared := re.fullmatch(r"sep=(.)", head.strip('" ')):  # a line of Excel
        text, head = text.lstrip("\n")[len(head) + 1 :], after.partition("\n")[0]
    delimiter = declared[1] if declared else max(",;\t|", key=head.count)
    delimiter = "\t" if kind == ".tsv" else delimiter
    if kind == ".tsv" and not _is_quoted(text):
        table = csv.reader(_lines(text), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        table = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    try:
        names = next(([*map(str.strip, row)] for row in table if any(map(str.strip, row))), [])
        if not _is_header(names):
            raise ShakegptError(
                f"{name} has no line of column names: its first line is a record ({names[0][:40]}"
                "…); put one before it, as id,text"
            )
        for row in table:
            if any(map(str.strip, row[len(names) :])):
                raise ShakegptError(
                    f"{name}: line {table.line_num:,} has {len(row)} fields and the first line "
                    f"{len(names)}: a text with {delimiter!r} in it must stand in quotation marks"
                )
            if row:
                yield dict(zip(names, row, strict=False))
    except csv.Error as error:
        raise ShakegptError(
            f"{name}: line {table.line_num:,} is not CSV ({error}): a quotation mark may be "
            "missing, or stand inside a field without being doubled"
        ) from None


def _is_header(names: list[str]) -> bool:
    """Whether the first row can be column names: short, and none of them a number."""
    numbers = [name for name in names if re.fullmatch(r"[-+]?\d+([.,]\d+)?", name)]
    return not numbers and all(len(name.split()) <= 4 for name in names)


def _is_quoted(text: str) -> bool:
    """Whether TSV quotes its fields as CSV does; in most TSV a quotation mark is a character."""
    try:
        return all(csv.reader(_lines(text), "excel-tab", strict=True))
    except csv.Error:
        return False


def _lines(text: str) -> Iterator[str]:
    """The lines of `text` with their ends, one at a time: a list would double the memory."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _parquet_rows(data: bytes, name: str, field: str | None) -> Iterator[Row]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ShakegptError(
            f"{name} is Parquet, which needs the package pyarrow: run `pip install "
            "'shakegpt[parquet]'`, or give the text as JSON Lines"
        ) from None
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        first = next(file.iter_batches(_LOOKED_AT), None)
        rows = first.to_pylist() if first is not None else []
        if not rows:
            return
        column = _text_field(rows, name, field)
        for batch in file.iter_batches(columns=[column]):
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise ShakegptError(
            f"{name} cannot be read as Parquet: {error}; copy or download it again"
        ) from None
