"""What weights in fewer bits cost: the loss on the same validation windows, before and after."""

from __future__ import annotations

import torch
from torch import Tensor

from shakegpt.data.dataset import Dataset, as_tensors, equally_long
from shakegpt.data.sources import load_text
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from shakegpt.nn.quantize import Bits, losses, narrow

TOKENS = 512
"""Predicted before and after: about a second of a small model, and enough for three digits."""
LONGEST = 256
"""Tokens of a window at most: more than one window even of a large model."""


def narrow_and_measure(model: GPT, tokenizer: Tokenizer, names: tuple[str, ...], bits: Bits) -> str:
    """Put `model` in fewer bits; the sentence that says what that costs on the text `names`.

    Where there is no such text, the sentence says that nothing was measured.
    """
    try:
        text = load_text(names)
        dataset = Dataset(text, tokenizer, min(LONGEST, model.config.block_size), seed=0)
    except ShakegptError as error:
        narrow(model, bits)
        return f"weights in {bits}; what that costs in loss was not measured: {error}"
    before = _val_losses(model, dataset)
    narrow(model, bits)
    after = _val_losses(model, dataset)
    sure = (after - before).std() / len(after) ** 0.5
    return (
        f"weights in {bits}: val loss {before.mean():.4f} -> {after.mean():.4f} nats a token "
        f"({(after - before).mean():+.4f} +- {sure:.4f}) over {len(after)} tokens of {text.name}"
    )


@torch.inference_mode()
def _val_losses(model: GPT, dataset: Dataset) -> Tensor:
    """Loss of each token of a few validation windows, (N,)."""
    device, found = model.wpe.weight.device, []
    for some in equally_long(dataset.eval_windows(dataset.val, TOKENS), size=1):
        x, y = as_tensors(dataset.val, some)
        found.append(losses(model, x.to(device), y.to(device)).flatten().cpu())
    return torch.cat(found)
