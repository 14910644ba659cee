"""A text as token ids: the split, and the windows for training and evaluation.

Training windows are a pure function of (seed, iteration, micro-step), so a resumed run sees those
it would have seen without the interruption. Each epoch is a new shuffle of all windows, so no
window repeats within it. Evaluation windows are fixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shakegpt.data import gutenberg
from shakegpt.data.cache import cache_dir, write_cache
from shakegpt.data.sources import Text
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import sha256
from shakegpt.runlog import schema

VAL_FRACTION = 0.1
"""Fraction of the characters for validation, from the end of the text, as in nanoGPT."""
_NEAR = 0.02
"""Fraction of the characters by which the split may move to fall between two documents."""

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True)
class Window:
    """Tokens [start, start + length] of a split: `length` inputs, each followed by its target."""

    start: int
    length: int


class Dataset:
    """The training and validation tokens of a text, and windows of `block_size` tokens over them.

    `train` and `val` are 1-D arrays of token ids; `train_characters` and `val_characters` are the
    numbers of characters in them, without end-of-text tokens, for losses in bits per character. The
    training part is the first `train_end` characters of the text.
    """

    def __init__(
        self,
        text: Text,
        tokenizer: Tokenizer,
        block_size: int,
        seed: int,
        *,
        val_text: Text | None = None,
        val_fraction: float = VAL_FRACTION,
    ) -> None:
        """Tokenize, or read the ids from the cache.

        The last `val_fraction` of the characters is for validation, 1 for a text that is only
        evaluated; with `val_text`, that text is, and all of `text` is for training. Raises
        ShakegptError for a text that is too short or that the vocabulary cannot encode.
        """
        self.text, self.val_text, self.block_size, self.seed = text, val_text, block_size, seed
        self.tokenizer = tokenizer
        end = len(text.content)
        split = end if val_text else split_place(text, val_fraction)
        held_out = (val_text, 0, len(val_text.content)) if val_text else (text, split, end)
        self.train_end = split
        self.train = _tokens(text, 0, split, tokenizer)
        self.val = _tokens(*held_out, tokenizer)
        self.train_characters = _characters(text, 0, split)
        self.val_characters = _characters(*held_out)
        parts = [(held_out[0].name, "validation", self.val, 2)]
        if val_text or val_fraction < 1:
            parts.insert(0, (text.name, "training", self.train, block_size + 1))
        for name, part, tokens, needed in parts:
            if len(tokens) < needed:
                raise ShakegptError(
                    f"{name} is too short: its {part} part has {len(tokens):,} tokens and "
                    f"needs {needed:,}; give more text or a smaller --block-size"
                )

    @property
    def windows_per_epoch(self) -> int:
        """Number of adjacent windows in the training part."""
        return (len(self.train) - 1) // self.block_size

    def train_window(self, number: int) -> Window:
        """The `number`-th training window, counted from 0 over the whole run."""
        epoch, place = divmod(number, self.windows_per_epoch)
        slack = len(self.train) - 1 - self.windows_per_epoch * self.block_size
        order, shift = _shuffle(self.seed, epoch, self.windows_per_epoch, slack)
        return Window(shift + int(order[place]) * self.block_size, self.block_size)

    def batch(self, iteration: int, micro_step: int, micro_steps: int, size: int) -> list[Window]:
        """The `size` windows of a micro-batch; iteration counts from 1, micro_step from 1."""
        first = ((iteration - 1) * micro_steps + micro_step - 1) * size
        return [self.train_window(first + n) for n in range(size)]

    def eval_windows(self, tokens: Tokens, most: int) -> list[Window]:
        """Adjacent windows over all of `tokens`, or evenly spread ones that predict about `most`.

        In the first case the last window is shorter, so that every token but the first is predicted
        once.
        """
        starts = range(0, len(tokens) - 1, self.block_size)
        windows = [Window(s, min(self.block_size, len(tokens) - 1 - s)) for s in starts]
        count = max(1, most // self.block_size)
        if len(tokens) - 1 <= most or count >= len(windows):
            return windows
        return [windows[n * len(windows) // count] for n in range(count)]

    def predicted_characters(self, tokens: Tokens, windows: list[Window]) -> int:
        """Number of characters that a model predicts in `windows`: of all tokens but the first."""
        targets = [tokens[w.start + 1 : w.start + w.length + 1] for w in windows]
        return self.tokenizer.count_characters(np.concatenate(targets))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what in the text is no part of it, such as a licence, and misleads."""
        split, end = self.train_end, len(self.text.content)
        if self.val_text is None:
            said = [
                gutenberg.warning(self.text, {"validation": (split, end), "training": (0, split)})
            ]
        else:
            whole = (0, len(self.val_text.content))
            said = [
                gutenberg.warning(self.text, {"training": (0, end)}),
                gutenberg.warning(self.val_text, {"validation": whole}),
            ]
        return tuple(sentence for sentence in said if sentence)

    def record(self, eval_tokens: int) -> schema.Dataset:
        """The text's record in the run log."""
        predicted = sum(w.length for w in self.eval_windows(self.val, eval_tokens))
        return schema.Dataset(
            name=self.text.name,
            sha256=self.text.sha256,
            characters=len(self.text.content),
            documents=self.text.documents,
            train_characters=self.train_characters,
            val_characters=self.val_characters,
            val_name=self.val_text.name if self.val_text else None,
            val_sha256=self.val_text.sha256 if self.val_text else None,
            notes=self.text.notes + (self.val_text.notes if self.val_text else ()),
            train_tokens=len(self.train),
            val_tokens=len(self.val),
            eval_tokens=predicted,
            eval_whole=predicted == len(self.val) - 1,
            speakers=self.text.speakers,
        )


def as_tensors(tokens: Tokens, windows: list[Window], device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Inputs and targets of equally long windows: two long tensors (B, T) on `device`."""
    ids = np.stack([tokens[w.start : w.start + w.length + 1] for w in windows]).astype(np.int64)
    both = torch.from_numpy(ids)
    if device == "cuda":  # pinned, it is copied while the GPU still computes
        both = both.pin_memory().to(device, non_blocking=True)
    both = both.to(device)
    return both[:, :-1].contiguous(), both[:, 1:].contiguous()


def equally_long(windows: list[Window], size: int) -> Iterator[list[Window]]:
    """Batches of at most `size` windows; a shorter last window gets a batch of its own."""
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) == size or window.length != batch[0].length):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


@lru_cache(maxsize=4)
def _shuffle(seed: int, epoch: int, count: int, slack: int) -> tuple[NDArray[np.int64], int]:
    """Order of the windows in an epoch, and their common shift in tokens."""
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    return random.permutation(count), int(random.integers(slack + 1))


def split_place(text: Text, val_fraction: float) -> int:
    """Offset of the validation part in characters; between two documents if one ends near it."""
    content, place = text.content, int(len(text.content) * (1 - val_fraction))
    if END_OF_TEXT not in content or not 0 < place < len(content):
        return place
    before = content.rfind(END_OF_TEXT, 0, place) + len(END_OF_TEXT)
    after = content.find(END_OF_TEXT, max(0, place - len(END_OF_TEXT) + 1)) + len(END_OF_TEXT)
    ends = [end for end in (before, after) if len(END_OF_TEXT) <= end < len(content)]
    nearest = min(ends, key=lambda end: abs(end - place), default=place)
    inside = after - len(END_OF_TEXT) < place < after
    return nearest if inside or abs(nearest - place) <= _NEAR * len(content) else place


def _characters(text: Text, start: int, end: int) -> int:
    """Number of characters from `start` to `end`, without end-of-text marks."""
    return end - start - len(END_OF_TEXT) * text.content.count(END_OF_TEXT, start, end)


def _tokens(text: Text, start: int, end: int, tokenizer: Tokenizer) -> Tokens:
    """Ids of text[start:end], memory-mapped from the cache if it has them."""
    key = f"{text.sha256} {tokenizer.fingerprint} {start} {end}"
    path = cache_dir() / "tokens" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
    if (cached := _cached(path)) is not None:
        return cached
    ids = _encode(text, start, end, tokenizer)
    tokens: Tokens = ids.astype(np.uint16) if tokenizer.n_vocab <= 1 << 16 else ids
    write_cache(path, lambda file: np.save(file, tokens))
    with suppress(OSError):  # the cache could not be written
        write_cache(path.with_suffix(".sha256"), sha256(path).encode())
    return tokens


def _encode(text: Text, start: int, end: int, tokenizer: Tokenizer) -> NDArray[np.uint32]:
    if END_OF_TEXT not in text.content or (tokenizer.eot is None and text.documents == 1):
        return tokenizer.encode_array(text.content, start, end)
    if tokenizer.eot is None:
        raise ShakegptError(
            f"the vocabulary of {tokenizer.folder} has no end-of-text token to put between "
            "documents: give --no-separate-documents"
        )
    mark = tokenizer.decode([tokenizer.eot])
    if mark == END_OF_TEXT:
        return tokenizer.encode_array(text.content, start, end)
    return tokenizer.encode_array(text.content[start:end].replace(END_OF_TEXT, mark))


def _cached(path: Path) -> Tokens | None:
    """The ids in the cache; None if they are missing or damaged."""
    try:
        if path.with_suffix(".sha256").read_text("ascii") != sha256(path):
            return None
        tokens: Tokens = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return tokens
