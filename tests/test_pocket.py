"""The command that makes a pocket: what it ships is an ordinary checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.pocket.__main__ import ship


def test_what_is_shipped_loads_and_is_the_model_in_half_the_bytes(
    tiny_run: Path, tmp_path: Path
) -> None:
    pocket = tmp_path / "pocket"
    ship(tiny_run, pocket)
    whole, half = checkpoint.load(tiny_run / "model"), checkpoint.load(pocket)
    for (name, p), q in zip(whole.named_parameters(), half.parameters(), strict=True):
        assert torch.equal(p.half().float(), q), name
    assert (
        checkpoint.vocabulary(pocket).n_vocab == checkpoint.vocabulary(tiny_run / "model").n_vocab
    )
    assert json.loads((pocket / "config.json").read_text("utf-8"))["dtype"] == "float16"
    assert "val loss" in (pocket / "README.md").read_text("utf-8")
