"""Which part of which text `shakegpt evaluate` measures.

A file that is named is measured as a whole: nothing of it was trained on. Of the text that a run
was trained on, and of those that come with shakegpt, it is the validation part.
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
    """A text whose part `dataset.val` is measured."""

    dataset: Dataset
    eval_tokens: int
    """How many of its tokens to predict."""
    part: str
    """Which part of the text that is, in words."""


def evaluation(
    config: EvaluateConfig, run: schema.Run | None, tokenizer: Tokenizer, block_size: int
) -> Evaluation:
    """What `config` asks to measure a model on, which `run` trained if one did.

    Raises ShakegptError for a text that cannot be read, or of which the log says nothing.
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
    few = trained.get("eval_tokens") or FinetuneConfig.eval_tokens
    usual = len(dataset.val) if fraction == 1 and config.dataset is not None else few
    part = "all of it" if fraction == 1 else f"its last {100 * fraction:.3g} %"
    return Evaluation(dataset, config.eval_tokens or usual, part)
