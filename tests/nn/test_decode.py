"""One token at a time gives the scores of the whole text, however its products are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shakegpt.model import Conv1D
from shakegpt.nn import fast_decode
from shakegpt.nn.fast_decode import SlidingWindow, Step, product, store_by_output
from shakegpt.nn.kv_cache import KVCache
from tests.tiny import random_model

SHAPE = {"n_layer": 3, "n_head": 2, "n_embd": 24, "block_size": 12, "vocab_size": 61}
TEXT = torch.randint(61, (30,), generator=torch.Generator().manual_seed(1)).tolist()


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@torch.inference_mode()
def test_the_cache_changes_no_hidden_state() -> None:
    model = random_model(**SHAPE).eval()
    idx = torch.tensor(TEXT[:24]).view(2, 12)
    whole = model.trunk(idx)
    cache = KVCache(model, batch=2)
    for new in (5, 1, 1, 3, 2):  # a prompt, single tokens, and several at once again
        seen = cache.length
        part = cache.trunk(model, idx[:, seen : seen + new])
        assert torch.allclose(part, whole[:, seen : seen + new], atol=1e-5)
    assert cache.length == 12
    assert torch.equal(model.trunk(idx), whole), "the model computes as before"


@pytest.mark.parametrize("pieces", [1, 2, 5, 8, 1000])
@pytest.mark.parametrize(
    "other", [{}, {"tie_word_embeddings": False}, {"activation_function": "gelu"}]
)
@pytest.mark.parametrize("path", ["in place", "by output", "in C"])
@torch.inference_mode()
def test_each_token_has_the_scores_of_the_whole_text(
    pieces: int, other: dict[str, Any], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_decode, "_pieces", lambda weight: pieces)
    if path != "in C":
        monkeypatch.setattr(fast_decode, "native_step_works", lambda: False)
    model = random_model(**SHAPE, **other).eval()
    if path != "in place":
        before = {name: p.clone() for name, p in model.state_dict().items()}
        store_by_output(model)
        assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    window, start, slides = SlidingWindow(model, 60), 0, 0
    for end in [3, 4, 5, 8, *range(9, 31)]:  # a prompt, single tokens, several, and single ones
        scores = window.predict(TEXT[:end])
        if window.slid:
            start, slides = end - 9, slides + 1
        whole = model(torch.tensor([TEXT[start:end]]))[0, -1, :60]
        assert torch.allclose(scores, whole, atol=1e-4), (end, window.slid)
    assert slides == 5


@torch.inference_mode()
def test_the_pieces_of_two_threads_are_the_whole(two_threads: None) -> None:
    model = random_model(**SHAPE).eval()
    assert fast_decode._pieces(model.wpe.weight) == (4 if torch._C.has_mkl else 1)
    cache = KVCache(model)
    step = Step(model)
    each = [step(torch.tensor([token]), cache) for token in TEXT[:12]]
    assert torch.allclose(torch.stack(each), model(torch.tensor([TEXT[:12]]))[0], atol=1e-4)
    assert cache.length == 12


@pytest.mark.parametrize("n_in", [1, 7, 24, 48])
@pytest.mark.parametrize("pieces", [1, 2, 6, 9, 30])
@torch.inference_mode()
def test_a_product_in_pieces_is_the_product(n_in: int, pieces: int) -> None:
    layer = Conv1D(n_in, 5)
    for p in layer.parameters():
        p.normal_(generator=torch.Generator().manual_seed(n_in))
    x = torch.linspace(-1, 1, n_in).view(1, -1)
    assert torch.allclose(product(layer, pieces)(x), layer(x), atol=1e-5)


class Adapted(nn.Module):
    """A layer that is more than its weights, as an adapter makes it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return 0.5 * y + 1


@torch.inference_mode()
def test_a_layer_that_was_replaced_is_used_as_it_is(two_threads: None) -> None:
    model: Any = random_model(**SHAPE).eval()
    plain = SlidingWindow(model, 61).predict(TEXT[:1])
    model.h[1].attn.c_attn = Adapted(model.h[1].attn.c_attn)
    model.h[2].mlp.c_proj = Adapted(model.h[2].mlp.c_proj)
    adapted = SlidingWindow(model, 61).predict(TEXT[:1])
    assert torch.allclose(adapted, model(torch.tensor([TEXT[:1]]))[0, -1], atol=1e-4)
    assert not torch.allclose(adapted, plain, atol=0.1)


@torch.inference_mode()
def test_a_step_sees_what_training_did_to_the_weights(two_threads: None) -> None:
    model = random_model(**SHAPE).eval()
    step = Step(model)
    for p in model.parameters():
        p.mul_(1.1)
    scores = step(torch.tensor([7]), KVCache(model))
    assert torch.allclose(scores, model(torch.tensor([[7]]))[0, 0], atol=1e-4)
