"""Vocabularies made from a text: a token a character in any script, or as many as asked for."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from shakegpt.data.make_vocabulary import bpe_size, learn_bpe, write_char_vocabulary
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from tests.tiny import play

SCRIPTS = "To be, été: Быть 床前明月光，疑是地上霜。🎭𝔄 मिर्च می\u200cرود é\n"


def made(folder: Path, *texts: str) -> Tokenizer:
    write_char_vocabulary(texts, folder)
    return Tokenizer(folder)


def ids_of_transformers(folder: Path, text: str, size: int) -> list[int]:
    shape = {"model_type": "gpt2", "vocab_size": size, "bos_token_id": 0, "eos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(shape))
    ids: list[int] = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    return ids


def test_every_character_is_one_token_in_transformers_too(tmp_path: Path) -> None:
    chars = made(tmp_path, SCRIPTS, "other text")
    ids = chars.encode(SCRIPTS)
    assert len(ids) == len(SCRIPTS) and chars.decode(ids) == SCRIPTS
    assert [chars.decode([id]) for id in ids] == list(SCRIPTS)
    assert ids_of_transformers(tmp_path, SCRIPTS, chars.n_vocab) == ids
    assert chars.encode("霜" + END_OF_TEXT)[1] == chars.eot == chars.n_vocab - 1


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_text_has_as_many_tokens_as_characters(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chars = made(Path(folder), text)
        assert len(chars.encode(text)) == len(text) and chars.decode(chars.encode(text)) == text


def test_ascii_has_a_token_a_character_in_code_order(tmp_path: Path) -> None:
    chars = made(tmp_path, "hello\nworld")
    assert chars.encode("hold") == [sorted(set("hello\nworld")).index(c) for c in "hold"]
    assert chars.n_vocab == len(set("hello\nworld")) + 1


def test_bpe_is_learned_from_the_text(tmp_path: Path) -> None:
    text = play(200) + SCRIPTS * 20
    learn_bpe([text, f"more{END_OF_TEXT}text"], 400, tmp_path)
    learned = Tokenizer(tmp_path)
    ids = learned.encode(text)
    assert learned.n_vocab == 400 and learned.eot == 399 and len(ids) < len(text) / 2
    assert learned.decode(ids) == text and ids_of_transformers(tmp_path, text, 400) == ids
    again = tmp_path / "again"
    again.mkdir()
    learn_bpe([text, f"more{END_OF_TEXT}text"], 400, again)
    assert Tokenizer(again).fingerprint == learned.fingerprint, "the same text, the same vocabulary"
    unseen = "龙 Ω a"
    assert learned.decode(learned.encode(unseen)) == unseen, "all bytes are there"


def test_too_short_a_text_is_told_what_it_gives(tmp_path: Path) -> None:
    with pytest.raises(ShakegptError, match=r"bpe:\d+") as refused:
        learn_bpe(["to be or not to be"], 4096, tmp_path)
    assert refused.value.exit_code == 2


def test_names_of_learned_vocabularies() -> None:
    assert [bpe_size(name) for name in ("bpe:257", "bpe:65536", "bpe:65,536")] == [
        257,
        65536,
        65536,
    ]
    assert bpe_size("char") is bpe_size("./bpe:x/dir") is None
    for wrong in ("bpe", "bpe:", "bpe:256", "bpe:65537", "bpe:-5", "bpe:many"):
        with pytest.raises(ShakegptError, match="257"):
            bpe_size(wrong)
