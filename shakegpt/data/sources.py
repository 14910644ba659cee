"""Sources of text: the plays, tinyshakespeare, files, directories, records, a pipe.

The result is one `Text` with the sha256 of its UTF-8 bytes, by which a run that is resumed
recognizes its text.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shakegpt.data import plays, records
from shakegpt.data.decoding import UTF8, decode, decompress, normalize_newlines, read_text_bytes
from shakegpt.data.folders import PLAIN, RECORDS, kind_of, text_files
from shakegpt.data.speakers import speakers
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.data.tinyshakespeare import tinyshakespeare
from shakegpt.errors import ShakegptError

BUILT_IN = ("plays", "tinyshakespeare")
STDIN = "-"
_MOST_NOTES = 8
_MARKUP = re.compile(r"\s*<(!doctype|html|\?xml|tei|body|head)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Text:
    """A text to learn, with its record in the log."""

    name: str
    content: str
    sha256: str
    documents: int = 1
    notes: tuple[str, ...] = ()
    """Assumptions made while reading it, and the files of directories: sentences for the user."""

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Its speakers in alphabetical order; () for prose."""
        return tuple(sorted(speakers(self.content)))


def load_text(
    names: Iterable[str], text_field: str | None = None, separate_documents: bool = True
) -> Text:
    """The texts `names`, in which each file or record is a document.

    Each of several documents ends with `END_OF_TEXT`, or without `separate_documents` is joined to
    the next by a blank line; a single one is used unchanged. `text_field` is the field of records
    that holds the text. Raises ShakegptError for what cannot be read.
    """
    names, reader = list(names), _Reader(text_field)
    for name, times in Counter(resolve(names)).items():
        reader.read(name)
        if times > 1:
            reader.notes.append(f"{name} was named {times} times, and is read once")
    parts = [part for part in reader.documents if part and not part.isspace()]
    if not parts:
        source = "standard input" if names == [STDIN] else " ".join(names)
        raise ShakegptError(f"{source} is empty: give a text with words in it")
    if len(parts) == 1:
        content = parts[0]
    elif separate_documents:
        content = "".join(part.strip("\n") + END_OF_TEXT for part in parts)
    else:
        content = "\n\n".join(part.strip("\n") for part in parts)
    digest = hashlib.sha256()
    for start in range(0, len(content), 1 << 24):
        digest.update(content[start : start + (1 << 24)].encode("utf-8"))
    short = " ".join(Path(name).name or name for name in names)
    return Text(short, content, digest.hexdigest(), len(parts), tuple(reader.all_notes()))


def require(names: Iterable[str], text_field: str | None = None) -> None:
    """Raise ShakegptError for what `load_text` cannot read; a pipe is not read."""
    sources = resolve(names)
    if sources == ["plays"]:
        plays.files()
    elif sources and not any(map(is_pipe, sources)):
        load_text(sources, text_field)


def is_pipe(name: str) -> bool:
    """Whether a text of this name can be read only once."""
    path = Path(name)
    with suppress(OSError):  # a name too long for a path is an error when it is read
        return name == STDIN or (path.exists() and not path.is_file() and not path.is_dir())
    return False


def resolve(names: Iterable[str]) -> list[str]:
    """The sources of `names`, files by their full path.

    A name that does not exist may be a comma-separated list, a pattern such as poems/*.txt, or
    begin with ~ for the home directory. Raises ShakegptError for a URL.
    """
    return [source for name in names for source in _sources_of(name)]


def _sources_of(name: str) -> list[str]:
    if name == STDIN or name in BUILT_IN:
        return [name]
    if _exists(name):
        return [str(Path(name).absolute())]
    home = os.path.expanduser(name)  # noqa: PTH111 - Path raises without a home
    if home != name and _exists(home):
        return [str(Path(home).absolute())]
    if re.match(r"(https?|ftp|s3|hf)://", name):
        raise ShakegptError(
            f"{name} is on the network: download it first, for example with `curl -LO`, "
            "and give the file"
        )
    if name.startswith("file://"):
        return _sources_of(unquote(urlsplit(name).path))
    parts = [part.strip() for part in name.split(",") if part.strip()]
    if len(parts) > 1:
        return resolve(parts)
    if matches := sorted(glob.glob(home, recursive=True)):  # noqa: PTH207 - absolute patterns too
        return [str(Path(match).absolute()) for match in matches]
    return [str(Path(home).absolute())]  # reading it raises


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # longer than a path can be
        return False


class _Reader:
    """Reads sources one after the other, and collects their documents and notes."""

    def __init__(self, text_field: str | None) -> None:
        self.documents = list[str]()
        self.notes = list[str]()
        self._has_records = False
        self._text_field = text_field
        self._encodings = dict[str, list[str]]()

    def all_notes(self) -> list[str]:
        """What was read and assumed, a sentence each."""
        for encoding, (first, *others) in self._encodings.items():
            files = f"{first} and {len(others):,} more files were" if others else f"{first} was"
            check = "; if that is not its encoding, convert it with `iconv -f ENCODING -t utf-8`"
            check = "" if encoding.startswith("UTF") else check
            self.notes.append(f"{files} read as {encoding}{check}")
        if self._text_field is not None and not self._has_records:
            self.notes.append(f"--text-field {self._text_field} was not used: there are no records")
        hidden = len(self.notes) - _MOST_NOTES
        more = [f"and {hidden:,} more such notes"] if hidden > 0 else []
        return self.notes[:_MOST_NOTES] + more

    def read(self, name: str) -> None:
        """Add the documents of one source."""
        if name in BUILT_IN:
            self.documents.append(plays.plays() if name == "plays" else tinyshakespeare())
            if _exists(name):
                self.notes.append(
                    f"{name} is the text that comes with shakegpt, not the file or directory "
                    f"of that name here: for this one type --dataset ./{name}"
                )
        elif _exists(name) and Path(name).is_dir():
            files, note = text_files(Path(name), records=self._text_field is not None)
            self.notes.append(note)
            for file in files:
                self._add(str(file))
        else:
            self._add(name)

    def _add(self, source: str) -> None:
        """Add the documents of one file or pipe."""
        name = "standard input" if source == STDIN else source
        data = decompress(_read(source), name)
        kind, short = kind_of(source), Path(name).name
        if kind == ".parquet" or data.startswith(b"PAR1"):
            self._add_records(data, ".parquet", short)
            return
        text, encoding = decode(data, name)
        del data  # as large as the text
        if encoding != UTF8:
            self._encodings.setdefault(encoding, []).append(short)
        if self._text_field is not None and kind not in RECORDS:
            if records.looks_like_json(text):
                kind = ".jsonl"
            elif kind not in PLAIN:
                kind = ".csv"
        if kind in RECORDS:
            self._add_records(text, kind, short)
            return
        if records.looks_like_json(text) and self._text_field is None:
            self.notes.append(
                f"{short} looks like JSON Lines, and is learned as it is: --text-field FIELD takes "
                "the text out of a field"
            )
        elif _MARKUP.match(text):
            self.notes.append(
                f"{short} looks like HTML or XML, and its tags are learned with it: extract the "
                "text first, for example with `pandoc -t plain`"
            )
        self.documents.append(normalize_newlines(text))

    def _add_records(self, source: str | bytes, kind: str, name: str) -> None:
        if isinstance(source, str):
            source = source.replace("\r\n", "\n").replace("\r", "\n")
        texts, note = records.documents(source, kind, name, self._text_field)
        self.documents += map(normalize_newlines, texts)
        self._has_records = True
        self.notes.append(note)


def _read(source: str) -> bytes:
    if source == STDIN:
        return read_text_bytes(sys.stdin.buffer)
    try:
        if Path(source).is_file():
            return Path(source).read_bytes()
        with open(source, "rb") as stream:
            return read_text_bytes(stream)
    except FileNotFoundError:
        raise ShakegptError(
            f"the text {source} does not exist: give plays, tinyshakespeare, a text file, a "
            "directory of texts, or -"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ShakegptError(f"{source} cannot be read: {reason}") from error
