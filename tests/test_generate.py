"""Sampling: the mathematics of the draw, the same text for the same seed, long texts, endings."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GPT2LMHeadModel

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.generate import Draw, describe, generate, recorded, sample
from shakegpt.model import GPT
from shakegpt.nn.fast_decode import seen
from shakegpt.runlog import schema
from shakegpt.runlog.schema import Settings
from tests.tiny import copy_vocabulary, random_model

TOKENIZER = Tokenizer(POCKET)
SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 24}


def told(**changes: Any) -> Settings:
    usual = {"max_new_tokens": 12, "temperature": 1.0, "top_k": None, "top_p": None, "seed": 1}
    return Settings(**{**usual, **changes})


@pytest.fixture(scope="module")
def model() -> GPT:
    return random_model(**SHAPE, vocab_size=TOKENIZER.n_vocab).eval()


def ids(model: GPT, prompt: list[int], **changes: Any) -> list[int]:
    return [draw.id for draw in generate(model, TOKENIZER, prompt, told(**changes))]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Products of a token are computed in another way where threads can share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_greedy_is_what_transformers_generates(model: GPT, tmp_path: Path) -> None:
    checkpoint.save(model, tmp_path, TOKENIZER)
    theirs: Any = GPT2LMHeadModel.from_pretrained(tmp_path)
    prompt = TOKENIZER.encode("ROMEO:")
    expected = theirs.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt)),
        max_new_tokens=15,
        do_sample=False,
        pad_token_id=TOKENIZER.eot,
    )
    for count in (1, 2):
        with threads(count):
            ours = ids(model, prompt, temperature=0.0, max_new_tokens=15)
        assert ours == expected[0, len(prompt) :].tolist()


def test_greedy_on_the_pocket_is_what_transformers_generates() -> None:
    theirs: Any = GPT2LMHeadModel.from_pretrained(POCKET, dtype=torch.float32)
    prompt = TOKENIZER.encode("The old man")
    expected = theirs.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt)),
        max_new_tokens=40,
        do_sample=False,
        pad_token_id=TOKENIZER.eot,
    )[0, len(prompt) :].tolist()
    for count in (1, 2):
        with threads(count):
            ours = ids(checkpoint.load(POCKET).eval(), prompt, temperature=0.0, max_new_tokens=40)
        assert ours == expected


def test_the_same_seed_writes_the_same_text(model: GPT) -> None:
    first = ids(model, [5, 6])
    torch.manual_seed(99)
    torch.rand(10)
    assert ids(model, [5, 6]) == first
    assert ids(model, [5, 6], seed=2) != first


def test_sampling_draws_nothing_from_anyone_else(model: GPT) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    ids(model, [5, 6])
    assert torch.equal(torch.rand(3), expected)


def draw_from(logits: Tensor, random: torch.Generator, **changes: Any) -> Draw:
    token, probabilities, u = sample(logits, told(**changes), random)
    return describe(token, probabilities, logits, TOKENIZER, u=u)


def drawn(logits: Tensor, count: int = 400, **changes: Any) -> list[Draw]:
    random = torch.Generator().manual_seed(0)
    return [draw_from(logits, random, **changes) for _ in range(count)]


LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, 3.0, -4.0])
ORDER = [5, 0, 1, 2, 3, 4, 6]


def test_probabilities_are_those_of_the_softmax() -> None:
    expected = torch.softmax(LOGITS / 0.7, 0)
    raw = torch.softmax(LOGITS, 0)
    draws = drawn(LOGITS, 3000, temperature=0.7)
    for draw in draws:
        assert draw.probability == pytest.approx(float(expected[draw.id]), abs=2e-6)
        assert draw.raw == pytest.approx(float(raw[draw.id]), abs=2e-6)
        assert draw.rank == ORDER.index(draw.id) + 1
    shares = torch.bincount(torch.tensor([d.id for d in draws]), minlength=7) / 3000
    assert torch.allclose(shares, expected, atol=0.03)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 100])
def test_top_k_keeps_the_k_likeliest(k: int) -> None:
    draws = drawn(LOGITS, temperature=2.0, top_k=k)
    kept = ORDER[:k]
    assert {d.id for d in draws} <= set(kept) and len({d.id for d in draws}) >= min(k, 5)
    weights = torch.softmax(LOGITS[kept] / 2.0, 0)
    for draw in draws[:50]:
        assert draw.probability == pytest.approx(float(weights[kept.index(draw.id)]), abs=2e-6)


@pytest.mark.parametrize(
    ("p", "count"),
    [(1e-320, 1), (0.01, 1), (0.6, 1), (0.63, 2), (0.9, 3), (0.999999, 7), (1.0, 7)],
)
def test_top_p_keeps_the_fewest_that_make_up_p(p: float, count: int) -> None:
    probabilities = torch.softmax(LOGITS, 0)[ORDER]
    assert float(probabilities[:count].sum()) >= min(p, 0.999999), "the table above is wrong"
    assert count == 1 or float(probabilities[: count - 1].sum()) < p
    draws = drawn(LOGITS, 3000, top_p=p)
    assert {d.id for d in draws} <= set(ORDER[:count])
    assert len({d.id for d in draws}) >= min(count, 5)
    total = float(probabilities[:count].sum())
    for draw in draws[:50]:
        expected = float(probabilities[ORDER.index(draw.id)]) / total
        assert draw.probability == pytest.approx(expected, abs=2e-6)


def test_top_k_comes_before_top_p() -> None:
    draws = drawn(LOGITS, 500, temperature=3.0, top_k=3, top_p=0.7)
    three = torch.softmax(LOGITS[ORDER[:3]] / 3.0, 0)
    kept = 2 if float(three[:2].sum()) >= 0.7 else 3
    assert {d.id for d in draws} == set(ORDER[:kept])


def test_candidates_are_the_likeliest_of_the_model() -> None:
    draw = drawn(LOGITS, 1, temperature=0.5, top_k=2)[0]
    assert [c.id for c in draw.candidates] == ORDER[:5]
    assert [c.text for c in draw.candidates] == [TOKENIZER.decode([id]) for id in ORDER[:5]]
    assert sum(c.probability for c in draw.candidates) == pytest.approx(1, abs=1e-5)
    assert [c.probability for c in draw.candidates[2:]] == [0, 0, 0]
    raw = torch.softmax(LOGITS, 0)
    assert [c.raw for c in draw.candidates] == pytest.approx(raw[ORDER[:5]].tolist(), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e-300, 1e-3])
def test_a_cold_draw_is_the_likeliest(temperature: float) -> None:
    assert {d.id for d in drawn(LOGITS * 100, 20, temperature=temperature)} == {5}
    assert {d.id for d in drawn(LOGITS * 100, 20, temperature=temperature, top_k=3)} == {5}


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30),
    st.floats(0, 100),
    st.none() | st.integers(1, 2**31),
    st.none() | st.floats(0, 1, exclude_min=True),
)
@settings(max_examples=200, deadline=None)
def test_any_settings_give_a_draw(
    values: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    changes = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    for draw in drawn(torch.tensor(values), 2, **changes):
        assert 0 <= draw.id < len(values) and 0 <= draw.probability <= 1.000001
        assert 1 <= draw.rank <= len(values)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_top_p_of_a_large_vocabulary_keeps_the_fewest(p: float, spread: float) -> None:
    logits = spread * torch.randn(5000, generator=torch.Generator().manual_seed(1))
    ordered = torch.softmax(logits, 0).sort(descending=True)
    count = int((ordered.values.cumsum(0) - ordered.values < p).sum())
    kept = set(ordered.indices[:count].tolist())
    draws = drawn(logits, 100, top_p=p)
    assert {d.id for d in draws} <= kept
    total = float(ordered.values[:count].sum())
    for draw in draws[:20]:
        assert draw.probability == pytest.approx(draw.raw / total, rel=1e-3, abs=2e-6)
        assert draw.rank == int((logits > logits[draw.id]).sum()) + 1
        assert draw.candidates[0].probability == pytest.approx(
            float(ordered.values[0]) / total, abs=2e-6
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_get_a_sentence(bad: float) -> None:
    with pytest.raises(ShakegptError, match="not finite"):
        drawn(torch.tensor([1.0, bad, 2.0]), 1)


def test_a_text_longer_than_the_window_slides(model: GPT) -> None:
    draws = list(generate(model, TOKENIZER, [1, 2, 3], told(max_new_tokens=60, temperature=0.0)))
    assert len(draws) == 60 or draws[-1].id == TOKENIZER.eot
    slid = [n for n, draw in enumerate(draws) if draw.slid]
    assert slid == [22, 29, 36, 43, 50, 57], "full at 24 tokens, then 18 are kept each time"
    text = [1, 2, 3, *(d.id for d in draws)]
    for n in (0, 10, 21, 22, 25, 29, 40):
        start = 0 if n < 22 else 3 + max(s for s in slid if s <= n) - 18
        with torch.inference_mode():
            logits = model(torch.tensor([text[start : 3 + n]]))[0, -1]
        assert int(logits.argmax()) == draws[n].id, n
    for n in range(len(draws)):
        start = 0 if n < 22 else 3 + max(s for s in slid if s <= n) - 18
        assert seen(text[:3], text[3 : 3 + n], 24) == text[start : 3 + n]


def test_a_prompt_longer_than_the_window_is_cut_to_its_end(model: GPT) -> None:
    prompt = list(range(100, 150))
    first = next(iter(generate(model, TOKENIZER, prompt, told(temperature=0.0))))
    with torch.inference_mode():
        expected = int(model(torch.tensor([prompt[-18:]]))[0, -1].argmax())
    assert first.slid and first.id == expected
    assert seen(prompt, [], 24) == prompt[-18:]


def test_a_window_of_one_token_works() -> None:
    shape = SHAPE | {"block_size": 1}
    one = random_model(**shape, vocab_size=TOKENIZER.n_vocab).eval()
    assert len(ids(one, [5], max_new_tokens=3)) == 3


def test_the_end_of_a_text_ends_it(model: GPT) -> None:
    ending = random_model(**SHAPE, vocab_size=TOKENIZER.n_vocab).eval()
    with torch.no_grad():  # every state of ln_f becomes the same: the score is the embedding's sum
        ending.ln_f.weight.zero_()
        ending.ln_f.bias.fill_(1.0)
        ending.wte.weight[TOKENIZER.eot] = 5.0
    assert ids(ending, [5], temperature=0.0) == [TOKENIZER.eot]


def test_no_prompt_begins_a_new_text(model: GPT) -> None:
    assert TOKENIZER.eot is not None
    assert ids(model, []) == ids(model, [TOKENIZER.eot])


def test_a_padded_embedding_draws_no_token_that_is_none(tmp_path: Path) -> None:
    padded = random_model(**SHAPE, vocab_size=TOKENIZER.n_vocab + 64).eval()
    with torch.no_grad():
        padded.ln_f.weight.zero_()
        padded.ln_f.bias.fill_(1.0)
        padded.wte.weight[TOKENIZER.n_vocab :] = 5.0  # the likeliest by far, and no token
    found = ids(padded, [5], max_new_tokens=30)
    assert max(found) < TOKENIZER.n_vocab


def test_a_recorded_sample_is_whole(model: GPT) -> None:
    records = list(recorded(model, TOKENIZER, "é🎭", told(), iteration=3, sample=2, requested=True))
    start, *tokens, end = records
    assert isinstance(start, schema.Sample) and isinstance(end, schema.SampleEnd)
    assert start.requested and {(r.iteration, r.sample) for r in records} == {(3, 2)}
    assert [id for id, _ in start.prompt_tokens] == TOKENIZER.encode("é🎭")
    joined = "".join(t.text for t in tokens if isinstance(t, schema.Token))
    assert end.complete and end.tokens == len(tokens) and end.text.startswith(joined)
    assert set(end.text[len(joined) :]) <= {"\ufffd"}


def test_a_sample_that_is_cut_short_says_so(model: GPT) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise InterruptedError

    records: list[schema.Event] = []
    with pytest.raises(InterruptedError):
        for event in recorded(model, TOKENIZER, "a", told(), check=check):
            records.append(event)
    end = records[-1]
    assert isinstance(end, schema.SampleEnd) and not end.complete and end.tokens == 3


def test_a_folder_of_the_pocket_writes_what_the_pocket_writes(tmp_path: Path) -> None:
    folder = copy_vocabulary(tmp_path / "copy")
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(POCKET / name, folder / name)
    texts = [
        ids(checkpoint.load(checkpoint.find(name).folder).eval(), [5, 6, 7])
        for name in ("pocket", str(folder))
    ]
    assert texts[0] == texts[1]
