"""A model named without a preset begins with settings that suit its size."""

import pytest

from shakegpt.cli.main import _preset
from shakegpt.config import PRESETS


@pytest.mark.parametrize("flags", [["--init-from", "gpt2"], ["--init_from=gpt2-medium"]])
def test_a_model_of_the_hub_begins_with_small_steps(flags: list[str]) -> None:
    _, default = _preset(flags)
    assert (default.learning_rate, default.batch_size) == (3e-5, 1)


@pytest.mark.parametrize("flags", [[], ["--init-from", "pocket"], ["--init-from", "scratch"]])
def test_everything_else_begins_with_the_first_preset(flags: list[str]) -> None:
    _, default = _preset(flags)
    assert default.learning_rate == next(iter(PRESETS.values()))[1].learning_rate


def test_a_model_of_unknown_make_keeps_the_window_it_was_made_for() -> None:
    assert _preset(["--init-from", "runs/one"])[1].block_size is None
    assert _preset([])[1].block_size == 128
