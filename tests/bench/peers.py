"""The models that are compared, each made by its own project's code, all with the same weights."""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shakegpt.model import GPT, GPTConfig

SHAPE = GPTConfig()  # 124M


def our_model(shape: GPTConfig = SHAPE) -> GPT:
    """A GPT-2 with random weights: speed does not depend on them."""
    model = GPT(shape)
    model.initialize(torch.Generator().manual_seed(1))
    return model


def load_nanogpt(checkout: Path) -> types.ModuleType:
    """The model module of a nanoGPT checkout."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    assert spec is not None and spec.loader is not None, f"{checkout} has no model.py"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nanogpt_model(module: types.ModuleType, shape: GPTConfig = SHAPE) -> torch.nn.Module:
    """NanoGPT's GPT-2 of a shape, with random weights of its own."""
    sizes = {n: getattr(shape, n) for n in ("n_layer", "n_head", "n_embd", "block_size")}
    config = module.GPTConfig(**sizes, vocab_size=shape.vocab_size, dropout=0.0, bias=True)
    model: torch.nn.Module = module.GPT(config)
    return model


def transformers_model(ours: GPT | None = None) -> Any:
    """GPT2LMHeadModel with the weights of `ours`, or of 124M with random ones."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = ours.config if ours is not None else SHAPE
    config = GPT2Config(
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        n_embd=shape.n_embd,
        n_positions=shape.block_size,
        vocab_size=shape.vocab_size,
        bos_token_id=None,
        eos_token_id=None,
        attn_pdrop=0,
        embd_pdrop=0,
        resid_pdrop=0,
    )
    model = GPT2LMHeadModel(config)
    if ours is not None:
        weights = {name: p.detach().clone() for name, p in ours.named_parameters()}
        model.transformer.load_state_dict(weights)
    return model


@torch.no_grad()
def copy_weights(ours: torch.nn.Module, theirs: dict[str, Tensor]) -> None:
    """Into nanoGPT's names: a prefix, a head of its own name, matrices stored (out, in)."""
    for name, p in ours.named_parameters():
        found = theirs[f"transformer.{name}"]
        found.copy_(p if (found.shape == p.shape and "c_" not in name) or p.dim() < 2 else p.t())
