"""Text to token ids and back: the vocab.json and merges.txt of a checkpoint as a tiktoken.Encoding.

One path for every vocabulary: GPT-2's own, the pocket's, a character one. Ids are those that
transformers gives. `<|endoftext|>` in a text is the special token, as it is there.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken
from numpy.typing import NDArray

from shakegpt.errors import ShakegptError
from shakegpt.files import read_text

END_OF_TEXT = "<|endoftext|>"
# GPT-2's rule for where a token may never reach across, from its released encoder
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CUT = re.compile(r"(?<=\S)[ \n\r\t]")
CHUNK = 1 << 20
"""Characters that are encoded at a time: keeps the memory for a 150 MB text small."""


def byte_to_unicode() -> dict[int, str]:
    """The printable character that stands for each byte in vocab.json and merges.txt.

    Printable bytes of Latin-1 stand for themselves, the others for 256, 257, … in their order.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    return table | {b: chr(256 + n) for n, b in enumerate(others)}


_BYTES = {char: byte for byte, char in byte_to_unicode().items()}


def _as_bytes(token: str, path: Path) -> bytes:
    try:
        return bytes(_BYTES[char] for char in token)
    except KeyError:
        raise ShakegptError(
            f"{path} has a token {token!r} that stands for no bytes: it is no GPT-2 vocabulary"
        ) from None


class Tokenizer:
    """A vocabulary. `n_vocab` ids, 0 to n_vocab - 1; `eot` is the id of the end of a text."""

    def __init__(self, folder: Path) -> None:
        """Read vocab.json and merges.txt of `folder`. Raises ShakegptError when they don't fit."""
        self.folder = folder
        vocab = _read_vocab(folder / "vocab.json")
        ranks, special = _ranks(vocab, folder / "merges.txt")
        self._alphabet = {token[0] for token in ranks if len(token) == 1}
        self._encoding = tiktoken.Encoding(
            folder.name, pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special
        )
        self.n_vocab = len(vocab)
        self.eot = special.get(END_OF_TEXT)

    @property
    def fingerprint(self) -> str:
        """sha256 of the two files, hex: the same text under it has the same ids."""
        digest = hashlib.sha256()
        for name in ("vocab.json", "merges.txt"):
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of `text`. Raises ShakegptError for a character the vocabulary cannot spell."""
        self._refuse_unknown(text)
        return self._encoding.encode(text, allowed_special="all")

    def encode_array(self, text: str, start: int = 0, end: int | None = None) -> NDArray[np.uint32]:
        """Ids of text[start:end] in an array, chunk by chunk: little memory for long texts."""
        parts = [np.asarray(self.encode(c), np.uint32) for c in _chunks(text, start, end)]
        return np.concatenate(parts) if parts else np.empty(0, np.uint32)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`; bytes that are no UTF-8 become U+FFFD."""
        return self._encoding.decode_bytes(list(ids)).decode("utf-8", errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes that token `id` stands for."""
        return self._encoding.decode_single_token_bytes(id)

    def count_characters(self, ids: NDArray[Any]) -> int:
        """How many characters begin in the tokens `ids`: bytes that do not continue one in UTF-8.

        Tokens can end within a character; it counts where it begins, so that parts of a text add
        up to the whole. The end of a text is no character.
        """
        count = 0
        for id, times in zip(*np.unique(ids, return_counts=True), strict=True):
            if id != self.eot:
                count += int(times) * sum(b & 0xC0 != 0x80 for b in self.token_bytes(int(id)))
        return count

    def _refuse_unknown(self, text: str) -> None:
        if len(self._alphabet) == 256:
            return
        for char in set(text.replace(END_OF_TEXT, "")):
            if not self._alphabet.issuperset(char.encode("utf-8", "surrogatepass")):
                raise ShakegptError(
                    f"the vocabulary of {self.folder} has no {char!r}: it was made from a text "
                    "without it; leave it out or train with another --tokenizer"
                )


class Decoder:
    """Bytes of tokens to text as they come, never half a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, id: int) -> str:
        """The text that token `id` completes; "" while its last character is not whole."""
        return self._decoder.decode(self._tokenizer.token_bytes(id))

    def flush(self) -> str:
        """What is left of a character that never became whole: U+FFFD, or ""."""
        return self._decoder.decode(b"", final=True)


def _chunks(text: str, start: int, end: int | None) -> Iterator[str]:
    """Cut between a visible character and a blank: no token of `PATTERN` reaches across that."""
    end = len(text) if end is None else end
    while start < end:
        found = _CUT.search(text, start + CHUNK, end)
        cut = found.start() if found else end
        yield text[start:cut]
        start = cut


def _read_vocab(path: Path) -> dict[str, int]:
    try:
        text = read_text(path.parent, path.name)
        vocab: dict[str, int] = json.loads(text, object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise ShakegptError(f"{path} cannot be read as a vocabulary: {error}") from error
    ids = list(vocab.values()) if isinstance(vocab, dict) else []
    if not ids or not all(type(i) is int for i in ids) or sorted(ids) != list(range(len(ids))):
        raise ShakegptError(f"{path} is no vocabulary: its ids must be 0, 1, 2, … each once")
    return vocab


def _each_once(pairs: list[tuple[str, int]]) -> dict[str, int]:
    tokens = dict(pairs)
    if len(tokens) < len(pairs):
        raise ValueError(f"{len(pairs) - len(tokens)} of its tokens stand there twice")
    return tokens


def _ranks(vocab: dict[str, int], merges: Path) -> tuple[dict[bytes, int], dict[str, int]]:
    """tiktoken merges in the order of the ids, so the merges must stand in that order too."""
    try:
        lines = read_text(merges.parent, merges.name).split("\n")
    except (OSError, ValueError) as error:
        raise ShakegptError(f"{merges} cannot be read as merges: {error}") from error
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    merged = ["".join(pair) for pair in pairs]
    known = [vocab.get(token, -1) for token in merged]
    if any(len(pair) != 2 for pair in pairs) or -1 in known or known != sorted(known):
        raise ShakegptError(f"{merges} does not fit the vocab.json beside it: take both from one")
    single = [token for token in vocab if len(token) == 1 and token in _BYTES]
    ranks = {_as_bytes(token, merges): vocab[token] for token in [*single, *merged]}
    ordinary = {*single, *merged}
    special = {token: id for token, id in vocab.items() if token not in ordinary}
    return ranks, special
