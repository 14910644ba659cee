"""Text to token ids and back, with the same ids as in transformers.

As there, special and added tokens in a text are one token each. tiktoken encodes where it provably
gives the same ids, else `tokenizers`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken
from numpy.typing import NDArray

from shakegpt.data.bpe import PATTERN, is_canonical
from shakegpt.data.special_tokens import END_OF_TEXT, AddedToken
from shakegpt.data.vocabulary import Vocabulary, read_vocabulary
from shakegpt.errors import ShakegptError
from shakegpt.format import listing

_CUT = re.compile(r"(?<=\S)[ \n\r\t]")
CHUNK = 1 << 20
"""Characters that are encoded at a time, to save memory with long texts."""


def byte_to_unicode() -> dict[int, str]:
    """The printable character for each byte in vocab.json and merges.txt.

    Printable characters of Latin-1 are used for themselves, 256, 257, … for the other bytes.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    return table | {b: chr(256 + n) for n, b in enumerate(others)}


_BYTES = {char: byte for byte, char in byte_to_unicode().items()}


class Tokenizer:
    """Encodes and decodes. It has `n_vocab` ids, from 0; `eot` is the end-of-text id, or None.

    The files of `folder` are read once; `warnings` are sentences on what in them has no effect.
    """

    def __init__(self, folder: Path) -> None:
        """Read the vocabulary of `folder`. Raises ShakegptError for one that is not GPT-2's."""
        self.folder = folder
        self.vocabulary = v = read_vocabulary(folder)
        self.n_vocab, self.fingerprint = v.size, v.fingerprint
        self._alphabet = {_BYTES[token] for token in v.vocab if token in _BYTES}
        self._pieces = _pieces(folder, v)
        self._characters = _characters(self._pieces[v.vocab["".join(pair)]] for pair in v.merges)
        added = v.special.added
        self._added = re.compile(
            "|".join(re.escape(t.content) for t in sorted(added, key=lambda t: -len(t.content)))
            or "(?!)"
        )
        self._uncut = [
            token.content
            for token in added
            if token.rstrip or token.single_word or re.search(r"\s", token.content)
        ]
        fast = _separable(added) and is_canonical(v.vocab, v.merges)
        self._ids_of = self._by_tiktoken() if fast else _by_tokenizers(v)
        self.eot, self.warnings = _end_of_text(v)
        bos = v.special.roles["bos_token"]
        self.default_ids = {
            "bos_token_id": self.eot if bos is None else v.ids_of_tokens[bos],
            "eos_token_id": self.eot,
        }
        """The special token ids for config.json, unless the checkpoint's has others."""

    def encode(self, text: str, name: str = "the text") -> list[int]:
        """Ids of `text`, called `name` in an error.

        Raises ShakegptError for characters that the vocabulary lacks.
        """
        if missing := self._missing(text):
            raise ShakegptError(
                f"{name} has {listing(list(map(repr, missing)), 10)}, which the vocabulary lacks: "
                "use only characters of the text that it was made from"
            )
        return self._ids_of(text)

    def encode_array(self, text: str, start: int = 0, end: int | None = None) -> NDArray[np.uint32]:
        """Ids of text[start:end] in an array, encoded in chunks."""
        chunks = _chunks(text, start, end, self._uncut)
        parts = [np.asarray(self.encode(chunk), np.uint32) for chunk in chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.uint32)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes of token `id`."""
        return self._pieces[id]

    def count_characters(self, ids: NDArray[Any]) -> int:
        """Number of characters in the tokens `ids`, without end-of-text tokens.

        A character that several tokens share counts where it begins, so that the counts of the
        parts of a text add up.
        """
        count = 0
        for id, times in zip(*np.unique(ids, return_counts=True), strict=True):
            if id != self.eot:
                count += int(times) * sum(b & 0xC0 != 0x80 for b in self.token_bytes(int(id)))
        return count

    def _missing(self, text: str) -> list[str]:
        """The characters of `text` that the vocabulary lacks."""
        if len(self._alphabet) == 256:
            return []
        characters = set(self._added.sub("", text))
        if self._characters:  # bytes beyond ASCII are tokens only as parts of these characters
            in_ascii = {c for c in characters if c.isascii() and ord(c) in self._alphabet}
            return sorted(characters - self._characters - in_ascii)
        return sorted(
            char
            for char in characters
            if not self._alphabet.issuperset(char.encode("utf-8", "surrogatepass"))
        )

    def _by_tiktoken(self) -> Callable[[str], list[int]]:
        v = self.vocabulary
        ordinary = [*(token for token in v.vocab if token in _BYTES), *map("".join, v.merges)]
        encoding = tiktoken.Encoding(
            self.folder.name,
            pat_str=PATTERN,
            mergeable_ranks={self._pieces[v.vocab[token]]: v.vocab[token] for token in ordinary},
            special_tokens={token.content: token.id for token in v.special.added},
        )
        return lambda text: encoding.encode(text, allowed_special="all")


def _pieces(folder: Path, v: Vocabulary) -> list[bytes]:
    """The bytes of each token, by id. Raises ShakegptError for a merged token without bytes."""
    pieces = [b""] * v.size
    for token, id in v.vocab.items():
        by_bytes = all(char in _BYTES for char in token)
        pieces[id] = bytes(map(_BYTES.__getitem__, token)) if by_bytes else token.encode()
    for pair in v.merges:
        if not all(char in _BYTES for char in "".join(pair)):
            raise ShakegptError(
                f"{folder} has the token {''.join(pair)!r}, which stands for no bytes: it is not a "
                "GPT-2 vocabulary"
            )
    for special in v.special.added:
        pieces[special.id] = special.content.encode("utf-8", "surrogatepass")
    return pieces


def _characters(merged: Iterable[bytes]) -> frozenset[str]:
    """The non-ASCII characters of a vocabulary that merges bytes to single characters only; else
    none. Such a vocabulary has a token for each character of its text, and no others.
    """
    pieces = list(merged)
    if not all(p[0] >= 0xC0 and all(byte & 0xC0 == 0x80 for byte in p[1:]) for p in pieces):
        return frozenset()
    return frozenset(char for p in pieces if len(char := p.decode("utf-8", "ignore")) == 1)


def _separable(added: tuple[AddedToken, ...]) -> bool:
    """Whether a plain search matches the added tokens: no options, none is a prefix of another."""
    contents = [token.content for token in added]
    return (
        not any(token.lstrip or token.rstrip or token.single_word for token in added)
        and len({token.normalized for token in added}) < 2
        and not any(a != b and b.startswith(a) for a in contents for b in contents)
    )


def _by_tokenizers(v: Vocabulary) -> Callable[[str], list[int]]:
    import tokenizers
    from tokenizers import models, pre_tokenizers

    model = models.BPE(v.vocab, v.merges)
    encoding = tokenizers.Tokenizer(model)
    encoding.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for token in v.special.added:
        flags = {key: getattr(token, key) for key in ("single_word", "lstrip", "rstrip")}
        flags |= {"normalized": token.normalized, "special": token.special}
        encoding.add_tokens([tokenizers.AddedToken(token.content, **flags)])

    def encode(text: str) -> list[int]:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        ids: list[int] = encoding.encode(whole, add_special_tokens=False).ids
        return ids

    return encode


def _end_of_text(v: Vocabulary) -> tuple[int | None, tuple[str, ...]]:
    """The end-of-text id, the tokenizer's before that of a configuration, and the warnings."""
    ids = v.ids_of_tokens
    token = v.special.roles["eos_token"]
    configured = v.generation.get("eos_token_id", v.ids.get("eos_token_id"))
    ends = configured if isinstance(configured, list) else [configured] * (configured is not None)
    eot = ids[token] if token is not None else ends[0] if ends else ids.get(END_OF_TEXT)
    if set(ends) <= {eot}:
        return eot, v.warnings
    return eot, (
        *v.warnings,
        f"a text ends with token {eot} here; generation_config.json or config.json names "
        f"{configured}",
    )


class Decoder:
    """Decodes tokens one at a time, in whole characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, id: int) -> str:
        """The characters that token `id` completes; may be ""."""
        return self._decoder.decode(self._tokenizer.token_bytes(id))

    def flush(self) -> str:
        """U+FFFD for an incomplete last character, else ""."""
        return self._decoder.decode(b"", final=True)


def _chunks(text: str, start: int, end: int | None, uncut: Iterable[str] = ()) -> Iterator[str]:
    """text[start:end], cut between a visible character and a blank, which no match of `PATTERN`
    crosses, and never in, right before or right after one of the added tokens `uncut`.
    """
    end = len(text) if end is None else end
    while start < end:
        at = start + CHUNK
        while cut_at := _CUT.search(text, at, end):
            at = cut_at.start()
            if all(text.find(t, max(start, at - len(t)), at + len(t)) < 0 for t in uncut):
                break
            at += 1
        cut = cut_at.start() if cut_at else end
        yield text[start:cut]
        start = cut
