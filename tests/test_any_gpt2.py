"""Any GPT-2 that people have loads, and what a run makes of it loads in transformers, the same."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.provenance import provenance
from tests.gpt2s import ADDED, PREFIXES, TOKENIZERS, Recipe, make

RECIPES = st.builds(
    Recipe,
    ends=st.sampled_from(["first", "last", "added"]),
    tokenizer=st.sampled_from(TOKENIZERS),
    added=st.lists(st.sampled_from(sorted(ADDED)), unique=True, max_size=4).map(tuple),
    pad=st.booleans(),
    rows_beyond=st.sampled_from([0, 3]),
    prefix=st.sampled_from(PREFIXES),
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
    shards=st.sampled_from([1, 3]),
    head=st.sampled_from(["none", "beside", "alone"]),
    masks=st.booleans(),
    year=st.sampled_from([2019, 2026]),
    architecture=st.sampled_from(["GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel"]),
    seed=st.integers(0, 9),
)
WORDS = st.sampled_from(
    [
        "<|endoftext|>",
        *ADDED,
        " ",
        "  ",
        "\n",
        "the king",
        " love",
        "é",
        "🎭",
        "a",
        "<",
        "|>",
        "<pad>",
    ]
)
TEXTS = st.lists(WORDS, max_size=12).map("".join)


def usable(recipe: Recipe) -> Recipe:
    """`recipe` without what its form cannot say: vocab.json alone has no added tokens."""
    if recipe.tokenizer == "vocab.json":
        ends = "last" if recipe.ends == "added" else recipe.ends
        return replace(recipe, added=(), pad=False, ends=ends)
    if recipe.tokenizer == "version 4, map":  # which keeps no options of tokens
        plain = tuple(t for t in recipe.added if t in ("<|user|>", "[PAD]", "<|end of turn|>"))
        return replace(recipe, added=plain)
    return recipe


@given(RECIPES.map(usable), st.lists(TEXTS, min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate])
def test_what_is_loaded_and_saved_is_the_same_in_transformers(
    recipe: Recipe, texts: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source, saved = Path(scratch) / "source", Path(scratch) / "saved"
        weights = make(recipe, source, Path(scratch))
        tokenizer, model = checkpoint.vocabulary(source), checkpoint.load(source).eval()
        checkpoint.save(model, saved, tokenizer)

        again = checkpoint.vocabulary(saved)
        assert again.fingerprint == tokenizer.fingerprint and again.eot == tokenizer.eot
        theirs: Any = AutoTokenizer.from_pretrained(saved)
        references = [theirs]
        if recipe.year != 2019:  # which transformers 5 does not read
            references.append(AutoTokenizer.from_pretrained(source))
        for reference in references:
            assert len(reference) == tokenizer.n_vocab
            assert reference.eos_token_id == tokenizer.eot
            for text in texts:
                ids = tokenizer.encode(text)
                assert ids == reference(text)["input_ids"], (text, reference)
                assert tokenizer.decode(ids) == reference.decode(ids)
                assert ids == again.encode(text)
        assert all(ref.special_tokens_map == theirs.special_tokens_map for ref in references)

        batch = torch.tensor([[1, 5, 30, 299, 2, 7]])
        config = GPT2Config.from_pretrained(saved)
        plain: Any = GPT2LMHeadModel(config)
        plain.eval()
        plain.load_state_dict({f"transformer.{n}": t for n, t in weights.items()}, strict=False)
        plain.tie_weights()
        with torch.inference_mode():
            expected = plain(batch).logits
            assert torch.allclose(model(batch), expected, atol=1e-4)
            loaded: Any = AutoModelForCausalLM.from_pretrained(saved)
            assert torch.allclose(loaded.eval()(batch).logits, expected, atol=1e-4)
        warnings = provenance(source, tokenizer).warnings
        doubled = recipe.architecture == "GPT2DoubleHeadsModel"
        assert any("multiple_choice_head" in w for w in warnings) == doubled
        assert any("net" in w for w in warnings) == recipe.prefix.startswith("net")
