"""What can be refused before PyTorch is imported, which takes a second or several.

The trainer checks all of this again, and the rest, where it happens; this only says it sooner.
"""

from __future__ import annotations

from pathlib import Path

from shakegpt.checkpoint.config_json import read_config
from shakegpt.checkpoint.resolve import find
from shakegpt.config import EvaluateConfig, FinetuneConfig, GPTConfig
from shakegpt.data.make_vocabulary import bpe_size
from shakegpt.data.sources import require
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import require_unused


def finetune(config: FinetuneConfig) -> None:
    """Raise ShakegptError for a model, text or directory that a new run cannot be made of."""
    env.require_shardable(config, config.dtype)
    if config.out_dir is not None:
        require_unused(Path(config.out_dir))
    if config.init_from != "scratch":
        _require_fitting(model(config.init_from), config.block_size, config.init_from)
    require(config.dataset, config.text_field)
    require(config.val_dataset or (), config.text_field)
    if config.init_from == "scratch":
        bpe_size(config.tokenizer)


def evaluate(name: str, asked: EvaluateConfig) -> None:
    """Raise ShakegptError for a model or text that cannot be measured."""
    _require_fitting(model(name), asked.block_size, name)
    require(asked.dataset or (), asked.text_field)


def model(name: str) -> GPTConfig:
    """The shape of the model `name`. Raises ShakegptError when there is no such checkpoint."""
    return read_config(find(name).folder)


def _require_fitting(shape: GPTConfig, block_size: int | None, name: str) -> None:
    if block_size is not None and block_size > shape.block_size:
        raise ShakegptError(
            f"--block-size {block_size} is over the {shape.block_size} that {name} was made for"
        )
