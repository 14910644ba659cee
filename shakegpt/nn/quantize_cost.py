"""The cost of quantized weights: the loss on the same validation windows, before and after."""

from __future__ import annotations

import torch
from torch import Tensor

from shakegpt.config import EvaluateConfig
from shakegpt.data.dataset import Dataset, as_tensors, equally_long
from shakegpt.data.evaluation import evaluation
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from shakegpt.nn.quantize import Bits, losses, quantize
from shakegpt.runlog import schema

TOKENS = 512
"""Predicted before and after: about a second with a small model, and enough for three digits."""
LONGEST = 256
"""Tokens per window at most: several windows even for a large model."""


def quantize_and_measure(
    model: GPT, tokenizer: Tokenizer, run: schema.Run | None, bits: Bits
) -> str:
    """Quantize `model`; returns a sentence with what that costs on the validation text of `run`.

    On that of the plays for a model of no run. If the text cannot be loaded, the sentence says so.
    """
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
    return (
        f"weights in {bits}: val loss {before.mean():.4f} -> {after.mean():.4f} nats/token "
        f"({(after - before).mean():+.4f} +- {error_of_mean:.4f}) over {len(after)} tokens of "
        f"{dataset.text.name}"
    )


@torch.inference_mode()
def _val_losses(model: GPT, dataset: Dataset) -> Tensor:
    """Loss of each token of a few validation windows, (N,)."""
    device, parts = model.wpe.weight.device, []
    for windows in equally_long(dataset.eval_windows(dataset.val, TOKENS), size=1):
        x, y = as_tensors(dataset.val, windows)
        parts.append(losses(model, x.to(device), y.to(device)).flatten().cpu())
    return torch.cat(parts)
