"""Saved states: which of them count, what is set aside, and what a state gives back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema
from shakegpt.session import finetune, resume
from shakegpt.train import state
from tests.tiny import adamw, random_model, tiny_config


def test_states_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("999999", "1000000", "000005", ".000007.part", "notes"):
        (tmp_path / name).mkdir()
    assert [p.name for p in state.saved(tmp_path)] == ["1000000", "999999", "000005"]


def test_what_only_has_the_name_of_a_state_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "000009").write_text("a file")
    (tmp_path / "000008").symlink_to(tmp_path)
    (tmp_path / "000007").mkdir()
    (tmp_path / "000007" / "manifest.json").write_text("[" * 200_000)
    found, complaints = state.newest_intact(tmp_path)
    assert found is None and len(complaints) == 1 and "000007" in complaints[0]
    state.set_aside(tmp_path, found, keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["000007.damaged", "000008", "000009"]


def test_a_state_spoiled_twice_is_set_aside_twice(tmp_path: Path) -> None:
    """Its save was made anew, and the process killed before it had cleared up."""
    for name in ("000007", "000007.damaged"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{")
    state.set_aside(tmp_path, state.newest_intact(tmp_path)[0], keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["000007.damaged"]


def test_loss_scaling_is_kept(tmp_path: Path) -> None:
    model = random_model(n_layer=1, n_head=1, n_embd=8, block_size=8, vocab_size=9)
    optimizer = adamw(dict(model.named_parameters()), FinetuneConfig())
    model(torch.zeros(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.long)).backward()
    optimizer.step()
    position = state.Position(iteration=1, loss_scale=1024.0)
    path = state.save(tmp_path / "state", model, optimizer, position, keep=2)
    again = random_model(1, n_layer=1, n_head=1, n_embd=8, block_size=8, vocab_size=9)
    state.assign_weights(path, again)
    other = adamw(dict(again.named_parameters()), FinetuneConfig())
    assert state.load(path, other) == position
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)
        for key in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(optimizer.state[p][key], other.state[q][key])


def test_moments_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "optimizer.safetensors"
    adamw({"a": torch.zeros(3)}, FinetuneConfig()).save(path)
    for named in ({"b": torch.zeros(3)}, {"a": torch.zeros(4)}):
        with pytest.raises(ShakegptError, match=str(path)):
            adamw(named, FinetuneConfig()).load(path, 1)


def test_a_run_has_no_working_files_any_more_when_its_log_ends(
    text_file: Path, tmp_path: Path
) -> None:
    """Nothing would delete them after a kill that comes later."""
    present = list[bool]()

    class Watch:
        def write(self, event: schema.Event) -> None:
            if isinstance(event, schema.Step | schema.End):
                present.append((tmp_path / "run" / state.WORKING).exists())

    config = tiny_config(text_file, tmp_path / "run", memory="lowest", max_iters=1)
    finetune(config, Watch())
    assert present == [True, False]


def test_a_resume_clears_up_what_a_killed_save_left(text_file: Path, tmp_path: Path) -> None:
    """Even if no better model is saved after it."""
    config = tiny_config(text_file, tmp_path / "run", max_iters=1)
    finetune(config)
    leftover = tmp_path / "run" / "model" / ".model.safetensors.part"
    leftover.write_bytes(b"half")
    resume(tmp_path / "run", 2, changes={"learning_rate": 10.0})
    assert not leftover.exists()
