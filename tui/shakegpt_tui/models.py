"""The models that the form offers: shapes and sizes, whether they are here, what they need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import shakegpt
from shakegpt.checkpoint.config_json import read_config
from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.presets import HUB_SHAPES


@dataclass(frozen=True)
class Known:
    """A model whose shape is known without opening it. `disk` is what its weights take, bytes."""

    name: str
    n_layer: int
    n_head: int
    n_embd: int
    vocab_size: int
    block_size: int
    disk: int
    here: bool | None = None
    """Whether it needs no network; None while nobody has looked."""
    tie_word_embeddings: bool = True


_DISK = (548_105_171, 1_519_984_962, 3_247_159_078, 6_431_829_964, 352_824_413)
"""Sizes of model.safetensors as the hub lists them, in the order of `HUB_SHAPES`."""
GPT2S = tuple(
    Known(name, s.n_layer, s.n_head, s.n_embd, s.vocab_size, s.block_size, disk)
    for (name, s), disk in zip(HUB_SHAPES.items(), _DISK, strict=True)
)
CHAR_VOCABULARY = 128
"""An upper bound for the characters of an English text, in whose stead it estimates."""


@cache
def pocket() -> Known:
    """The model that ships with shakegpt, as its own files describe it."""
    return _in_folder("pocket", Path(shakegpt.__file__).parent / "pocket") or Known(
        "pocket", 0, 0, 0, 0, 0, 0, here=False
    )


def _in_folder(name: str, folder: Path) -> Known | None:
    try:
        s = read_config(folder)
        disk = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    except (OSError, ShakegptError):
        return None
    sizes = (s.n_layer, s.n_head, s.n_embd, s.vocab_size, s.block_size, disk)
    return Known(name, *sizes, disk > 0, s.tie_word_embeddings)


def known() -> list[Known]:
    """The models to offer, without looking into any cache: fast."""
    return [pocket(), *GPT2S]


def look(models: list[Known]) -> list[Known]:
    """The same, with whether each is in the hub's cache. Takes a second: not for the UI's loop."""
    from shakegpt.checkpoint.hub import in_cache

    return [m if m.here else replace(m, here=in_cache(m.name) is not None) for m in models]


def of(name: str, models: list[Known]) -> Known | None:
    """The model that `name` means, when its shape is known without a network."""
    listed = next((model for model in models if model.name == name), None)
    if listed is not None or not name.strip():
        return listed
    path = Path(name.strip())
    return _in_folder(name, path) or _in_folder(name, path / "model")


def scratch(config: FinetuneConfig) -> Known:
    """The model that `--init-from scratch` makes."""
    vocabulary = {"pocket": pocket().vocab_size, "gpt2": 50257}.get(
        config.tokenizer, CHAR_VOCABULARY
    )
    block = config.block_size or 256
    return Known("scratch", config.n_layer, config.n_head, config.n_embd, vocabulary, block, 0)
