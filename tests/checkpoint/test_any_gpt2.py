"""Any GPT-2 that people have loads, and what a run makes of it loads in transformers, the same."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.provenance import provenance
from shakegpt.errors import ShakegptError
from shakegpt.files import sha256
from shakegpt.runlog import schema
from shakegpt.runlog.log import LOG_NAME
from shakegpt.session import finetune
from tests.gpt2s import ADDED, PREFIXES, TOKENIZERS, Recipe, make
from tests.tiny import Listener, kinds, tiny_config

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
    head=st.sampled_from(["none", "beside", "alone", "own"]),
    activation=st.sampled_from(["gelu_new", "gelu", "gelu_pytorch_tanh"]),
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
        own = {n: t for n, t in weights.items() if n.startswith("lm_head")}
        inner = {f"transformer.{n}": t for n, t in weights.items() if n not in own}
        plain.load_state_dict(inner | own, strict=False)
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


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    make(Recipe(added=("<|user|>",)), folder / "model", folder)
    return folder / "model"


def edit(name: str, **changes: Any) -> Callable[[Path], object]:
    """Change fields of a JSON file; those with "__" in their names lie deeper."""

    def change(folder: Path) -> None:
        path = folder / name
        raw = json.loads(path.read_text("utf-8")) if path.exists() else {}
        for key, value in changes.items():
            *above, last = key.split("__")
            inner = raw
            for part in above:
                inner = inner[part]
            inner[last] = value
        path.write_text(json.dumps(raw), "utf-8")

    return change


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = {name: t.clone() for name, t in load_file(path).items()}
        change(tensors)
        save_file(tensors, path)

    return apply


def only(*names: str) -> Callable[[Path], object]:
    """Take the vocabulary away, and put empty files in its place."""

    def replace_vocabulary(folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
        for name in names:
            (folder / name).write_text("[UNK]\n")

    return replace_vocabulary


def nanogpts(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "ckpt.pt").touch()


def trainers(folder: Path) -> None:
    for name in ("checkpoint-90", "checkpoint-500"):
        shutil.copytree(folder, folder / name)
    (folder / "config.json").unlink()


WTE = "transformer.wte.weight"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "own head of a tied model": (
        weights(lambda w: w.update({"lm_head.weight": w[WTE] + 1})), "tie_word_embeddings"
    ),
    "untied without head": (edit("config.json", tie_word_embeddings=False), "tie_word_embeddings"),
    "head with a bias": (
        weights(lambda w: w.update({"lm_head.bias": torch.ones(302)})), "lm_head.bias"
    ),
    "adapter": (weights(lambda w: w.update({"h.0.attn.c_attn.lora_A.weight": w[WTE] + 1})), "PEFT"),
    "cross attention": (
        weights(lambda w: w.update({"transformer.h.0.ln_cross_attn.bias": torch.ones(16)})),
        "ln_cross_attn",
    ),
    "two models": (weights(lambda w: w.update({"ref.wte.weight": w[WTE].clone()})), "wte.weight"),
    "another activation": (edit("config.json", activation_function="relu"), "'relu'"),
    "own code": (edit("config.json", auto_map={"AutoModel": "x.Y"}), "auto_map"),
    "quantized": (edit("config.json", quantization_config={"bits": 4}), "quantization_config"),
    "pruned": (edit("config.json", pruned_heads={"0": [1]}), "pruned_heads"),
    "another architecture": (edit("config.json", architectures=["GPTNeoModel"]), "GPTNeoModel"),
    "another model": (edit("config.json", model_type="bert"), "'bert'"),
    "lowercase": (edit("tokenizer.json", normalizer={"type": "Lowercase"}), "Lowercase"),
    "NFC": (
        edit("tokenizer.json", normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]}),
        "NFC",
    ),
    "Metaspace": (edit("tokenizer.json", pre_tokenizer={"type": "Metaspace"}), "Metaspace"),
    "prefix space": (
        edit("tokenizer.json", pre_tokenizer=BYTES | {"add_prefix_space": True}),
        "add_prefix_space",
    ),
    "no regex": (edit("tokenizer.json", pre_tokenizer=BYTES | {"use_regex": False}), "ByteLevel"),
    "digits": (
        edit("tokenizer.json", pre_tokenizer={
            "type": "Sequence", "pretokenizers": [{"type": "Digits"}, BYTES]
        }),
        "Digits",
    ),
    "adds a token": (
        edit("tokenizer.json", post_processor={
            "type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {"<s>": {}}
        }),
        "TemplateProcessing",
    ),
    "WordPiece": (edit("tokenizer.json", model={"type": "WordPiece", "vocab": {}}), "WordPiece"),
    "Unigram": (edit("tokenizer.json", model={"type": "Unigram", "vocab": []}), "Unigram"),
    "byte fallback": (edit("tokenizer.json", model__byte_fallback=True), "byte_fallback"),
    "ignores merges": (edit("tokenizer.json", model__ignore_merges=True), "ignore_merges"),
    "dropout": (edit("tokenizer.json", model__dropout=0.1), "dropout"),
    "prefix space by option": (edit("tokenizer_config.json", add_prefix_space=True), "add_prefix"),
    "lower case by option": (edit("tokenizer_config.json", do_lower_case=True), "do_lower_case"),
    "class": (edit("tokenizer_config.json", tokenizer_class="BertTokenizer"), "BertTokenizer"),
    "class by the model": (edit("config.json", tokenizer_class="XLNetTokenizer"), "GPT2Tokenizer"),
    "added id": (edit("added_tokens.json", **{"<|user|>": 7}), "<|user|>"),
    "gap": (edit("added_tokens.json", **{"<|late|>": 309}), "309"),
    "token without a row": (edit("tokenizer_config.json", pad_token="<|no row|>"), "<|no row|>"),
    "two vocabularies": (
        lambda f: [
            (f / "vocab.json").write_text(json.dumps({"a": 0, "b": 1})),
            (f / "merges.txt").write_text(""),
        ],
        "disagree",
    ),
    "BERT": (only("vocab.txt"), "WordPiece"),
    "SentencePiece": (only("spiece.model"), "SentencePiece"),
    "OpenAI's names": (only("encoder.json", "vocab.bpe"), "rename"),
    "no vocabulary": (only(), "tokenizer.json"),
    "Flax": (
        lambda f: (f / "model.safetensors").rename(f / "flax_model.msgpack"), "flax_model.msgpack"
    ),
    "pickle": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "shakegpt convert"
    ),
    "Git LFS": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1"),
        "git lfs pull",
    ),
    "nanoGPT": (nanogpts, "shakegpt convert"),
    "a Trainer's directory": (trainers, "checkpoint-500"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_computed_otherwise_is_refused_by_name(
    name: str, good: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "model"))
    spoil, words = REFUSED[name]
    spoil(folder)
    if name == "class by the model":
        (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ShakegptError) as refused:
        checkpoint.read_config(folder)
        checkpoint.vocabulary(folder)
        checkpoint.load(folder)
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


WARNED: dict[str, tuple[Callable[[Path], object], str]] = {
    "field": (edit("config.json", rotary_base=10_000), "rotary_base"),
    "option": (edit("tokenizer_config.json", spaces_between=2), "spaces_between"),
    "classifier": (
        weights(lambda w: w.update({"score.weight": torch.ones(2, 16)})),
        "score.weight",
    ),
    "end of text": (edit("generation_config.json", eos_token_id=5), "5"),
    "an id too large": (edit("config.json", eos_token_id=50256), "50256"),
}


def test_what_is_ignored_is_in_the_log(good: Path, tmp_path: Path, text_file: Path) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "model"))
    for spoil, _ in WARNED.values():
        spoil(folder)
    vocabulary = checkpoint.vocabulary(folder)
    assert vocabulary.encode("a<|user|>")[-1] == vocabulary.n_vocab - 1
    config = tiny_config(
        text_file, tmp_path / "run", init_from=str(folder), block_size=None, max_iters=1,
        max_new_tokens=0,
    )  # fmt: skip
    digest = sha256(folder / "model.safetensors")
    run = finetune(config, Listener(lambda _: shutil.rmtree(folder, ignore_errors=True)))
    records = [json.loads(line) for line in (run / LOG_NAME).read_text("utf-8").splitlines()]
    said = " ".join(r["message"] for r in records if r["event"] == "warning")
    assert [words for _, words in WARNED.values() if words not in said] == []
    assert records[0]["model"]["sha256"] == digest
    assert checkpoint.vocabulary(run / "model").fingerprint == vocabulary.fingerprint


def test_rows_without_a_token_are_never_drawn_or_shown(tmp_path: Path, text_file: Path) -> None:
    make(Recipe(rows_beyond=200), tmp_path / "model", tmp_path)
    path = tmp_path / "model" / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as an editor of Windows saves it
    config = tiny_config(
        text_file, tmp_path / "run", init_from=str(tmp_path / "model"), block_size=None, max_iters=1
    )
    log = Listener()
    finetune(config, log)
    inspected = kinds(log.records, schema.Inspection)
    assert inspected and all(max(record.texts) < 301 for record in inspected)
    drawn = kinds(log.records, schema.Token)
    assert max(c.id for token in drawn for c in token.candidates) < 301


def test_a_special_token_that_no_file_lists_is_text_as_in_transformers(tmp_path: Path) -> None:
    make(Recipe(tokenizer="vocab.json"), tmp_path / "model", tmp_path)
    path = tmp_path / "model" / "vocab.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"<mask>": 301}), "utf-8")
    edit("config.json", vocab_size=302)(tmp_path / "model")
    ours = checkpoint.vocabulary(tmp_path / "model")
    theirs: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert ours.encode("a<mask>b") == theirs("a<mask>b")["input_ids"]
    assert any("<mask>" in warning for warning in ours.warnings)
    assert ours.decode([301]) == "<mask>"


MERGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=14)


@given(MERGES, st.randoms(use_true_random=False), st.text("abc <", max_size=30))
@settings(max_examples=150, deadline=None, derandomize=True, phases=[Phase.generate])
def test_any_merges_give_the_ids_of_tokenizers(pairs: Any, random: Any, text: str) -> None:
    from tokenizers import Tokenizer as Theirs
    from tokenizers import models, pre_tokenizers

    from shakegpt.data.tokenizer import Tokenizer, byte_to_unicode

    tokens, merges = list(byte_to_unicode().values()), []
    start = [tokens.index(char) for char in "abcĠ"]
    usable = [tokens[n] for n in start]
    for left, right in pairs:
        pair = usable[left % len(usable)], usable[right % len(usable)]
        if pair not in merges:
            merges.append(pair)
            usable += [token for token in ["".join(pair)] if token not in usable]
    tokens += usable[4:]
    if random.random() < 0.3:
        random.shuffle(merges)
    vocab = {token: id for id, token in enumerate(tokens)}
    theirs = Theirs(models.BPE(vocab, merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps(vocab), "utf-8")
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        (Path(folder) / "merges.txt").write_text("\n".join(lines), "utf-8")
        assert Tokenizer(Path(folder)).encode(text) == theirs.encode(text).ids
