"""LoRA: the model as it is, a change beside it, an ordinary checkpoint of the two at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import GPT2LMHeadModel

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.config import FinetuneConfig
from shakegpt.config.fields import Matrix
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.hardware import memory
from shakegpt.model import GPT, Conv1D, GPTConfig
from shakegpt.nn import fast_decode, lora
from shakegpt.runlog.history import load
from shakegpt.session import finetune, resume
from shakegpt.train import state
from tests.fingerprint import tensor_sum
from tests.tiny import adamw, random_model, tiny_config
from tests.train.test_resume import stop_at

ALL: tuple[Matrix, ...] = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
SHAPE: dict[str, Any] = dict(n_layer=3, n_head=2, n_embd=16, block_size=12, vocab_size=50)
SETTINGS: dict[str, Any] = {
    "init_from": "pocket",
    "lora_rank": 4,
    "lora_dropout": 0.2,
    "dropout": 0.1,
    "max_iters": 6,
    "eval_interval": 2,
}


def adapted(**changes: Any) -> GPT:
    """A random model whose changes are random too, as if it had learned."""
    config = FinetuneConfig(lora_rank=3, lora_targets=ALL, **changes)
    model = lora.adapt(random_model(**SHAPE), config)
    with torch.no_grad():
        for p in lora.trainable(model).values():
            p.normal_(0, 0.3, generator=torch.Generator().manual_seed(p.numel()))
    return model.eval()


def tokens(model: GPT) -> Tensor:
    size = (2, model.config.block_size)
    return torch.randint(model.config.vocab_size, size, generator=torch.Generator().manual_seed(3))


def test_training_begins_at_the_model_itself() -> None:
    plain = random_model(**SHAPE)
    begun = lora.adapt(random_model(**SHAPE), FinetuneConfig(lora_rank=3, lora_targets=ALL))
    assert torch.equal(plain(tokens(plain)), begun(tokens(plain)))


@torch.inference_mode()
def test_the_merged_model_computes_what_the_adapted_one_does() -> None:
    model = adapted(lora_alpha=5.0)
    plain, whole = random_model(**SHAPE), random_model(1, **SHAPE).eval()
    whole.load_state_dict(dict(lora.merged(model)))
    idx = tokens(model)
    assert (model(idx) - plain(idx)).abs().max() > 0.1, "the change is large enough to be seen"
    assert (model(idx) - whole(idx)).abs().max() < 1e-4
    change = {n for n, p in plain.named_parameters() if not torch.equal(p, whole.get_parameter(n))}
    assert change == {f"h.{k}.{target}.weight" for k in range(3) for target in ALL}


@torch.inference_mode()
def test_a_token_drawn_fast_sees_the_change() -> None:
    model = adapted()
    window = fast_decode.SlidingWindow(model, model.config.vocab_size)
    context = tokens(model)[0].tolist()
    for end in range(1, 8):
        found = window.predict(context[:end])
        assert (found - model(torch.tensor([context[:end]]))[0, -1]).abs().max() < 1e-4


def test_only_the_change_learns_and_is_kept(tmp_path: Path) -> None:
    model = adapted(lora_dropout=0.5).train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = adamw(lora.trainable(model), FinetuneConfig(learning_rate=0.1))
    for _ in range(3):
        model(tokens(model), tokens(model)).backward()
        optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(lora.trainable(model)) and all("lora_" in name for name in moved)
    assert all(p.grad is None for name, p in model.named_parameters() if name not in moved)
    path = state.save(tmp_path / "state", model, optimizer, state.Position(iteration=3), keep=2)
    learned = sum(p.numel() for p in lora.trainable(model).values())
    assert state.size(path) < 12 * learned + 20_000 < 12 * model.config.n_params
    again = adapted()
    state.restore_adapters(path, again)
    for name, p in lora.trainable(again).items():
        assert torch.equal(p, model.get_parameter(name))


def test_a_change_of_another_model_is_refused(tmp_path: Path) -> None:
    model = adapted()
    optimizer = adamw(lora.trainable(model), FinetuneConfig())
    path = state.save(tmp_path / "state", model, optimizer, state.Position(iteration=1), keep=2)
    other = lora.adapt(random_model(5, **SHAPE), FinetuneConfig(lora_rank=3, lora_targets=ALL))
    with pytest.raises(ShakegptError, match="--init-from"):
        state.restore_adapters(path, other)


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A run of six iterations, with dropout, that is never stopped."""
    return finetune(tiny_config(text_file, tmp_path_factory.mktemp("lora") / "run", **SETTINGS))


def test_the_run_ends_in_an_ordinary_checkpoint(unstopped: Path) -> None:
    history = load(unstopped)[0]
    assert history.run is not None and history.run.config["lora_rank"] == 4
    first, best = history.first_eval, history.best_eval
    assert first is not None and best is not None and best.iteration > 0
    theirs = GPT2LMHeadModel.from_pretrained(unstopped / "model")
    ours, base = checkpoint.load(unstopped / "model"), checkpoint.load(POCKET)
    assert [type(b.attn.c_attn) for b in ours.h] == [Conv1D] * 4  # type: ignore[union-attr]
    idx = torch.arange(40)[None]
    with torch.inference_mode():
        assert (ours(idx) - theirs(idx).logits).abs().max() < 1e-3
    same = {n for n, p in base.named_parameters() if torch.equal(p, ours.get_parameter(n))}
    assert len(same) == len(list(base.parameters())) - 4, "four matrices, one a block, are changed"


@pytest.mark.parametrize("iteration", [1, 4])
def test_stopped_and_resumed_it_comes_to_the_same(
    iteration: int, unstopped: Path, tmp_path: Path, text_file: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        finetune(tiny_config(text_file, run, **SETTINGS), stop_at(run, iteration))
    assert load(run)[0].iteration == iteration
    resume(run)
    for name in ("weights", "optimizer"):
        path = Path(f"state/000006/{name}.safetensors")
        assert tensor_sum(run / path) == tensor_sum(unstopped / path)
    losses: Callable[[Path], Any] = lambda r: [s.loss for s in load(r)[0].steps.values()]  # noqa: E731
    assert losses(run) == losses(unstopped)


def test_the_base_is_never_written_to(unstopped: Path) -> None:
    weights = load_file(unstopped / "state/000006/weights.safetensors")
    assert len(weights) == 8 and all("lora_" in name for name in weights)
    manifest = json.loads((unstopped / "state/000006/manifest.json").read_text())
    base = lora.adapt(checkpoint.load(POCKET), FinetuneConfig(lora_rank=4))
    assert manifest["position"]["base"] == lora.fingerprint(base)


def kept_by_a_block(config: FinetuneConfig) -> float:
    """Tensors of the residual stream's size that a block keeps for its backward pass, measured."""
    shape, kept = {"n_head": 4, "n_embd": 128, "block_size": 128, "vocab_size": 50}, []
    for n_layer in (1, 3):
        model = random_model(n_layer=n_layer, **shape)
        if config.lora_rank is not None:
            lora.adapt(model, config)
        found = {p.untyped_storage().data_ptr(): 0 for p in model.parameters()}
        alive: list[Tensor] = []

        def pack(t: Tensor, found: dict[int, int] = found, alive: list[Tensor] = alive) -> Tensor:
            alive.append(t)  # or its memory would be another tensor's soon
            found.setdefault(t.untyped_storage().data_ptr(), t.untyped_storage().nbytes())
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            model.train().trunk(tokens(model)[:1])
        kept.append(sum(found.values()) / (128 * 128 * 4))
    return (kept[1] - kept[0]) / 2


@pytest.mark.parametrize("targets", [None, ALL[:1], ALL[1:2], ALL[2:], ALL])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_estimate_knows_the_change(
    targets: tuple[Matrix, ...] | None, dropout: float, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"lora_rank": 2, "lora_targets": targets, "lora_dropout": dropout}
    config = FinetuneConfig(batch_size=1, **changes if targets else {})
    shape = GPTConfig(n_layer=2, n_head=4, n_embd=128, block_size=128, vocab_size=50)
    found = memory.estimate(shape, config)
    assert found.activations / (2 * 128 * 128 * 4) == pytest.approx(
        kept_by_a_block(config), rel=0.1
    )
    if targets:
        model = lora.adapt(random_model(**shape.__dict__), config)
        learned = sum(p.numel() for p in lora.trainable(model).values())
        assert (
            memory.trainable_params(shape, config)
            == learned
            == found.gradients / 4
            == found.optimizer / 8
        )


def test_the_name_of_a_matrix_is_checked() -> None:
    for wrong in ((), ("wte",), ("mlp.c_fc", "mlp.c_fc")):
        with pytest.raises(ShakegptError, match="--lora-targets"):
            FinetuneConfig(lora_rank=8, lora_targets=wrong)  # type: ignore[arg-type]
