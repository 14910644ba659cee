"""Any values make a configuration or a sentence; presets and flags come together as written."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, fields
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt.cli.finetune_arguments import parse
from shakegpt.config import EvaluateConfig, FinetuneConfig, SampleConfig, bounds
from shakegpt.config.presets import PRESETS
from shakegpt.errors import ShakegptError
from tests.tiny import as_flags

KINDS = (FinetuneConfig, SampleConfig, EvaluateConfig)
NAMES = sorted({field.name for kind in KINDS for field in fields(kind)})
ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 0, -1]),
    st.floats(),
    st.text(max_size=5),
    st.just("\udcff"),
    st.lists(st.text(max_size=3), max_size=2).map(tuple),
)


def made(kind: type[Any], values: dict[str, Any]) -> Any:
    """A configuration, or None when it was refused with a sentence."""
    try:
        return kind(**values)
    except ShakegptError as error:
        assert error.exit_code == 2 and "\n" not in str(error) and len(str(error)) < 400
        return None


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_values_give_a_configuration_or_a_sentence(kind: type[Any], data: Any) -> None:
    names = data.draw(st.sets(st.sampled_from([f.name for f in fields(kind)]), max_size=3))
    values = {name: data.draw(ANY, label=name) for name in sorted(names)}
    if (config := made(kind, values)) is not None:
        again = msgspec.json.decode(msgspec.json.encode(asdict(config)))
        assert msgspec.convert(again, kind) == config, "what is accepted can be logged and resumed"


def changed(name: str, value: Any) -> dict[str, Any]:
    """Arguments that no type checker has seen."""
    return {name: value}


NUMBERS = [
    f.name
    for f in fields(FinetuneConfig)
    if "int" in str(f.type) or ("float" in str(f.type) and f.name != "dtype")
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, 10**400])
def test_nonsense_numbers_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ShakegptError, match=re.escape("--" + name.replace("_", "-"))):
        FinetuneConfig(**changed(name, value))


ABOVE_ZERO = """eval_interval eval_tokens batch_size gradient_accumulation_steps block_size
learning_rate grad_clip n_layer n_head n_embd top_k top_p threads"""


@pytest.mark.parametrize("name", ABOVE_ZERO.split())
def test_zero_is_refused_where_it_makes_no_sense(name: str) -> None:
    with pytest.raises(ShakegptError, match=rf"--{name.replace('_', '-')} .*got 0"):
        FinetuneConfig(**changed(name, 0))


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 1.5), ("max_iters", True), ("seed", "1"), ("learning_rate", "1e-3"),
     ("device", "tpu"), ("dtype", "int8"), ("init_from", ""), ("init_from", None),
     ("dataset", ()), ("dataset", ("",)), ("dataset", (1,)), ("out_dir", ""), ("prompt", "\udcff"),
     ("prompt", None), ("compile", "maybe"), ("decay_lr", None)],
)  # fmt: skip
def test_values_of_another_kind_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ShakegptError, match=re.escape("--" + name.replace("_", "-"))):
        FinetuneConfig(**{name: value})


def test_a_single_text_may_be_given_without_a_tuple() -> None:
    assert FinetuneConfig(dataset="plays").dataset == ("plays",)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_default_bounds_and_a_help_line(kind: type[Any]) -> None:
    for field in fields(kind):
        about = bounds.settings(kind)[field.name]
        assert about.fault(field.default) is None and about.help.endswith("."), field.name
        assert (about.none is not None) == ("None" in str(field.type)), field.name


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ShakegptError) as refused:
        FinetuneConfig(batch_size=0, top_p=2.0, device=changed("x", "tpu")["x"])
    assert all(flag in str(refused.value) for flag in ("--batch-size", "--top-p", "--device"))
    with pytest.raises(ShakegptError) as refused:
        parse(["--batch-size", "0", "--seed", "x"])
    assert all(flag in str(refused.value) for flag in ("--batch-size", "--seed"))


def parsed(*argv: str) -> FinetuneConfig:
    """The configuration that `shakegpt finetune argv` trains with."""
    return parse(list(argv)).config()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_parses_to_itself(name: str) -> None:
    assert parsed(name) == PRESETS[name][1]
    assert PRESETS[name][0]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_said_in_flags(name: str) -> None:
    config = PRESETS[name][1]
    assert parsed(*as_flags(config)[1:]) == config


def test_no_preset_is_the_first() -> None:
    assert parsed() == parsed("pocket") == next(iter(PRESETS.values()))[1]


def test_flags_override_a_preset_and_nothing_else() -> None:
    config = parsed("talk", "--max-iters", "7", "--init-from", "gpt2", "--top-k", "None")
    expected = asdict(PRESETS["talk"][1]) | {"max_iters": 7, "init_from": "gpt2", "top_k": None}
    assert asdict(config) == expected


def test_several_texts_and_switches() -> None:
    config = parsed(
        "--dataset", "a.txt", "b", "-", "--decay-lr", "--compile", "on", "--top-p", "0.9"
    )
    assert config.dataset == ("a.txt", "b", "-") and config.decay_lr and config.compile == "on"
    assert config.top_p == 0.9 and not parsed("char", "--no-decay-lr").decay_lr


def test_flags_stand_anywhere_and_a_repeated_text_is_another() -> None:
    assert parsed("--max-iters", "7", "talk") == parsed("talk", "--max_iters=7")
    assert parsed("--dataset", "a", "--seed", "1", "--dataset", "b", "c").dataset == ("a", "b", "c")
    assert parsed("--prompt", "-", "--top-p", "None", "--top-k=none").top_k is None
    assert parsed("--prompt=--seed").prompt == "--seed"


def test_home_is_expanded_where_a_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    config = parsed("--dataset=~/a.txt", "--out-dir=~/run", "--prompt=~/")
    assert (config.dataset, config.out_dir) == (("/home/ann/a.txt",), "/home/ann/run")
    assert config.prompt == "~/"


def test_the_talks_settings_are_the_talks() -> None:
    talk = PRESETS["talk"][1]
    assert (talk.init_from, talk.dataset) == ("gpt2-large", ("tinyshakespeare",))
    assert talk.batch_size * talk.gradient_accumulation_steps * (talk.block_size or 0) == 32_768
    assert (talk.max_iters, talk.learning_rate) == (20, 3e-5)


def test_nanogpts_settings_are_nanogpts() -> None:
    """config/finetune_shakespeare.py: gpt2-xl, 1 x 32 x 1024 tokens, 3e-5, constant, 20 times."""
    config = PRESETS["nanogpt"][1]
    assert (config.init_from, config.batch_size, config.gradient_accumulation_steps) == (
        "gpt2-xl", 1, 32,
    )  # fmt: skip
    assert (config.max_iters, config.learning_rate, config.decay_lr) == (20, 3e-5, False)
    assert (config.weight_decay, config.beta1, config.beta2, config.grad_clip) == (
        0.1,
        0.9,
        0.95,
        1,
    )
