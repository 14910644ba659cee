"""A run made again: the same numbers, and the exact effect of single windows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.config import FinetuneConfig
from shakegpt.data.dataset import as_tensors
from shakegpt.errors import ShakegptError
from shakegpt.finetune import parameter_groups
from shakegpt.replay import training
from shakegpt.replay.training import Replay, replaying
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.runs import is_run
from shakegpt.session import finetune, resume
from shakegpt.train.setup import initial_model
from tests.commands import Commands
from tests.tiny import play, tiny_config

CONTEXT, TOKEN = [10, 200, 31], 65


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five updates of 8 windows each, on a text of its own."""
    folder = tmp_path_factory.mktemp("replayed")
    (folder / "play.txt").write_text(play(), "utf-8")
    config = tiny_config(folder / "play.txt", folder / "run", max_iters=5, eval_interval=5)
    return finetune(config)


def brute_force(replay: Replay, left_out: int | None) -> list[float]:
    """Probabilities after each update up to `replay.largest`, by plain PyTorch; in the last one,
    the window of that number is not there.
    """
    config, dataset = replay.setup.config, replay.setup.dataset
    model = initial_model(replay.setup)
    groups = parameter_groups(dict(model.named_parameters()), config)
    optimizer = torch.optim.AdamW(groups)
    found = [probability(model)]
    for k in range(1, replay.largest + 1):
        windows = [
            window for step in (1, 2) for window in dataset.batch(k, step, 2, config.batch_size)
        ]
        if k == replay.largest and left_out is not None:
            del windows[left_out]
        optimizer.zero_grad()
        model(*as_tensors(dataset.train, windows)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip or 1e9)
        optimizer.step()
        found.append(probability(model))
    return found


def probability(model: torch.nn.Module) -> float:
    with torch.no_grad():
        return float(model(torch.tensor([CONTEXT]))[0, -1].softmax(0)[TOKEN])


def test_effects_are_those_of_updates_without_a_window(run: Path) -> None:
    with replaying(run) as replay:
        curve = dict(replay.probabilities(CONTEXT, TOKEN))
        effects = list(replay.effects())
        again = list(replay.effects())
        assert list(curve) == list(range(6)) and len(effects) == 8
        assert effects == again  # nothing is left behind
        moved = {k: abs(curve[k] - curve[k - 1]) for k in range(1, 6)}
        assert moved[replay.largest] == max(moved.values())
        whole = brute_force(replay, None)
        assert whole == pytest.approx([curve[k] for k in range(len(whole))], rel=1e-4)
        for number in (0, 5, 7):
            expected = whole[-1] - brute_force(replay, number)[-1]
            assert effects[number].effect == pytest.approx(expected, rel=0.01, abs=1e-8)
            assert abs(expected) > 1e-7


def test_effects_are_the_same_where_memory_holds_no_snapshots(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for most in (training.MOST_KEPT, 0):
        monkeypatch.setattr(training, "MOST_KEPT", most)
        with replaying(run) as replay:
            curve = list(replay.probabilities(CONTEXT, TOKEN))
            found.append((replay.keeps_all, curve, list(replay.effects())))
    (kept, *by_kept), (again, *by_again) = found
    assert (kept, again) == (True, False)
    assert by_kept == by_again


def test_the_end_of_the_replay_is_the_end_of_the_run(run: Path) -> None:
    with replaying(run) as replay:
        last = list(replay.probabilities(CONTEXT, TOKEN))[-1]
    model = checkpoint.load(run / "model").eval()  # the last evaluation was the best
    assert last == (5, probability(model))


def copied(run: Path, folder: Path, old: str, new: str) -> Path:
    """A copy of the run whose log says `new` for `old`."""
    shutil.copytree(run, folder / "copy")
    log = folder / "copy" / LOG_NAME
    text = log.read_text("utf-8")
    assert old in text
    log.write_text(text.replace(old, new), "utf-8")
    return folder / "copy"


def test_what_cannot_be_replayed_is_refused(run: Path, tmp_path: Path) -> None:
    text = run.parent / "play.txt"
    cases: Sequence[tuple[str, str, str]] = [
        (str(text), str(tmp_path / "gone.txt"), "does not exist"),
        ('"world":null', '"world":{"processes":2,"job":null}', "processes"),
        ('"learning_rate":0.01,"optimizer"', '"learning_rate":"x","optimizer"', "invalid"),
        (str(text), str(tmp_path / "other.txt"), "changed"),
    ]
    (tmp_path / "other.txt").write_text(play(seed=9), "utf-8")
    for number, (old, new, words) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        with (
            pytest.raises(ShakegptError, match=words) as error,
            replaying(copied(run, tmp_path / str(number), old, new)),
        ):
            pass
        assert error.value.exit_code == 2


def test_a_replay_that_differs_stops(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path, '"seed":1337,"device"', '"seed":7,"device"')
    with replaying(other) as replay, pytest.raises(ShakegptError, match="iteration 1"):
        list(replay.probabilities(CONTEXT, TOKEN))


def test_a_model_that_was_trained_since_and_changed_settings_are_refused(
    run: Path, tmp_path: Path
) -> None:
    text = run.parent / "play.txt"
    first = finetune(tiny_config(text, tmp_path / "first", max_iters=2, max_new_tokens=0))
    config = tiny_config(text, tmp_path / "second", max_iters=2, max_new_tokens=0)
    second = finetune(replace(config, init_from=str(first)))
    with replaying(second) as replay:
        assert len(list(replay.probabilities(CONTEXT, TOKEN))) == 3
    resume(first, 4, changes={"learning_rate": 5e-3})
    for changed, words in ((first, "learning_rate"), (second, "has changed")):
        with pytest.raises(ShakegptError, match=words), replaying(changed):
            pass


def test_the_command(shakegpt: Commands, run: Path, tmp_path: Path) -> None:
    assert is_run(run) and FinetuneConfig().prompt == "ROMEO:"
    words = ["inspect", str(run), "--tokens", "4"]
    done = shakegpt(*words, "--why", "king", cwd=tmp_path)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == [str(k) for k in range(6)]
    assert sum("points" in line for line in lines) == 8
    assert any(name in done.out for name in ("HAMLET", "JULIET", "OPHELIA", "ROMEO"))
    found = json.loads(shakegpt(*words, "--why", "king", "--json", cwd=tmp_path).out)
    assert found["token"][1].strip() == "king" and found["computed"] == found["of"] == 8
    sizes = [abs(window["effect"]) for window in found["windows"]]
    assert sizes == sorted(sizes, reverse=True) and len(found["probabilities"]) == 6
    assert shakegpt("inspect", "pocket", "--why", "king", cwd=tmp_path).sentence
    assert "xyzzy" in shakegpt(*words, "--why", "xyzzy plugh", cwd=tmp_path).sentence
