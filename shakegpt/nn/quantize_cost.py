"""The cost of quantized weights: the loss on the same validation windows, before and after.

Measured once for a model, and cached in the user's cache directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from shakegpt import __version__
from shakegpt.config import EvaluateConfig
from shakegpt.data.cache import cache_dir, write_cache
from shakegpt.data.dataset import Dataset, as_tensors, equally_long
from shakegpt.data.evaluation import evaluation
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from shakegpt.nn.quantize import Bits, losses, quantize, way
from shakegpt.runlog import schema

TOKENS = 512
"""Tokens to predict, before and after: a second with a small model, enough for three digits."""
LONGEST = 256
"""Tokens per window at most: several windows even for a large model."""


def quantize_and_measure(
    model: GPT,
    tokenizer: Tokenizer,
    run: schema.Run | None,
    bits: Bits,
    files: Sequence[Path] = (),
) -> str:
    """Quantize `model`; returns a sentence with the cost on the validation text of `run`.

    For a model of no run, on that of the plays. If the text cannot be loaded, the sentence says so.
    With the `files` of its weights, the sentence is cached until they change.
    """
    device = model.wpe.weight.device.type
    cached = _cache_path(files, tokenizer, run, bits, device) if files else None
    with suppress(OSError, UnicodeError):
        if cached is not None and (sentence := cached.read_text("utf-8")):
            quantize(model, bits)
            return sentence
    try:
        length = min(LONGEST, model.config.block_size)
        dataset = evaluation(EvaluateConfig(), run, tokenizer, length).dataset
    except ShakegptError as error:
        quantize(model, bits)
        return f"weights in {bits}; the cost in loss was not measured: {error}"
    before = _val_losses(model, dataset)
    quantize(model, bits)
    after = _val_losses(model, dataset)
    error_of_mean = (after - before).std() / len(after) ** 0.5
    cost = (
        f"weights in {bits}: val loss {before.mean():.4f} -> {after.mean():.4f} nats/token "
        f"({(after - before).mean():+.4f} +- {error_of_mean:.4f}) over {len(after)} tokens of "
        f"{dataset.text.name}"
    )
    if cached is not None:
        write_cache(cached, cost.encode())
    return cost


def _cache_path(
    files: Sequence[Path], tokenizer: Tokenizer, run: schema.Run | None, bits: Bits, device: str
) -> Path:
    """The file of the cache for weights in `files`, by their sizes and times."""
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    text = None if run is None else (run.dataset.sha256, run.dataset.val_sha256)
    how = (bits, way(bits, device), torch.__version__, __version__)
    key = repr((how, stats, tokenizer.fingerprint, text, TOKENS, LONGEST))
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return cache_dir() / "quantized" / f"{name}.txt"


@torch.inference_mode()
def _val_losses(model: GPT, dataset: Dataset) -> Tensor:
    """Loss of each token of a few validation windows, (N,)."""
    device, parts = model.wpe.weight.device.type, []
    for windows in equally_long(dataset.eval_windows(dataset.val, TOKENS), size=1):
        parts.append(losses(model, *as_tensors(dataset.val, windows, device)).flatten().cpu())
    return torch.cat(parts)
