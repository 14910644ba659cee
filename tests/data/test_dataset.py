"""Windows: a pure function of seed and place, the text used up before anything repeats."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.data.cache import cache_dir
from shakegpt.data.dataset import Dataset, Window, as_tensors, equally_long
from shakegpt.data.make_vocabulary import write_char_vocabulary
from shakegpt.data.sources import Text, load_text
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.hardware.device import choose
from shakegpt.nn import chunked_loss
from shakegpt.train.evaluate import measure
from tests.tiny import play, random_model


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A vocabulary with a token a character, so that lengths can be told exactly."""
    folder = tmp_path_factory.mktemp("letters")
    write_char_vocabulary(["abcdefghijklmnopqrstuvwxyz \n"], folder)
    return Tokenizer(folder)


PLACES = [(1, 1), (1, 2), (2, 1), (77, 5), (10_000, 3)]


def text_of(length: int) -> Text:
    content = ("the quick brown fox jumps over the lazy dog " * (length // 40 + 1))[:length]
    return Text("t", content, f"{length:064}")


def made(letters: Tokenizer, length: int, block_size: int, seed: int = 1) -> Dataset:
    return Dataset(text_of(length), letters, block_size, seed)


@pytest.mark.parametrize("seed", [0, 1337, 2**63 - 1])
def test_a_batch_depends_on_its_place_alone(letters: Tokenizer, seed: int) -> None:
    one, two = (made(letters, 500, 7, seed) for _ in range(2))
    forward = [one.batch(*place, 5, 3) for place in PLACES]
    backward = [two.batch(*place, 5, 3) for place in reversed(PLACES)]
    assert forward == backward[::-1]


@pytest.mark.parametrize("length", [100, 101, 463, 1000])
def test_an_epoch_uses_every_window_once(letters: Tokenizer, length: int) -> None:
    data = made(letters, length, 8)
    count = data.windows_per_epoch
    for epoch in range(4):
        drawn = [data.train_window(epoch * count + n) for n in range(count)]
        covered = Counter(i for w in drawn for i in range(w.start, w.start + w.length))
        assert set(covered.values()) == {1} and len(covered) == count * 8
        assert max(covered) + 1 <= len(data.train) - 1, "each input has its target"
        assert len(data.train) - 1 - len(covered) < 8, "no whole window is left out"


def test_no_token_is_left_out_for_ever(letters: Tokenizer) -> None:
    """What is over at the end of the windows in one epoch lies inside them in another."""
    data = made(letters, 463, 8)
    drawn = [data.train_window(n) for n in range(60 * data.windows_per_epoch)]
    seen = {i for w in drawn for i in range(w.start, w.start + w.length)}
    assert (len(data.train) - 1) % 8 and seen == set(range(len(data.train) - 1))


def test_epochs_differ_and_seeds_differ(letters: Tokenizer) -> None:
    data, other = made(letters, 2003, 8), made(letters, 2003, 8, seed=2)
    n = data.windows_per_epoch
    first, second = ([data.train_window(e * n + i) for i in range(n)] for e in range(2))
    assert first != second
    assert first != [other.train_window(i) for i in range(n)]
    assert [w.start for w in first] != sorted(w.start for w in first)


def test_a_batch_reaches_over_the_end_of_an_epoch(letters: Tokenizer) -> None:
    data = made(letters, 200, 8)
    n = data.windows_per_epoch
    size = n // 2 + 1
    drawn = data.batch(1, 1, 2, size) + data.batch(1, 2, 2, size)
    assert drawn == [data.train_window(i) for i in range(2 * size)]
    assert len({w.start for w in drawn[:n]}) == n
    assert data.batch(2, 1, 2, size)[0] == data.train_window(2 * size)


def test_a_batch_larger_than_the_text_goes_round(letters: Tokenizer) -> None:
    data = made(letters, 100, 30)
    assert data.windows_per_epoch == 2
    assert len(data.batch(1, 1, 1, 7)) == 7


@given(st.integers(2, 300), st.integers(1, 40), st.integers(1, 400))
@settings(max_examples=200, deadline=None)
def test_evaluation_covers_each_token_once(length: int, block_size: int, most: int) -> None:
    data = object.__new__(Dataset)
    data.block_size = block_size
    tokens = np.zeros(length, np.uint16)
    whole = data.eval_windows(tokens, length)
    predicted = [i for w in whole for i in range(w.start + 1, w.start + w.length + 1)]
    assert predicted == list(range(1, length))
    some = data.eval_windows(tokens, most)
    assert some == data.eval_windows(tokens, most) and set(some) <= set(whole)
    assert len(set(some)) == len(some) >= 1
    assert sum(w.length for w in some) <= max(most, block_size)


def test_a_part_is_evenly_spread(letters: Tokenizer) -> None:
    data = made(letters, 100, 8)
    starts = [w.start for w in data.eval_windows(np.zeros(801, np.uint16), 80)]
    assert len(starts) == 10 and set(np.diff(starts)) == {80}


def test_the_log_says_what_is_evaluated(letters: Tokenizer) -> None:
    data = made(letters, 1000, 8)
    whole, part = data.record(1000), data.record(50)
    assert (whole.train_tokens, whole.val_tokens) == (900, 100)
    assert whole.eval_whole and whole.eval_tokens == 99
    assert not part.eval_whole and part.eval_tokens == 48


@pytest.mark.parametrize(("length", "windows"), [(20, None), (21, 1), (22, 1), (40, 1), (41, 2)])
def test_one_window_one_token_more_one_less(
    letters: Tokenizer, length: int, windows: int | None
) -> None:
    total = next(n for n in range(1000) if int(n * 0.9) == length)
    if windows is None:
        with pytest.raises(ShakegptError, match=r"\b20\b.*\b21\b"):
            made(letters, total, 20)
    else:
        assert made(letters, total, 20).windows_per_epoch == windows


def test_too_short_a_validation_part_is_told(letters: Tokenizer) -> None:
    with pytest.raises(ShakegptError, match=r"\b1\b.*\b2\b"):
        made(letters, 10, 2)


def test_targets_follow_their_inputs(letters: Tokenizer) -> None:
    data = made(letters, 200, 8)
    x, y = as_tensors(data.train, [Window(3, 8), Window(50, 8)])
    assert x.shape == y.shape == (2, 8) and x.is_contiguous() and y.is_contiguous()
    assert (
        x[0].tolist() == data.train[3:11].tolist() and y[1].tolist() == data.train[51:59].tolist()
    )


def test_batches_are_of_one_length() -> None:
    windows = [*(Window(n, 8) for n in range(5)), Window(5, 3)]
    assert [len(b) for b in equally_long(windows, 2)] == [2, 2, 1, 1]
    assert [w for b in equally_long(windows, 4) for w in b] == windows


def test_val_loss_is_the_mean_over_tokens_not_windows(letters: Tokenizer) -> None:
    data = made(letters, 300, 8)  # 30 validation tokens: three windows of 8 and one of 5
    model = random_model(n_layer=1, n_head=2, n_embd=16, block_size=32, vocab_size=letters.n_vocab)
    found = measure(model.eval(), data, 1000, 2, choose("cpu", "float32"))
    losses = []
    for w in data.eval_windows(data.val, 1000):
        x, y = as_tensors(data.val, [w])
        losses += chunked_loss.losses(model, x, y)[0].tolist()
    assert found.tokens == len(losses) == 29
    assert found.loss == pytest.approx(sum(losses) / 29, abs=1e-5)


def test_tokens_are_kept_by_content(letters: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    once = made(letters, 777, 8)
    calls: list[str] = []

    def encode(_: Tokenizer, text: str) -> list[int]:
        calls.append(text)
        return []

    monkeypatch.setattr(Tokenizer, "encode", encode)
    again = made(letters, 777, 8)
    assert not calls and np.array_equal(again.train, once.train)
    with pytest.raises(ShakegptError):
        made(letters, 778, 8)
    assert calls


def test_another_vocabulary_does_not_take_the_kept_tokens(letters: Tokenizer) -> None:
    text = text_of(900)
    assert len(Dataset(text, letters, 8, 1).train) == 810
    assert len(Dataset(text, Tokenizer(POCKET), 8, 1).train) < 810


@pytest.mark.parametrize("damage", ["emptied", "junk", "cut", "a bit"])
def test_spoiled_kept_tokens_are_made_again(letters: Tokenizer, cache: Path, damage: str) -> None:
    before = set((cache / "tokens").glob("*"))
    length = 1200 + len(damage)
    once = made(letters, length, 8)
    for path in set((cache / "tokens").glob("*")) - before:
        data = path.read_bytes()
        flipped = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        spoiled = {"emptied": b"", "junk": b"junk", "cut": data[:-40], "a bit": flipped}
        path.write_bytes(spoiled[damage])
    assert np.array_equal(made(letters, length, 8).train, once.train)


def test_a_cache_that_cannot_be_written_is_done_without(
    letters: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SHAKEGPT_CACHE", str(tmp_path / "file"))
    assert len(made(letters, 640, 8).train) == 576
    assert cache_dir() == tmp_path / "file"


def test_the_split_is_by_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(play(), "utf-8")
    text = load_text([str(path)])
    data = Dataset(text, Tokenizer(checkpoint.POCKET), 16, 1)
    decoded = Tokenizer(POCKET).decode(data.train.tolist())
    assert decoded == text.content[: int(len(text.content) * 0.9)]
    assert decoded + Tokenizer(POCKET).decode(data.val.tolist()) == text.content


def documents(*parts: str, marked: bool = True) -> Text:
    content = "".join(part + END_OF_TEXT * marked for part in parts)
    return Text("d", content, hashlib.sha256(content.encode()).hexdigest(), len(parts))


def test_each_document_ends_with_the_end_of_text(letters: Tokenizer) -> None:
    text = documents(*("abc def" for _ in range(100)))
    data = Dataset(text, letters, 8, 1)
    assert letters.eot is not None
    for tokens, characters in (
        (data.train, data.train_characters),
        (data.val, data.val_characters),
    ):
        ends = np.flatnonzero(tokens == letters.eot)
        assert set(np.diff(ends)) == {8} and ends[-1] == len(tokens) - 1, "cut between documents"
        assert characters == len(tokens) - len(ends)
    record = data.record(100)
    assert record.documents == 100 and record.val_characters == data.val_characters == 70


@pytest.mark.parametrize("place", range(80, 102))
def test_the_split_never_cuts_the_mark_between_documents(letters: Tokenizer, place: int) -> None:
    text = documents("a" * place, "b" * (100 - place + 20))
    data = Dataset(text, letters, 4, 1)
    assert (len(data.train) + len(data.val), data.train_characters + data.val_characters) == (
        122,
        120,
    )


def test_a_vocabulary_without_an_end_of_text_is_refused_for_documents(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1}')
    (tmp_path / "merges.txt").write_text("")
    plain = Tokenizer(tmp_path)
    with pytest.raises(ShakegptError, match="--no-separate-documents"):
        Dataset(documents("ab" * 40, "ba" * 40), plain, 4, 1)
    assert len(Dataset(documents("ab" * 40, "ba" * 40, marked=False), plain, 4, 1).train) == 144


def test_a_validation_text_leaves_all_of_the_text_to_training(letters: Tokenizer) -> None:
    text, other = text_of(500), text_of(300)
    data = Dataset(text, letters, 8, 1, val_text=other)
    assert (len(data.train), len(data.val)) == (500, 300)
    record = data.record(1000)
    assert (record.val_name, record.val_sha256) == (other.name, other.sha256)
    assert (record.train_characters, record.val_characters) == (500, 300)


def test_parts_of_all_sizes_have_their_own_cache(letters: Tokenizer) -> None:
    text = text_of(500)
    for fraction in (0.1, 0.25, 0.5, 1):
        for _ in range(2):  # the second time from the cache
            data = Dataset(text, letters, 8, 1, val_fraction=fraction)
            assert len(data.val) == round(500 * fraction) and len(data.train) + len(data.val) == 500
