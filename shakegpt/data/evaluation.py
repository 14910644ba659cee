"""The text, and the part of it, that `shakegpt evaluate` measures.

A file given by name is measured as a whole, since it was not trained on. Of a run's own text and of
the built-in ones the validation part is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shakegpt.config import EvaluateConfig, FinetuneConfig
from shakegpt.data.dataset import VAL_FRACTION, Dataset
from shakegpt.data.sources import BUILT_IN, load_text
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema


@dataclass(frozen=True)
class Evaluation:
    """A text of which `dataset.val` is measured."""

    dataset: Dataset
    eval_tokens: int
    """Number of tokens to predict."""
    part: str
    """A description of the measured part."""


def evaluation(
    config: EvaluateConfig, run: schema.Run | None, tokenizer: Tokenizer, block_size: int
) -> Evaluation:
    """The text to measure a model on, which was trained by `run` or is no run's.

    Raises ShakegptError for a text that cannot be read, or that the log does not name.
    """
    trained: dict[str, Any] = run.config if run is not None else {}
    if config.dataset is None and run is not None:
        names = tuple(map(str, trained.get("val_dataset") or trained.get("dataset") or ()))
        if not names:
            raise ShakegptError("the run's log does not name its text: give it with --dataset")
        field = config.text_field or trained.get("text_field")
        text = load_text(names, field, bool(trained.get("separate_documents")))
        whole = bool(trained.get("val_dataset"))
    else:
        names = config.dataset or ("plays",)
        text = load_text(names, config.text_field)
        trained_on = run is not None and text.sha256 == run.dataset.sha256
        whole = not trained_on and not set(names) <= set(BUILT_IN)
    fraction = config.val_fraction or (1 if whole else trained.get("val_fraction") or VAL_FRACTION)
    dataset = Dataset(text, tokenizer, block_size, seed=0, val_fraction=fraction)
    default = trained.get("eval_tokens") or FinetuneConfig.eval_tokens
    if fraction == 1 and config.dataset is not None:
        default = len(dataset.val)
    part = "all of it" if fraction == 1 else f"its last {100 * fraction:.3g} %"
    return Evaluation(dataset, config.eval_tokens or default, part)
