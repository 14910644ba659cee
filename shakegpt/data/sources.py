"""Where text comes from: the plays, tinyshakespeare, files, directories, standard input.

Whatever the source, the result is one `Text` with the sha256 of its UTF-8 bytes, so that a run can
tell whether it goes on with the text that it began with.
"""

from __future__ import annotations

import hashlib
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shakegpt.data.cache import cache_dir, keep
from shakegpt.data.plays import files, plays
from shakegpt.data.speakers import speakers
from shakegpt.errors import ShakegptError
from shakegpt.timeouts import NETWORK_TIMEOUT, call_with_timeout

TINYSHAKESPEARE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TINYSHAKESPEARE_BYTES = 1_115_394


@dataclass(frozen=True)
class Text:
    """A text to learn, and what a log needs to know it by."""

    name: str
    content: str
    sha256: str

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks in it, in alphabetical order; () for prose."""
        return tuple(sorted(speakers(self.content)))


def load_text(names: Iterable[str]) -> Text:
    """The texts named, one after the other with a blank line between.

    Raises ShakegptError for what cannot be read, with the byte where a file stops being UTF-8.
    """
    names = list(names)
    parts = [part for name in names for part in _contents(name)]
    content = parts[0] if len(parts) == 1 else "\n\n".join(part.strip("\n") for part in parts)
    if not content or content.isspace():
        raise ShakegptError(f"--dataset {' '.join(names)} is empty: give a text with words in it")
    digest = hashlib.sha256()
    for start in range(0, len(content), 1 << 24):
        digest.update(content[start : start + (1 << 24)].encode("utf-8", "surrogatepass"))
    return Text(" ".join(_short(name) for name in names), content, digest.hexdigest())


def require(names: Iterable[str]) -> None:
    """Raise ShakegptError for what `load_text` cannot read; a pipe, read once, is left to it."""
    for name in names:
        if name == "plays":
            files()
        elif not is_pipe(name):
            _contents(name)


def is_pipe(name: str) -> bool:
    """Whether a text of this name can be read only once."""
    path = Path(name)
    with suppress(OSError):  # a name too long for a path gets its sentence when it is read
        return name == "-" or (path.exists() and not path.is_file() and not path.is_dir())
    return False


def _short(name: str) -> str:
    return Path(name).name or name


def _contents(name: str) -> list[str]:
    if name == "plays":
        return [plays()]
    if name == "tinyshakespeare":
        return [_decode(_tinyshakespeare(), name)]
    if name == "-":
        return [_decode(_to_zero(sys.stdin.buffer), "standard input")]
    path = Path(name)
    with suppress(OSError):  # a name too long for a path gets its sentence from _read
        if path.is_dir():
            return [_read(file) for file in _text_files(path)]
    return [_read(path)]


def _text_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.txt"))
    if not files:
        raise ShakegptError(f"{folder} holds no .txt file: name the files that are the text")
    return files


def _read(path: Path) -> str:
    try:
        if path.is_file():
            return _decode(path.read_bytes(), str(path))
        with path.open("rb") as stream:
            return _decode(_to_zero(stream), str(path))
    except FileNotFoundError:
        raise ShakegptError(
            f"--dataset {path} does not exist: give plays, tinyshakespeare, a text file, a "
            "directory of .txt files, or -"
        ) from None
    except OSError as error:
        raise ShakegptError(f"{path} cannot be read: {error.strerror}") from error


def _to_zero(stream: BinaryIO) -> bytes:
    """All of a stream, or what comes before a zero byte and some more: /dev/zero has no end."""
    pieces = [b""]
    while b"\0" not in pieces[-1] and (piece := stream.read(1 << 20)):
        pieces.append(piece)
    return b"".join(pieces)


def _decode(data: bytes, name: str) -> str:
    if (zero := data.find(b"\0")) >= 0:
        raise ShakegptError(f"{name} is binary (a zero byte at {zero}): give plain text in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + len(data) - len(error.object)  # it does not count a byte-order mark
        raise ShakegptError(
            f"{name} is not UTF-8: byte {place} is 0x{data[place]:02x}; convert it first, for "
            f"example with `iconv -f latin1 -t utf-8 {name}`"
        ) from None


def _tinyshakespeare() -> bytes:
    """nanoGPT's file: from the cache, else fetched once; either way checked against its sha256."""
    cached = cache_dir() / "tinyshakespeare.txt"
    if cached.is_file() and _is_tinyshakespeare(data := cached.read_bytes()):
        return data
    data = _fetch_tinyshakespeare()
    keep(cached, data)
    return data


def _is_tinyshakespeare(data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == TINYSHAKESPEARE_SHA256


def _fetch_tinyshakespeare() -> bytes:
    try:
        with call_with_timeout(
            lambda: urllib.request.urlopen(TINYSHAKESPEARE, timeout=NETWORK_TIMEOUT)
        ) as answer:
            print("fetching tinyshakespeare (1.1 MB), once", file=sys.stderr)
            data: bytes = answer.read(TINYSHAKESPEARE_BYTES + 1)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise ShakegptError(
            f"tinyshakespeare is not in the cache and cannot be fetched ({reason}): use --dataset "
            f"plays, which needs no network, or put the file at {cache_dir()}/tinyshakespeare.txt"
        ) from error
    if not _is_tinyshakespeare(data):
        raise ShakegptError(
            f"what came from {TINYSHAKESPEARE} is not tinyshakespeare ({len(data):,} bytes with "
            "another sha256): try again, or use --dataset plays, which needs no network"
        )
    return data
