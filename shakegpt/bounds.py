"""What a field of a configuration may be: a rule each, that refuses with its flag and its value."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from shakegpt.errors import ShakegptError

Rule = Callable[[str, Any], None]
"""Takes the field's name and its value; raises ShakegptError for what can never work."""


def check(config: Any, **own: Rule) -> None:
    """Hold every field of the dataclass `config` to its rule, or to its `own` one."""
    rules = RULES | own
    for field in fields(config):
        if field.name in rules:
            rules[field.name](field.name, getattr(config, field.name))


def refusal(name: str, value: Any, wanted: str) -> ShakegptError:
    """The sentence for a field that has a `value` other than the `wanted` kind."""
    shown = value if isinstance(value, float | bool) else reprlib.repr(value).strip("'") or "''"
    flag = "--" + name.replace("_", "-")
    return ShakegptError(f"{flag} {shown} makes no sense: give {wanted}")


def _number(
    low: float, high: float, *, above: bool = False, optional: bool = False, whole: bool = False
) -> Rule:
    """A finite number from `low` (or above it) to `high`; None too when optional."""
    wanted = f"a {'whole ' if whole else ''}number {'above' if above else 'at least'} {low:g}"
    wanted += "" if math.isinf(high) else f" and at most {high:{',' if whole else 'g'}}"
    kinds = (int,) if whole else (int, float)

    def rule(name: str, value: Any) -> None:
        if optional and value is None:
            return
        if type(value) not in kinds or not (low < value if above else low <= value):  # nan is not
            raise refusal(name, value, wanted)
        if value > high or value == math.inf or (not whole and value > MOST):
            raise refusal(name, value, wanted)

    return rule


def _text(*, optional: bool = False, empty: bool = False) -> Rule:
    """A text that UTF-8 can hold: a log must."""

    def rule(name: str, value: Any) -> None:
        if optional and value is None:
            return
        if not isinstance(value, str) or not (value or empty) or not _is_unicode(value):
            raise refusal(name, value, "a text in UTF-8" + ("" if empty else " that is not empty"))

    return rule


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names(*, optional: bool = False) -> Rule:
    """At least one name of a text; None too when optional."""

    def rule(name: str, value: Any) -> None:
        if optional and value is None:
            return
        if not isinstance(value, tuple) or not value:
            flag = "--" + name.replace("_", "-")
            raise ShakegptError(f"{flag} names no text: give plays, tinyshakespeare, a file or -")
        for one in value:
            _text()(name, one)

    return rule


def _one_of(*choices: str) -> Rule:
    def rule(name: str, value: Any) -> None:
        if value not in choices:
            raise refusal(name, value, "one of " + ", ".join(choices))

    return rule


def _some_of(*choices: str) -> Rule:
    """At least one of `choices`, none twice."""

    def rule(name: str, value: Any) -> None:
        found = [choice for choice in choices if isinstance(value, tuple) and choice in value]
        if not found or len(found) < len(value):
            raise refusal(name, value, "some of " + ", ".join(choices))

    return rule


def _switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise refusal(name, value, "the flag alone, or its --no- form")


MOST = 1e300
"""A number above it is no more a number for the arithmetic than infinity is."""
_COUNT = _number(1, 2**31, whole=True)
COUNT_OR_NONE = _number(1, 2**31, whole=True, optional=True)
_COUNT_OR_ZERO = _number(0, 2**31, whole=True)
FRACTION_OR_NONE = _number(0, 1, above=True, optional=True)
"""Of `EvaluateConfig.val_fraction`: all of a text can be measured."""

RULES: dict[str, Rule] = {
    "init_from": _text(),
    "dataset": _names(),
    "text_field": _text(optional=True),
    "separate_documents": _switch,
    "val_dataset": _names(optional=True),
    "val_fraction": _number(0, 0.9, above=True, optional=True),
    "out_dir": _text(optional=True),
    "tokenizer": _text(),
    "prompt": _text(empty=True),
    "max_iters": _COUNT_OR_ZERO,
    "eval_interval": _COUNT,
    "eval_tokens": _COUNT,
    "batch_size": _COUNT,
    "gradient_accumulation_steps": _COUNT,
    "block_size": _number(2, 2**31, optional=True, whole=True),
    "learning_rate": _number(0, 10, above=True),
    "optimizer": _one_of("adamw", "muon"),
    "muon_learning_rate": _number(0, 10, above=True),
    "decay_lr": _switch,
    "warmup_iters": _COUNT_OR_ZERO,
    "lr_decay_iters": COUNT_OR_NONE,
    "min_lr": _number(0, 10),
    "weight_decay": _number(0, 10),
    "beta1": _number(0, 0.999999),
    "beta2": _number(0, 0.999999),
    "grad_clip": _number(0, math.inf, above=True, optional=True),
    "dropout": _number(0, 0.99),
    "lora_rank": _number(1, 4096, optional=True, whole=True),
    "lora_alpha": _number(0, 100_000, above=True),
    "lora_dropout": _number(0, 0.99),
    "lora_targets": _some_of("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    "n_layer": _number(1, 1000, whole=True),
    "n_head": _number(1, 1000, whole=True),
    "n_embd": _number(1, 100_000, whole=True),
    "tokens": _COUNT_OR_ZERO,
    "decay_tokens": _COUNT_OR_ZERO,
    "eval_every": _COUNT,
    "save_minutes": _number(0, 10_000),
    "learn_vocabulary": _switch,
    "max_new_tokens": _number(0, 1_000_000, whole=True),
    "num_samples": _COUNT,
    "temperature": _number(0, 100),
    "top_k": COUNT_OR_NONE,
    "top_p": _number(0, 1, above=True, optional=True),
    "seed": _number(0, 2**63 - 1, whole=True),
    "device": _one_of("auto", "cpu", "cuda", "mps"),
    "memory": _one_of("auto", "normal", "low"),
    "dtype": _one_of("auto", "float32", "bfloat16", "float16"),
    "compile": _one_of("auto", "on", "off"),
    "shard": _switch,
    "threads": _number(1, 4096, optional=True, whole=True),
}
"""Field name -> its rule, for all the configurations; the names mean the same in each."""

WEIGHTS = _one_of("float32", "bf16", "int8")
"""Of `SampleConfig.dtype`."""
