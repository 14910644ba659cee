"""Files of tensors that saved states and models share by hard links."""

from __future__ import annotations

from pathlib import Path

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.files import sha256
from shakegpt.out_of_core.files import TensorFile
from tests.tiny import random_model


def test_a_model_whose_file_is_the_states_is_saved_again_without_a_leftover(
    tmp_path: Path,
) -> None:
    """As after a kill between the model and its record: the state is adopted, and saved again."""
    model = random_model(n_layer=1, n_head=1, n_embd=8, block_size=4, vocab_size=4096)
    tokenizer, folder = Tokenizer(checkpoint.POCKET), tmp_path / "model"
    checkpoint.save(model, folder, tokenizer)
    weights = folder / "model.safetensors"
    before = weights.read_bytes()

    def share(tensors: object, path: Path, metadata: dict[str, str]) -> str:
        path.hardlink_to(weights)
        return sha256(weights)

    names = {path.name for path in folder.iterdir()}
    checkpoint.save(model, folder, tokenizer, share)
    assert {path.name for path in folder.iterdir()} == names
    assert weights.read_bytes() == before


def test_a_file_that_is_adopted_twice_is_not_written_to(tmp_path: Path) -> None:
    saved = TensorFile(tmp_path / "saved", {"w": (3,)})
    saved.write("w", torch.tensor([1.0, 2.0, 3.0]))
    before = (tmp_path / "saved").read_bytes()
    work = TensorFile(tmp_path / "work", {"w": (3,)})
    for _ in range(2):
        work.adopt(tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved", "work"]
    work.start_update()
    work.write("w", torch.zeros(3))
    work.finish_update()
    read = torch.empty(3)
    work.read("w", read)
    assert read.tolist() == [0, 0, 0] and (tmp_path / "saved").read_bytes() == before
    saved.close()
    work.close()
