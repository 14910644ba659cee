"""The models that the form offers: shapes and sizes, whether they are here, what they need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import shakegpt
from shakegpt.checkpoint.config_json import read_config
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.config.presets import HUB_SHAPES
from shakegpt.errors import ShakegptError


@dataclass(frozen=True, kw_only=True)
class Known(GPTConfig):
    """A model whose shape is known without opening it."""

    name: str
    disk: int
    """Bytes of its weights; 0 where there are none yet."""
    here: bool | None = None
    """Whether it needs no network; None while nobody has looked."""


_DISK = (548_105_171, 1_519_984_962, 3_247_159_078, 6_431_829_964, 352_824_413)
"""Sizes of model.safetensors as the hub lists them, in the order of `HUB_SHAPES`."""
GPT2S = tuple(
    Known(name=name, disk=disk, **vars(shape))
    for (name, shape), disk in zip(HUB_SHAPES.items(), _DISK, strict=True)
)
CHAR_VOCABULARY = 128
"""An upper bound for the characters of an English text, in whose stead it estimates."""


@cache
def pocket() -> Known:
    """The model that ships with shakegpt, as its own files describe it."""
    return _in_folder("pocket", Path(shakegpt.__file__).parent / "pocket") or Known(
        name="pocket", disk=0, here=False, n_layer=0, n_head=0, n_embd=0, vocab_size=0, block_size=0
    )


def _in_folder(name: str, folder: Path) -> Known | None:
    try:
        shape = read_config(folder)
        disk = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    except (OSError, ShakegptError):
        return None
    return Known(name=name, disk=disk, here=disk > 0, **vars(shape))


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
    return Known(
        name="scratch",
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
        vocab_size=vocabulary,
        block_size=config.block_size or 256,
        disk=0,
    )
