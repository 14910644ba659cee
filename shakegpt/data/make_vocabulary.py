"""Vocabularies made from a text: a token for each character, or byte-level BPE learned from it.

Both are written in GPT-2's form, vocab.json and merges.txt over bytes, so that transformers and
llama.cpp read them too. The end-of-text token is the last one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.errors import ShakegptError

SMALLEST, LARGEST = 257, 65_536
"""Numbers of tokens for `bpe:N`: from all bytes and the end of a text to 16 bits."""
_PIECE = 1 << 16
"""Characters that are passed to the learner at a time."""
_CUT = re.compile(r"(?<=\S)[ \n\t]")


def bpe_size(name: str) -> int | None:
    """The N of a vocabulary called `bpe:N`; None for any other name.

    Raises ShakegptError for an invalid N.
    """
    kind, _, number = name.partition(":")
    if kind != "bpe":
        return None
    digits = number.replace(",", "").replace("_", "")
    if not digits.isdecimal() or not SMALLEST <= int(digits[:9]) <= LARGEST:
        raise ShakegptError(
            f"--tokenizer {name} must be bpe:N with N, the number of tokens, from {SMALLEST} to "
            f"{LARGEST:,}; bpe:4096 suits a few megabytes"
        )
    return int(digits)


def write_char_vocabulary(texts: Iterable[str], folder: Path) -> None:
    """Write vocab.json and merges.txt with a token for each character of `texts`, in code order.

    A non-ASCII character is merged from its UTF-8 bytes, so these and its prefixes are tokens too.
    """
    from shakegpt.data.tokenizer import byte_to_unicode

    encoded = [char.encode("utf-8") for char in set[str]().union(*texts)]
    alphabet = sorted({byte for char in encoded for byte in char})
    # prefixes first: merges are made in the order of the ids
    longer = sorted(
        {char[:end] for char in encoded for end in range(2, len(char) + 1)},
        key=lambda token: (len(token), token),
    )
    table = byte_to_unicode()
    tokens = ["".join(map(table.__getitem__, token)) for token in longer]
    vocab = {
        token: id for id, token in enumerate([*map(table.get, alphabet), *tokens, END_OF_TEXT])
    }
    lines = ["#version: 0.2", *(f"{token[:-1]} {token[-1]}" for token in tokens)]
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")


def learn_bpe(texts: Iterable[str], size: int, folder: Path) -> None:
    """Write vocab.json and merges.txt with `size` tokens learned from `texts`.

    Raises ShakegptError when the texts are too short for that many.
    """
    from tokenizers import ByteLevelBPETokenizer

    learner = ByteLevelBPETokenizer()
    learner.train_from_iterator(_pieces(texts), vocab_size=size - 1, show_progress=False)
    learned = learner.get_vocab_size() + 1
    if learned < size:
        raise ShakegptError(
            f"--tokenizer bpe:{size} needs a longer text: this one gives {learned:,} tokens; use "
            f"bpe:{learned} or fewer, or more text"
        )
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    vocab = json.loads((folder / "vocab.json").read_text("utf-8")) | {END_OF_TEXT: size - 1}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The texts without end-of-text marks, cut where no token crosses."""
    for text in texts:
        for document in text.split(END_OF_TEXT):
            start = 0
            while start < len(document):
                blank = _CUT.search(document, start + _PIECE)
                end = blank.start() if blank else len(document)
                yield document[start:end]
                start = end
