"""A text as token ids: the split, the windows that training draws, those that evaluation keeps.

Which window is drawn is a pure function of (seed, iteration, micro-step): nothing is remembered
between draws, so a resumed run sees what it would have seen. Each epoch is a fresh shuffle of all
windows, so the text is used up before anything repeats. Evaluation draws nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shakegpt.data.cache import cache_dir, keep
from shakegpt.data.sources import Text
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import sha256
from shakegpt.runlog import schema

TRAIN_SHARE = 0.9
"""Of the characters, as nanoGPT splits; the last tenth is for validation."""

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True)
class Window:
    """Tokens [start, start + length] of a split: `length` inputs, each followed by its target."""

    start: int
    length: int


class Dataset:
    """The two splits of a text under a vocabulary, and the windows of `block_size` over them."""

    def __init__(self, text: Text, tokenizer: Tokenizer, block_size: int, seed: int) -> None:
        """Tokenize, or take the ids from the cache; raises ShakegptError for too short a text."""
        self.text, self.block_size, self.seed = text, block_size, seed
        self.train, self.val = _tokenized(text, tokenizer)
        for name, tokens in (("training", self.train), ("validation", self.val)):
            needed = block_size + 1 if name == "training" else 2
            if len(tokens) < needed:
                raise ShakegptError(
                    f"{text.name} is too short: its {name} part has {len(tokens):,} tokens and "
                    f"needs {needed:,}; give more text or a smaller --block-size"
                )

    @property
    def windows_per_epoch(self) -> int:
        """Windows that fit the training part side by side."""
        return (len(self.train) - 1) // self.block_size

    def train_window(self, number: int) -> Window:
        """The `number`-th window that training sees, counted from 0 over the whole run."""
        epoch, place = divmod(number, self.windows_per_epoch)
        slack = len(self.train) - 1 - self.windows_per_epoch * self.block_size
        order, shift = _shuffle(self.seed, epoch, self.windows_per_epoch, slack)
        return Window(shift + int(order[place]) * self.block_size, self.block_size)

    def batch(self, iteration: int, micro_step: int, micro_steps: int, size: int) -> list[Window]:
        """The `size` windows of a micro-batch; iteration counts from 1, micro_step from 1."""
        first = ((iteration - 1) * micro_steps + micro_step - 1) * size
        return [self.train_window(first + n) for n in range(size)]

    def eval_windows(self, tokens: Tokens, most: int) -> list[Window]:
        """Side by side over all of `tokens`, or evenly spread so that about `most` are predicted.

        The last window of a whole split is shorter, so that every token but the first counts once.
        """
        starts = range(0, len(tokens) - 1, self.block_size)
        windows = [Window(s, min(self.block_size, len(tokens) - 1 - s)) for s in starts]
        keep = max(1, most // self.block_size)
        if len(tokens) - 1 <= most or keep >= len(windows):
            return windows
        return [windows[n * len(windows) // keep] for n in range(keep)]

    def record(self, eval_tokens: int) -> schema.Dataset:
        """What the run log says of the text."""
        predicted = sum(w.length for w in self.eval_windows(self.val, eval_tokens))
        return schema.Dataset(
            name=self.text.name,
            sha256=self.text.sha256,
            characters=len(self.text.content),
            train_tokens=len(self.train),
            val_tokens=len(self.val),
            eval_tokens=predicted,
            eval_whole=predicted == len(self.val) - 1,
            speakers=self.text.speakers,
        )


def as_tensors(tokens: Tokens, windows: list[Window]) -> tuple[Tensor, Tensor]:
    """Inputs and targets of equally long windows: two long tensors (B, T)."""
    ids = np.stack([tokens[w.start : w.start + w.length + 1] for w in windows]).astype(np.int64)
    both = torch.from_numpy(ids)
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
    """Order of the windows in an epoch, and how far they are shifted into the text."""
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    return random.permutation(count), int(random.integers(slack + 1))


def _tokenized(text: Text, tokenizer: Tokenizer) -> tuple[Tokens, Tokens]:
    """Both splits as arrays, memory-mapped from the cache when they are long."""
    split = int(len(text.content) * TRAIN_SHARE)
    key = hashlib.sha256(f"{text.sha256} {tokenizer.fingerprint} {split}".encode()).hexdigest()
    paths = [cache_dir() / "tokens" / f"{key[:32]}-{part}.npy" for part in ("train", "val")]
    if (cached := _cached(paths)) is not None:
        return cached
    train = _narrow(tokenizer.encode_array(text.content, 0, split), tokenizer.n_vocab)
    val = _narrow(tokenizer.encode_array(text.content, split), tokenizer.n_vocab)
    for path, array in zip(paths, (train, val), strict=True):
        keep(path, partial(_save, array))
    with suppress(OSError):  # not kept: a cache is done without
        sums = " ".join(map(sha256, paths)).encode()
        keep(_sums_of(paths), sums)
    return train, val


def _sums_of(paths: list[Path]) -> Path:
    """The file with the sums of both splits: ids that changed on the disk would teach nonsense."""
    return paths[0].with_name(paths[0].name.replace("-train.npy", ".sha256"))


def _save(array: Tokens, file: BinaryIO) -> None:
    np.save(file, array)


def _narrow(ids: NDArray[np.uint32], n_vocab: int) -> Tokens:
    return ids.astype(np.uint16) if n_vocab <= 1 << 16 else ids


def _cached(paths: list[Path]) -> tuple[Tokens, Tokens] | None:
    try:
        if _sums_of(paths).read_text("ascii") != " ".join(map(sha256, paths)):
            return None
        train, val = (np.load(path, mmap_mode="r") for path in paths)
    except (OSError, ValueError, EOFError):  # none there, or not whole
        return None
    return train, val
