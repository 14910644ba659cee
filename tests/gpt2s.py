"""Other people's GPT-2s, built small: as transformers 4 and 5 and training scripts save them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, ByteLevelBPETokenizer
from torch import Tensor
from transformers import GPT2Config, GPT2DoubleHeadsModel, GPT2LMHeadModel, GPT2Tokenizer

from tests.tiny import play

ADDED = {
    "<|user|>": AddedToken("<|user|>", special=True, normalized=False),
    "[PAD]": AddedToken("[PAD]", special=True, normalized=False),
    "HAMLETISSIMO": AddedToken("HAMLETISSIMO", special=False, normalized=True),
    "<|end of turn|>": AddedToken("<|end of turn|>", special=True, normalized=False),
    "<m>": AddedToken("<m>", special=True, normalized=False, lstrip=True),
    "<r>": AddedToken("<r>", special=True, normalized=False, rstrip=True),
    "<m>x": AddedToken("<m>x", special=False, normalized=False),
    "forsooth": AddedToken("forsooth", special=False, normalized=True, single_word=True),
}
PREFIXES = ("", "transformer.", "_orig_mod.transformer.", "module.transformer.", "model.",
            "_orig_mod.module.model.transformer.", "module._orig_mod.transformer.",
            "model.transformer.", "net.gpt.transformer.")  # fmt: skip
TOKENIZERS = ("tokenizer.json", "generic", "vocab.json", "version 4", "version 4, map")


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is made."""

    ends: str = "last"
    """Where <|endoftext|> stands among the ids: first, last, or added beyond them."""
    tokenizer: str = "tokenizer.json"
    added: tuple[str, ...] = ()
    pad: bool = False
    rows_beyond: int = 0
    prefix: str = "transformer."
    dtype: str = "float32"
    shards: int = 1
    head: str = "none"
    """none, a copy of the embedding (beside it, or alone), or own weights, which are not tied."""
    activation: str = "gelu_new"
    masks: bool = False
    year: int = 2026
    architecture: str = "GPT2LMHeadModel"
    seed: int = 0


@cache
def trained(first: bool, folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE of 300 tokens and <|endoftext|>, by another library."""
    made = ByteLevelBPETokenizer()
    special = ["<|endoftext|>"] if first else []
    made.train_from_iterator([play(40) + " naïve café"], 300 + first, 2, False, special)
    made.save_model(str(folder))
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    vocab: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
    return vocab, merges  # type: ignore[return-value]


def make(recipe: Recipe, folder: Path, scratch: Path) -> dict[str, Tensor]:
    """Write the checkpoint; returns the weights by GPT-2's own names, float32."""
    folder.mkdir(parents=True)
    vocab, merges = trained(recipe.ends == "first", scratch)
    vocab = dict(vocab)
    if recipe.ends == "last":
        vocab["<|endoftext|>"] = len(vocab)
    tokenizer = GPT2Tokenizer(vocab, merges)  # type: ignore[arg-type]  # pairs, as it documents
    tokens = [ADDED[name] for name in recipe.added]
    tokenizer.add_tokens([t for t in tokens if not t.special])
    tokenizer.add_special_tokens({"additional_special_tokens": [t for t in tokens if t.special]})
    if recipe.pad:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    _write_tokenizer(recipe, tokenizer, vocab, merges, folder)

    eot = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer) + recipe.rows_beyond, n_positions=16, n_embd=16, n_layer=2,
        n_head=2, bos_token_id=eot, eos_token_id=eot, activation_function=recipe.activation,
        tie_word_embeddings=recipe.head != "own",
    )  # fmt: skip
    torch.manual_seed(recipe.seed)
    kind = (
        GPT2DoubleHeadsModel if recipe.architecture == "GPT2DoubleHeadsModel" else GPT2LMHeadModel
    )
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    raw = config.to_diff_dict() | {"architectures": [recipe.architecture]}
    if recipe.year == 2019:
        for key in ("model_type", "scale_attn_weights", "use_cache", "transformers_version",
                    "architectures"):  # fmt: skip
            raw.pop(key, None)
        raw |= {"n_ctx": raw.pop("n_positions"), "predict_special_tokens": True, "pruned_heads": {}}
    (folder / "config.json").write_text(json.dumps(raw))
    return _write_weights(recipe, model, folder)


def _write_tokenizer(
    recipe: Recipe, tokenizer: GPT2Tokenizer, vocab: dict[str, int], merges: Any, folder: Path
) -> None:
    if recipe.tokenizer in ("tokenizer.json", "generic"):
        tokenizer.save_pretrained(folder)
        if recipe.tokenizer == "generic":
            path = folder / "tokenizer_config.json"
            raw = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
            path.write_text(json.dumps(raw))
        return
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    if recipe.tokenizer == "vocab.json":
        return
    roles = dict(tokenizer.special_tokens_map)
    extra = [name for name in recipe.added if ADDED[name].special]
    beyond = tokenizer.added_tokens_decoder
    if recipe.tokenizer == "version 4":
        listed = {str(id): {k: getattr(token, k) for k in FLAGS} for id, token in beyond.items()}
        raw = {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": listed, **roles}
        raw |= {"additional_special_tokens": extra, "model_max_length": 16}
        (folder / "tokenizer_config.json").write_text(json.dumps(raw))
        return
    (folder / "special_tokens_map.json").write_text(
        json.dumps({**roles, "additional_special_tokens": extra})
    )
    added = {str(token): id for id, token in beyond.items() if str(token) not in vocab}
    (folder / "added_tokens.json").write_text(json.dumps(added))


FLAGS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")


def _write_weights(recipe: Recipe, model: Any, folder: Path) -> dict[str, Tensor]:
    weights = {n.removeprefix("transformer."): p.data for n, p in model.named_parameters()}
    heads = {n: t for n, t in weights.items() if n.startswith("multiple_choice_head")}
    own = {n: t for n, t in weights.items() if n == "lm_head.weight" and recipe.head == "own"}
    weights = {n: t for n, t in weights.items() if n not in heads and n != "lm_head.weight"}
    dtype = getattr(torch, recipe.dtype)
    saved = {recipe.prefix + n: t.to(dtype).clone() for n, t in weights.items()}
    wrapper = recipe.prefix.removesuffix("transformer.")
    saved |= {wrapper + n: t.to(dtype).clone() for n, t in (heads | own).items()}
    if recipe.head in ("beside", "alone"):
        saved[wrapper + "lm_head.weight"] = weights["wte.weight"].to(dtype).clone()
    if recipe.head == "alone":
        del saved[recipe.prefix + "wte.weight"]
    if recipe.masks:
        for n in range(2):
            saved[f"{recipe.prefix}h.{n}.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
            saved[f"{recipe.prefix}h.{n}.attn.masked_bias"] = torch.tensor(-1e4)
    if recipe.shards == 1:
        save_file(saved, folder / "model.safetensors", {"format": "pt"})
    else:
        where = dict[str, str]()
        keys = sorted(saved)
        random.Random(recipe.seed).shuffle(keys)
        for k in range(recipe.shards):
            name = f"model-{k + 1:05}-of-{recipe.shards:05}.safetensors"
            part = {key: saved[key] for key in keys[k :: recipe.shards]}
            save_file(part, folder / name, {"format": "pt"})
            where |= dict.fromkeys(part, name)
        index = {"metadata": {"total_size": 1}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return {n: t.to(dtype).float() for n, t in (weights | own).items()}
