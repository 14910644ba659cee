"""Settings follow the size of a model, whatever it is called and wherever it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shakegpt.checkpoint.resolve import POCKET
from shakegpt.cli.finetune_arguments import parse
from shakegpt.config import GPTConfig
from shakegpt.config.presets import HUB_SHAPES, LARGE, POCKET_SHAPE, PRESETS, SMALL, suited
from shakegpt.distributed.env import require_shardable
from shakegpt.errors import ShakegptError

FOLLOW = ("learning_rate", "beta1", "beta2", "batch_size", "gradient_accumulation_steps",
          "block_size")  # fmt: skip


def chosen(*words: str) -> tuple[object, ...]:
    config = parse(list(words)).config()
    return tuple(getattr(config, name) for name in FOLLOW)


GPT2 = tuple(getattr(PRESETS["gpt2"].config, name) for name in FOLLOW)
SMALLEST = tuple(getattr(PRESETS["pocket"].config, name) for name in FOLLOW)


def checkpoint(folder: Path, **shape: Any) -> Path:
    """A directory that has no more of a model than its shape."""
    folder.mkdir(parents=True)
    names = {"block_size": "n_positions"}
    raw = {names.get(name, name): value for name, value in vars(GPTConfig(**shape)).items()}
    (folder / "config.json").write_text(json.dumps(raw | {"model_type": "gpt2"}))
    return folder


@pytest.mark.parametrize("name", HUB_SHAPES)
def test_models_with_a_short_name_begin_as_gpt2(name: str) -> None:
    assert chosen("--init-from", name) == chosen(f"--init_from={name}") == GPT2


def test_a_local_gpt2_and_a_run_of_one_begin_as_gpt2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(Path("my-gpt2"))
    run = checkpoint(Path("runs/one/model"), n_layer=36, n_head=20, n_embd=1280).parent
    (run / "log.jsonl").write_text("{}\n")
    (run / "model" / "model.safetensors").touch()
    for name in ("./my-gpt2", "my-gpt2", str(tmp_path / "my-gpt2"), "runs/one", "runs/one/"):
        assert chosen("--init-from", name) == GPT2, name
    assert chosen("--seed", "1", "--init-from", "my-gpt2", "--block-size", "64")[-1] == 64


def test_the_pocket_elsewhere_begins_as_the_pocket(tmp_path: Path) -> None:
    copy = tmp_path / "gpt2-xl"  # a name decides nothing
    copy.mkdir()
    (copy / "config.json").write_bytes((POCKET / "config.json").read_bytes())
    assert chosen("--init-from", str(copy)) == chosen() == SMALLEST


def test_a_name_of_the_hub_that_is_not_here_is_taken_for_a_gpt2() -> None:
    assert chosen("--init-from", "somebody/gpt2-of-theirs") == GPT2


def test_a_preset_decides_before_the_size_and_flags_before_both() -> None:
    assert parse(["talk", "--init-from", "pocket"]).config() == replace(
        PRESETS["talk"].config, init_from="pocket"
    )
    assert chosen("--init-from", "gpt2", "--learning-rate", "0.5")[0] == 0.5


def test_settings_by_size() -> None:
    assert suited(POCKET_SHAPE) == PRESETS["pocket"].config
    shapes = [
        GPTConfig(n_layer=n, n_head=4, n_embd=w, block_size=b, vocab_size=v)
        for n in (1, 4, 12)
        for w in (64, 256, 512, 1024)
        for b in (32, 256, 1024)
        for v in (65, 4096, 50257)
    ]
    rates = []
    shapes = [shape for shape in shapes if shape != POCKET_SHAPE]
    for shape in sorted(shapes, key=lambda shape: shape.n_params):
        config = suited(shape)
        length = config.block_size or shape.block_size
        assert length <= shape.block_size
        per_step = config.batch_size * config.gradient_accumulation_steps * length
        assert per_step == (32_768 if shape.n_params >= LARGE else 16_384)
        assert config.batch_size * length * shape.vocab_size <= 2**26
        rates.append(config.learning_rate)
        assert (rates[-1] == 1.4e-3) == (shape.n_params <= SMALL)
        assert (rates[-1] == 3e-5) == (shape.n_params >= LARGE)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("flags", ["--lora-rank 4", "--shard", "--memory lowest"])
def test_what_muon_cannot_do_the_pocket_does_with_adamw(flags: str) -> None:
    assert parse([]).config().optimizer == "muon"
    assert parse(flags.split()).config().optimizer == "adamw"
    with pytest.raises(ShakegptError, match="muon"):
        config = parse([*flags.split(), "--optimizer", "muon"]).config()
        require_shardable(config, "float32")  # the others are refused before


def test_a_model_from_scratch_is_not_the_pocket() -> None:
    for words in (["--init-from", "scratch"], ["char"], ["gpt2"], ["talk"], ["nanogpt"]):
        assert parse(words).config().optimizer == "adamw", words
