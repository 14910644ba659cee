"""The command that makes a pocket: it can be killed at any time, and what it makes is ordinary."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from shakegpt.checkpoint import io as checkpoint
from shakegpt.data.dataset import Dataset
from shakegpt.data.sources import load_text
from shakegpt.errors import ShakegptError
from shakegpt.pocket.__main__ import main
from shakegpt.pocket.pretrain import LOG, STATES, Pretraining, newest
from shakegpt.pocket.recipe import Progress, Recipe

SHAPE = ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "32"]
QUICK = [*SHAPE, "--threads", "1", "--compile", "off", "--eval-every", "8192"]
FOREVER = ["--tokens", "2000000000", "--save-minutes", "0"]
PATIENCE = 120.0


def process(text: Path, state: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "shakegpt.pocket", str(text), "--state", str(state), *QUICK]
    return subprocess.Popen([*command, *FOREVER], stdout=subprocess.DEVNULL)


def wait_for_state(state: Path, beyond: int) -> int:
    """The tokens of a state with more of them than `beyond`."""
    end = time.monotonic() + PATIENCE
    while (newest(state) or 0) <= beyond:
        assert time.monotonic() < end
        time.sleep(0.02)
    return newest(state) or 0


def test_killed_and_stopped_it_goes_on_to_the_same_weights(
    text_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    interrupted, straight = tmp_path / "interrupted", tmp_path / "straight"
    killed = process(text_file, interrupted)
    wait_for_state(interrupted, 0)
    with pytest.raises(ShakegptError, match="another process"):
        main([str(text_file), "--state", str(interrupted), *QUICK])
    killed.kill()
    killed.wait(PATIENCE)
    at = newest(interrupted) or 0

    def stop() -> None:
        wait_for_state(interrupted, at)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert main([str(text_file), "--state", str(interrupted), *QUICK, *FOREVER]) == 130
    stopper.join()

    at = newest(interrupted) or 0
    lengths = ["--tokens", str(at + 4096), "--decay-tokens", "12288"]
    for state in (interrupted, straight):
        assert main([str(text_file), "--state", str(state), *QUICK, *lengths]) == 0
    decay = f"decay-{at + 4096}-12288"
    weights, losses = [], []
    for state in (straight, interrupted):
        weights.append(load_file(state / decay / "pocket" / "model.safetensors"))
        losses.append(json.loads((state / decay / LOG).read_text().splitlines()[-1])["val_loss"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert losses[0] == losses[1] < math.log(4096)
    assert len(list(interrupted.glob(STATES))) == 2  # as many as are kept

    # the newest state was cut by a full disk: the one before it serves
    *_, last = sorted(interrupted.glob(STATES))
    last.write_bytes(last.read_bytes()[:1000])
    assert main([str(text_file), "--state", str(interrupted), *QUICK, *lengths]) == 0
    capfd.readouterr()


def test_what_it_exports_is_a_gpt2_with_the_loss_on_its_card(
    text_file: Path, tmp_path: Path
) -> None:
    flags = [*QUICK, "--tokens", "8192", "--decay-tokens", "8192"]
    assert main([str(text_file), "--state", str(tmp_path), *flags]) == 0
    folder = tmp_path / "decay-8192-8192" / "pocket"
    ours = checkpoint.load(folder).eval()
    theirs: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = checkpoint.vocabulary(folder)
    ids = torch.tensor([tokenizer.encode("HAMLET:\nthe king and queen")])
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs.eval()(ids).logits, rtol=1e-4, atol=1e-4)
    assert json.loads((folder / "config.json").read_text("utf-8"))["dtype"] == "float16"

    text = load_text([str(text_file)])
    recipe = Recipe(n_layer=1, n_head=2, n_embd=16, block_size=32)
    run = Pretraining(tmp_path, recipe, Dataset(text, tokenizer, 32, 1), tokenizer)
    run.model = ours
    measured = run.evaluate(100_000, 32)
    held_out = text.content[int(0.9 * len(text.content)) :]
    ids_of_it = tokenizer.encode(held_out)
    assert measured["val_tokens"] == len(ids_of_it) - 1
    characters = len(held_out) - len(tokenizer.decode(ids_of_it[:1]))
    bits = measured["val_loss"] * measured["val_tokens"] / characters / math.log(2)
    assert measured["bits_per_character"] == pytest.approx(bits)
    card = (folder / "README.md").read_text("utf-8")
    nats, bits_on_card = re.findall(r"(\d+\.\d+) (?:nats|bits)", card)
    assert float(nats) == pytest.approx(measured["val_loss"], abs=1e-3)
    assert float(bits_on_card) == pytest.approx(bits, abs=1e-3)


def test_the_rate_warms_up_stays_and_falls_to_zero() -> None:
    warm = [Progress(tokens=t).rate_factor(1000) for t in (0, 499, 999, 10**9)]
    assert warm == pytest.approx([0.001, 0.5, 1.0, 1.0])
    decay = [Progress(t, 1, 0.0, 5000, 1000).rate_factor(1000) for t in (5000, 5500, 6000, 6500)]
    assert decay == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_each_pass_over_the_text_has_another_order_and_all_of_it(
    text_file: Path, tmp_path: Path
) -> None:
    text, tokenizer = load_text([str(text_file)]), checkpoint.vocabulary(checkpoint.POCKET)
    data = Dataset(text, tokenizer, 32, seed=1)
    recipe = Recipe(n_layer=1, n_head=1, n_embd=8, block_size=32, lengths=((0, 16), (512, 32)))
    run = Pretraining(tmp_path, recipe, data, tokenizer)
    size = 32 * data.windows_per_epoch
    assert run.batch(0, 64)[0].shape == (4, 16)
    first, second = (run.batch(at, size)[0].flatten() for at in (0, size))
    assert not torch.equal(first, second)
    starts = [data.train_window(n).start for n in range(data.windows_per_epoch)]
    assert len(set(starts)) == data.windows_per_epoch
    run.progress.tokens = 512
    x, y = run.batch(512, 64)
    assert x.shape == y.shape == (2, 32)
    assert torch.equal(x[:, 1:], y[:, :-1])


@pytest.mark.parametrize(
    "flags",
    [
        ["--block-size", "48"],
        ["--tokens", "many"],
        ["--decay-tokens", "-1"],
        ["--n-embd", "30", "--n-head", "4"],
        ["--n-embd", "24"],  # the state is of another model
        ["--seed", "2"],
    ],
)
def test_what_cannot_be_meant_is_refused(
    flags: list[str], text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = tmp_path_factory.getbasetemp() / "refused"
    usual = [str(text_file), "--state", str(state), *QUICK, "--decay-tokens", "0"]
    if not state.exists():
        assert main([*usual, "--tokens", "4096"]) == 0
    with pytest.raises(ShakegptError) as refusal:
        main([*usual, "--tokens", "8192", *flags])
    assert refusal.value.exit_code == 2
