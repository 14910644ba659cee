"""Token ids are transformers' on any text, whole or in chunks; no character is ever halved."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from shakegpt.checkpoint.io import POCKET
from shakegpt.data import tokenizer as module
from shakegpt.data.make_vocabulary import write_char_vocabulary
from shakegpt.data.tokenizer import Decoder, Tokenizer, byte_to_unicode
from shakegpt.errors import ShakegptError
from tests.tiny import play

OURS, REFERENCE = Tokenizer(POCKET), AutoTokenizer.from_pretrained(POCKET)
AWKWARD = {
    "empty": "",
    "one space": " ",
    "speech": "ROMEO:\nBut soft! what light through yonder window breaks?\n\n",
    "contractions": "I'll we're don't 'TIS 'tis it's they've I'd he'M 'S's",
    "emoji": "🎭 to be 👩‍👩‍👧‍👦 or 🇬🇧 not 👍🏽\u200d",
    "combining marks": "e\u0301 a\u0308\u0323 \u0915\u094d\u0937 \u0e01\u0e33 x\u20dd",
    "windows line ends": "HAMLET:\r\nTo be\r\n\r\nor not\r\n",
    "old line ends": "a\rb\r\rc",
    "odd spaces": "a\u00a0b\u2003c\u3000d\u200be\x85f\x0bg\x0ch\u2028i\u2029j",
    "control characters": "a\x00b\x1bc\x1cd\x1ee\x7ff",
    "many spaces": "a" + " " * 300 + "b\n" + "\t" * 99 + "\n" * 77 + "c  ",
    "numbers": "1234567 ١٢٣ ½ ² Ⅷ 3.14e-10 0x1F",
    "scripts": "Чайка 桜の園 한국어 עברית العربية ελληνικά",
    "beyond the plane": "𝔗𝔬 𝕓𝕖 𓀀 🜁 \U0010fffd",
    "end of text": "one<|endoftext|>two<|endoftext|><|endoftext|> three <|endoftext|>",
    "almost the end": "<|endoftext <|endoftext| > <|ENDOFTEXT|> <|end<|endoftext|>oftext|>",
    "no space, 100 kB": "".join(random.Random(1).choices("abcdefgh", k=100_000)),
    "one letter, 100 kB": "a" * 100_000,
    "one mark, 100 kB": "=" * 100_000,
    "spaces, 100 kB": " " * 100_000,
    "line breaks, 100 kB": "\n" * 100_000,
    "replacement": "\ufffd\ufeff\ufffe",
}


def theirs(folder: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return loaded


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level vocabulary learned from a small text by another library."""
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("learned")
    made = ByteLevelBPETokenizer()
    text = play(200) + " naïve café 🎭🎭🎭 ÷÷ \r\n\r\n"
    made.train_from_iterator([text], vocab_size=420, special_tokens=["<|endoftext|>"])
    made.save_model(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "vocab_size": 420}))
    return folder


@pytest.mark.parametrize("name", AWKWARD)
def test_ids_are_those_of_transformers(name: str) -> None:
    text = AWKWARD[name]
    ids = OURS.encode(text)
    assert ids == REFERENCE(text)["input_ids"]
    assert OURS.decode(ids) == text


@pytest.mark.parametrize("name", AWKWARD)
def test_another_vocabulary_gives_its_ids_too(name: str, learned: Path) -> None:
    text, ours = AWKWARD[name][:20_000], Tokenizer(learned)
    assert ours.encode(text) == theirs(learned)(text)["input_ids"]
    assert ours.decode(ours.encode(text)) == text


LETTERS = st.text(st.sampled_from("abe thor\n\t '.s1é🎭\u0301\r\u00a0\x1c\x85<|>"), max_size=60)


@given(LETTERS)
@settings(max_examples=300, deadline=None)
def test_ids_of_any_text_are_those_of_transformers(text: str) -> None:
    assert OURS.encode(text) == REFERENCE(text)["input_ids"]


@given(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(text: str) -> None:
    ids = OURS.encode(text)
    decoder = Decoder(OURS)
    assert "".join(map(decoder.add, ids)) + decoder.flush() == OURS.decode(ids) == text


@given(LETTERS, st.integers(1, 7))
@settings(max_examples=300, deadline=None)
def test_chunks_give_the_ids_of_the_whole(text: str, size: int) -> None:
    usual, module.CHUNK = module.CHUNK, size
    try:
        chunked = OURS.encode_array(text)
    finally:
        module.CHUNK = usual
    assert chunked.dtype == np.uint32
    assert chunked.tolist() == OURS.encode(text)


def test_a_long_line_is_cut_into_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 1000)
    text = " ".join(["O, that this too too solid flesh would melt"] * 1000)
    longest = max(len(chunk) for chunk in module._chunks(text, 0, None))
    assert longest < 1100
    assert OURS.encode_array(text).tolist() == OURS.encode(text)


def test_a_part_of_a_text_is_encoded_as_if_alone() -> None:
    text = play(3)
    assert OURS.encode_array(text, 10, 200).tolist() == OURS.encode(text[10:200])
    assert OURS.encode_array(text, 50).tolist() == OURS.encode(text[50:])
    assert OURS.encode_array("").tolist() == []


def test_decoding_waits_for_the_whole_character() -> None:
    decoder = Decoder(OURS)
    single = {OURS.token_bytes(n): n for n in range(OURS.n_vocab)}
    ids = [single[bytes([byte])] for byte in "é🎭".encode()]
    assert [decoder.add(id) for id in ids] == ["", "é", "", "", "", "🎭"]
    assert decoder.flush() == ""


@given(st.lists(st.integers(0, OURS.n_vocab - 1), max_size=40))
@settings(max_examples=300, deadline=None)
def test_decoding_piece_by_piece_is_decoding_at_once(ids: list[int]) -> None:
    decoder = Decoder(OURS)
    pieces = [decoder.add(id) for id in ids]
    assert "".join(pieces) + decoder.flush() == OURS.decode(ids)


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD.keys())
def test_each_character_is_counted_once_wherever_a_text_is_cut(text: str) -> None:
    ids = np.asarray(OURS.encode(text), np.uint16)
    length = len(text.replace("<|endoftext|>", ""))
    assert OURS.count_characters(ids) == length
    for cut in {0, len(ids) // 3, len(ids) // 2, len(ids)}:
        parts = OURS.count_characters(ids[:cut]) + OURS.count_characters(ids[cut:])
        assert parts == length


def test_a_half_character_at_the_end_is_told() -> None:
    decoder = Decoder(OURS)
    first = next(n for n in range(OURS.n_vocab) if OURS.token_bytes(n) == "🎭".encode()[:1])
    assert decoder.add(first) == "" and decoder.flush() == "\ufffd"


def test_the_pockets_vocabulary_is_whole() -> None:
    assert OURS.eot is not None and OURS.decode([OURS.eot]) == "<|endoftext|>"
    assert {bytes([b]) for b in range(256)} <= {OURS.token_bytes(n) for n in range(OURS.n_vocab)}
    assert len(set(byte_to_unicode().values())) == 256


def char_vocabulary(text: str, folder: Path) -> Tokenizer:
    folder.mkdir(exist_ok=True)
    write_char_vocabulary([text], folder)
    return Tokenizer(folder)


def test_a_character_vocabulary_has_one_token_a_character(tmp_path: Path) -> None:
    chars = char_vocabulary("hello\nworld", tmp_path)
    assert chars.n_vocab == len(set("hello\nworld")) + 1
    assert chars.encode("hold") == [sorted(set("hello\nworld")).index(c) for c in "hold"]
    assert chars.decode(chars.encode("lord\n")) == "lord\n"
    assert chars.eot == chars.n_vocab - 1 and chars.encode("o<|endoftext|>")[1] == chars.eot


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_character_vocabulary_spells_its_own_text(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        chars = char_vocabulary(text, Path(folder))
        assert chars.decode(chars.encode(text)) == text


def test_transformers_reads_a_character_vocabulary(tmp_path: Path) -> None:
    chars = char_vocabulary("to be, or not\n", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "vocab_size": 9}))
    assert theirs(tmp_path)("not to be\n")["input_ids"] == chars.encode("not to be\n")


@pytest.mark.parametrize("text", ["hello", "hello 床前明月光，疑是地上霜。举头望明月"])
def test_characters_that_are_not_in_it_are_named(tmp_path: Path, text: str) -> None:
    chars = char_vocabulary(text, tmp_path)
    assert chars.encode(text) and chars.encode("<|endoftext|>")
    with pytest.raises(ShakegptError, match="'R', 'z', 'é', '龙', '🎭'"):
        chars.encode("hez🎭龙éRh", "the prompt")


BAD = {
    "no vocabulary": ("vocab.json", None, "vocab.json cannot be read"),
    "no merges": ("merges.txt", None, "merges.txt cannot be read"),
    "torn vocabulary": ("vocab.json", '{"a": 0, "b"', "cannot be read"),
    "a list": ("vocab.json", "[1, 2]", "ids must be"),
    "empty": ("vocab.json", "{}", "ids must be"),
    "gaps": ("vocab.json", '{"a": 0, "b": 2}', "ids must be"),
    "texts for ids": ("vocab.json", '{"a": "0"}', "ids must be"),
    "other merges": ("merges.txt", "#version: 0.2\nq q\n", "does not fit"),
    "three in a merge": ("merges.txt", "a b c\n", "does not fit"),
    "binary merges": ("merges.txt", "\udcff", "cannot be read"),
    "deep": ("vocab.json", "[" * 100_000, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_vocabulary_gets_a_sentence(name: str, tmp_path: Path) -> None:
    file, content, words = BAD[name]
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    assert Tokenizer(tmp_path).encode("aab") == [0, 2]
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content, "utf-8", errors="surrogateescape")
    with pytest.raises(ShakegptError, match=words):
        Tokenizer(tmp_path)
