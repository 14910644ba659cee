"""Presets of `shakegpt finetune`, and the settings that suit a model of a given size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.format import parameters, rate


class Preset(NamedTuple):
    """A named configuration and what it is for."""

    about: str
    config: FinetuneConfig


_DEFAULT = FinetuneConfig()
_POCKET = replace(
    _DEFAULT,
    batch_size=14,
    block_size=256,
    optimizer="muon",
    learning_rate=3e-3,
    muon_learning_rate=0.03,
)
_OPENAI = replace(
    _DEFAULT,
    batch_size=1,
    gradient_accumulation_steps=32,
    block_size=None,
    learning_rate=3e-5,
    beta1=0.9,
    beta2=0.95,
)
_TINY = replace(_OPENAI, dataset=("tinyshakespeare",), block_size=1024)

PRESETS: dict[str, Preset] = {
    "pocket": Preset("pocket GPT-2 on the plays: about a minute on two cores, no network", _POCKET),
    "gpt2": Preset(
        "GPT-2 124M on the plays",
        replace(_OPENAI, init_from="gpt2"),
    ),
    "talk": Preset(
        "GPT-2 Large on tinyshakespeare: the talk, 20 steps, val loss 3.66 to 2.86",
        replace(_TINY, init_from="gpt2-large"),
    ),
    "nanogpt": Preset(
        "GPT-2 XL on tinyshakespeare: nanoGPT's config/finetune_shakespeare.py",
        replace(_TINY, init_from="gpt2-xl"),
    ),
    "char": Preset(
        "characters, from scratch: nanoGPT's config/train_shakespeare_char.py on a CPU",
        replace(
            _DEFAULT,
            init_from="scratch",
            tokenizer="char",
            dataset=("tinyshakespeare",),
            n_layer=4,
            n_head=4,
            n_embd=128,
            block_size=64,
            batch_size=12,
            gradient_accumulation_steps=1,
            max_iters=2000,
            eval_interval=250,
            learning_rate=1e-3,
            decay_lr=True,
            warmup_iters=100,
            min_lr=1e-4,
            beta1=0.9,
            beta2=0.99,
        ),
    ),
}
"""The first is the default."""
FIRST = next(iter(PRESETS))

HUB_SHAPES = {
    "gpt2": GPTConfig(),
    "gpt2-medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),
    "gpt2-large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),
    "gpt2-xl": GPTConfig(n_layer=48, n_head=25, n_embd=1600),
    "distilgpt2": GPTConfig(n_layer=6),
}
"""Shapes of the models with a short name, from each one's config.json."""

POCKET_SHAPE = GPTConfig(n_layer=4, n_head=4, n_embd=256, block_size=256, vocab_size=4096)
"""Of the pocket, and of every model that `python -m shakegpt.pocket` makes: by Muon."""
SMALL, LARGE = 5_000_000, 80_000_000
"""Parameters up to which the usual settings suit, and from which GPT-2's do."""
CHARACTERS = 1000
"""A smaller vocabulary is taken for characters, which need longer sequences."""
MOST_LOGITS = 1 << 26
"""Most logits of a micro-batch: 256 MiB as float32."""


def suited(shape: GPTConfig) -> FinetuneConfig:
    """The settings that suit finetuning a model of `shape`.

    A model of the pocket's shape is taken for one that Muon pretrained. For others learning rate,
    betas, batch size, accumulation and sequence length follow from the number of parameters and the
    size of the vocabulary, not from the model's name. Up to `SMALL` parameters they are the usual
    ones, from `LARGE` on those with which GPT-2 is usually finetuned; between, the learning rate
    falls as a power of the number of parameters.
    """
    if shape == POCKET_SHAPE:
        return _POCKET
    n = shape.n_params
    small, large = n <= SMALL, n >= LARGE
    share = math.log(min(max(n, SMALL), LARGE) / SMALL) / math.log(LARGE / SMALL)
    fastest, slowest = _DEFAULT.learning_rate, _OPENAI.learning_rate
    between = float(f"{fastest * (slowest / fastest) ** share:.1e}")
    length = shape.block_size
    if small and shape.vocab_size >= CHARACTERS:
        length = min(length, _DEFAULT.block_size or length)
    micro_batch = min(1024 if large else 4096, MOST_LOGITS // shape.vocab_size)
    batch_size = 1 << max(0, (micro_batch // length).bit_length() - 1)  # a power of two
    update = 32_768 if large else 16_384
    return replace(
        _DEFAULT,
        learning_rate=fastest if small else slowest if large else between,
        beta1=(_DEFAULT if small else _OPENAI).beta1,
        beta2=(_DEFAULT if small else _OPENAI).beta2,
        batch_size=batch_size,
        gradient_accumulation_steps=max(1, update // (batch_size * length)),
        block_size=None if length == shape.block_size else length,
    )


def possible(config: FinetuneConfig, settings: Mapping[str, object]) -> FinetuneConfig:
    """`config`, with AdamW instead of Muon if one of `settings` asks for what Muon cannot do."""
    lora, shard = settings.get("lora_rank") is not None, settings.get("shard", False)
    if lora or shard or settings.get("memory") == "lowest":
        return replace(config, optimizer=_DEFAULT.optimizer)
    return config


def describe(config: FinetuneConfig, shape: GPTConfig) -> str:
    """The settings that `suited` chose for a model, as a line for the console."""
    length = config.block_size or shape.block_size
    return (
        f"settings for a model of {parameters(shape.n_params)} parameters and "
        f"{shape.vocab_size:,} tokens: learning rate {rate(config.learning_rate)}, betas "
        f"{config.beta1:g} and {config.beta2:g}, {config.batch_size} x "
        f"{config.gradient_accumulation_steps} sequences of {length:,} tokens a step"
    )
