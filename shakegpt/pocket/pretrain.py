"""Pretraining from scratch, as small models are trained today, in one plain loop.

Muon for the matrices of the blocks and AdamW for the rest; the rate warms up and then stays, until
it falls to zero in a decay, which can branch off the stable phase at any time; sequences are short
and updates small at first. All numbers are a function of the seed and of the tokens so far, and the
state is saved every few minutes and on SIGTERM or SIGINT, so a resumed run has the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from shakegpt.data.dataset import Dataset, as_tensors, equally_long
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import flush_to_disk
from shakegpt.model import GPT, GPTConfig
from shakegpt.pocket.recipe import Progress, Recipe
from shakegpt.runlog import lock
from shakegpt.runlog.metrics import bits_per_character
from shakegpt.train.muon import Muon, split_parameters

LOG = "pretraining.jsonl"
STATES = "state-*.safetensors"
EVAL_TOKENS = 25_600
"""Held-out tokens of the evaluations during training."""
STATES_ON_DISK = 2
"""The newest state, and the one before it in case the newest is damaged."""


class Stop:
    """Set by SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        self.requested = True


class Pretraining:
    """A run in the directory `folder`: the model, its optimizers and its progress."""

    def __init__(self, folder: Path, recipe: Recipe, data: Dataset, tokenizer: Tokenizer) -> None:
        """Initialize from the seed; `restore` then loads a state."""
        self.folder, self.recipe, self.data, self.tokenizer = folder, recipe, data, tokenizer
        shape = GPTConfig(
            n_layer=recipe.n_layer,
            n_head=recipe.n_head,
            n_embd=recipe.n_embd,
            block_size=recipe.block_size,
            vocab_size=tokenizer.n_vocab,
        )
        self.model = GPT(shape)
        self.model.initialize(torch.Generator().manual_seed(recipe.seed))
        self.progress = Progress()
        matrices, others = split_parameters(dict(self.model.named_parameters()))
        self.muon = Muon(matrices, recipe.matrix_decay)
        self.others = others
        groups: list[dict[str, Any]] = [
            {"params": [p for p in others.values() if p.dim() == 2]},
            {"params": [p for p in others.values() if p.dim() == 1], "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(
            groups, recipe.other_rate, recipe.betas, weight_decay=recipe.embedding_decay, fused=True
        )
        self.loss: Callable[[Tensor, Tensor], Tensor] = self.model

    def compile(self) -> str | None:
        """Compile the training pass; returns None, or why that failed, in one line."""
        self.loss = torch.compile(self.model, dynamic=False)
        try:
            self.pass_through(*self.batch(0, self.recipe.micro_batch), 1.0)
        except Exception as error:  # of the compiler, a subprocess or the loader
            self.loss = self.model
            return f"compiling failed ({type(error).__name__}: {str(error).split(chr(10))[0]})"
        finally:
            self.model.zero_grad(set_to_none=True)
        return None

    def train(self, until: int, save_every: float, eval_every: int, stop: Stop) -> bool:
        """Train until the run has `until` tokens, with states and evaluations.

        Returns False if a signal stopped it before. The state is saved in either case.
        """
        saved, logged, began = time.monotonic(), self.progress.tokens, time.monotonic()
        losses = list[float]()
        while self.progress.tokens < until and not stop.requested:
            start, before = time.monotonic(), self.progress.tokens
            loss = self.update(stop)
            if loss is None:
                break
            losses.append(loss)
            self.progress.seconds += time.monotonic() - start
            crossed = self.progress.tokens // eval_every > before // eval_every
            if crossed or self.progress.tokens >= until:
                done, spent = self.progress.tokens - logged, time.monotonic() - began
                speed = {"train_loss": sum(losses) / len(losses), "tokens_per_second": done / spent}
                self.log(**speed, **self.evaluate(EVAL_TOKENS, self.length))
                losses, logged, began = [], self.progress.tokens, time.monotonic()
            if time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.progress.tokens >= until

    @property
    def length(self) -> int:
        """The sequence length of the next update."""
        at = self.progress.tokens
        if self.progress.decay_from is not None:
            return self.recipe.block_size
        return [length for start, length in self.recipe.lengths if start <= at][-1]

    def update(self, stop: Stop) -> float | None:
        """One update; returns its loss, nats per token, or None if a signal interrupted it."""
        at, recipe = self.progress.tokens, self.recipe
        size = [size for start, size in recipe.updates if start <= at][-1]
        micro = min(size, recipe.micro_batch)
        factor = self.progress.rate_factor(recipe.warmup)
        for group in self.adamw.param_groups:
            group["lr"] = recipe.other_rate * factor
        total = 0.0
        self.model.train()
        for first in range(at, at + size, micro):
            total += self.pass_through(*self.batch(first, micro), micro / size)
            if stop.requested:
                self.model.zero_grad(set_to_none=True)
                return None
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.grad_clip)
        self.muon.step(recipe.matrix_rate * factor)
        self.adamw.step()
        self.model.zero_grad(set_to_none=True)
        self.progress.tokens += size
        self.progress.updates += 1
        return total

    def pass_through(self, x: Tensor, y: Tensor, share: float) -> float:
        """Forward and backward pass of `share` times the loss; returns that product."""
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.loss(x, y) * share
        torch.autograd.backward(loss)
        return float(loss.detach())

    def batch(self, first: int, size: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets (B, T) of `size` training tokens, from the `first` on.

        Each pass over the text shuffles its windows of `block_size`; shorter sequences are parts of
        these.
        """
        whole = self.recipe.block_size
        windows = [self.data.train_window(first // whole + n) for n in range(size // whole)]
        x, y = as_tensors(self.data.train, windows)
        return x.reshape(-1, self.length), y.reshape(-1, self.length)

    @torch.no_grad()
    def evaluate(self, most: int, length: int) -> dict[str, Any]:
        """Loss over about `most` held-out tokens, in sequences of `length` tokens.

        `val_loss` is in nats per token. The windows are those of an evaluation in `shakegpt
        finetune`.
        """
        self.model.eval()
        total, count, characters = 0.0, 0, 0
        for windows in equally_long(self.data.eval_windows(self.data.val, most), 16):
            x, y = as_tensors(self.data.val, windows)
            if x.size(1) % length == 0:
                x, y = x.reshape(-1, length), y.reshape(-1, length)
            with torch.autocast("cpu", torch.bfloat16):
                total += float(self.model(x, y)) * y.numel()
            count += y.numel()
            characters += self.tokenizer.count_characters(y.numpy())
        loss = total / count
        return {
            "val_loss": loss,
            "bits_per_character": bits_per_character(loss, count, characters),
            "val_tokens": count,
        }

    def log(self, **values: Any) -> None:
        """Append the progress and `values` to the log, and print `values`."""
        factor = self.progress.rate_factor(self.recipe.warmup)
        entry = asdict(self.progress) | {"length": self.length, "rate_factor": factor} | values
        with open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        line = ", ".join(f"{name} {value:,.5g}" for name, value in values.items())
        print(f"{self.progress.tokens:,} tokens: {line}", flush=True)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and the state of both optimizers by name, in the weights' shapes."""
        tensors = {f"weight {name}": p.detach() for name, p in self.model.named_parameters()}
        tensors |= {f"momentum {name}": tensor for name, tensor in self.muon.momentum.items()}
        for name, p in self.others.items():
            state = self.adamw.state[p]
            tensors[f"exp_avg {name}"] = state.get("exp_avg", torch.zeros_like(p))
            tensors[f"exp_avg_sq {name}"] = state.get("exp_avg_sq", torch.zeros_like(p))
        return tensors

    def branch_off(self, decay_tokens: int) -> None:
        """Let the rate fall to zero over the next `decay_tokens`."""
        self.progress.decay_from, self.progress.decay_tokens = self.progress.tokens, decay_tokens

    def identity(self) -> dict[str, Any]:
        """Identifies the run of a state: text and split, vocabulary, recipe."""
        vocabulary = [self.tokenizer.folder / name for name in ("vocab.json", "merges.txt")]
        return {
            "text": self.data.text.sha256,
            "split": len(self.data.train),
            "vocabulary": hashlib.sha256(b"".join(map(Path.read_bytes, vocabulary))).hexdigest(),
            "recipe": asdict(self.recipe),
        }

    def save(self) -> None:
        """Write the state atomically, and delete all but the newest `STATES_ON_DISK`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"state-{self.progress.tokens:012d}.safetensors"
        part = path.with_suffix(".part")
        entry = {"progress": asdict(self.progress), "identity": self.identity()}
        save_file(self.tensors(), part, {"pretraining": json.dumps(entry)})
        flush_to_disk(part)
        part.replace(path)
        flush_to_disk(self.folder)
        for old in sorted(self.folder.glob(STATES))[:-STATES_ON_DISK]:
            old.unlink(missing_ok=True)

    @torch.no_grad()
    def restore(self, folder: Path) -> bool:
        """Continue from the newest intact state in `folder`; returns whether there was one.

        Raises ShakegptError for a state of another text, vocabulary or recipe.
        """
        for path in sorted(folder.glob(STATES), reverse=True):
            try:
                with safe_open(path, framework="pt") as file:
                    entry = json.loads((file.metadata() or {})["pretraining"])
                    saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            except (SafetensorError, OSError, ValueError, KeyError):
                continue
            identity = json.loads(json.dumps(self.identity()))
            saved_identity = identity | entry["identity"]
            if different := [k for k in identity if saved_identity[k] != identity[k]]:
                raise ShakegptError(
                    f"{path} belongs to another {different[0]}: give that one, or another --state"
                )
            self.progress = Progress(**entry["progress"])
            for p in self.others.values():
                self.adamw.state[p] = {
                    "step": torch.tensor(float(self.progress.updates)),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
            for name, tensor in self.tensors().items():
                tensor.copy_(saved[name])
            return True
        return False


def newest(folder: Path) -> int | None:
    """The tokens of the newest state in `folder`; None without any."""
    numbers = [int(path.stem.removeprefix("state-")) for path in folder.glob(STATES)]
    return max(numbers, default=None)


@contextmanager
def stoppable(folder: Path) -> Iterator[Stop]:
    """Lock the directory for this process; SIGTERM and SIGINT set the yielded object."""
    folder.mkdir(parents=True, exist_ok=True)
    stop = Stop()
    fd = lock.acquire(folder / "lock")
    if fd is None:
        raise ShakegptError(f"another process is training in {folder}")
    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(fd)
