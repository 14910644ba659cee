"""The start form without its widgets: fields, what was typed in them, arguments for the trainer.

Names, types, bounds, defaults and help are those of `FinetuneConfig`'s fields, and what is refused
is what the command line refuses: the form cannot drift from it.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from shakegpt import format
from shakegpt.cli import preflight
from shakegpt.config import FinetuneConfig, GPTConfig, bounds
from shakegpt.config.bounds import Choice, Setting, Several, Switch, Text, flag
from shakegpt.config.finetune import conflicts
from shakegpt.config.presets import FIRST, HUB_SHAPES, PRESETS, suited
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import one_line

ESSENTIAL = (
    "init_from",
    "dataset",
    "max_iters",
    "learning_rate",
    "batch_size",
    "gradient_accumulation_steps",
    "block_size",
    "prompt",
)
"""The settings that matter; the rest is a key away."""
_NOTHING = ("", "none")
_ESCAPES = {"n": "\n", "\\": "\\"}


@dataclass(frozen=True)
class Field:
    """One setting: its name, and what its bounds and help are."""

    name: str
    about: Setting

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of one that has few; () for others."""
        type = self.about.type.item if isinstance(self.about.type, Several) else self.about.type
        return type.known if isinstance(type, Choice | Switch) else ()

    @property
    def help(self) -> str:
        """What it is, and what it means to leave it empty."""
        empty = f" Empty: {self.about.none}." if self.about.none else ""
        return self.about.help + empty

    @property
    def without(self) -> str:
        """What an empty field means; "" for one that cannot be empty."""
        return self.about.none or ""

    @property
    def label(self) -> str:
        """What stands before it; the longest name is shortened to fit."""
        words = {"gradient_accumulation_steps": "accumulation", "init_from": "model"}
        return words.get(self.name, self.name.replace("_", " "))


@cache
def form_fields() -> dict[str, Field]:
    """All settings by name, the essential ones first."""
    settings = bounds.settings(FinetuneConfig)
    names = dict.fromkeys([*ESSENTIAL, *settings])
    return {name: Field(name, settings[name]) for name in names}


def typed(value: Any) -> str:
    """A value as the form shows it, which `parse` reads back: "" for None, yes, 3e-05, "a b" c."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return shlex.join(value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value).replace("\\", "\\\\").replace("\n", "\\n")


def parse(name: str, text: str) -> Any:
    """The value that `text` means in the field `name`. Raises ShakegptError with the way out."""
    about, plain = form_fields()[name].about, text.strip()
    if about.none is not None and plain.lower() in _NOTHING:
        return None
    if isinstance(about.type, Several):
        try:
            value = about.parse(shlex.split(plain))
        except ValueError as error:
            raise ShakegptError(f"{one_line(text, 40)}: {str(error).lower()}") from None
    elif isinstance(about.type, Text):
        raw = text if name == "prompt" else plain  # blanks at a prompt's end matter
        value = about.parse(re.sub(r"\\([\\n])", lambda escape: _ESCAPES[escape[1]], raw))
    else:
        value = about.parse(plain)
    if faults := bounds.faults(FinetuneConfig, {name: value}):
        raise ShakegptError(faults[name])
    if name in ("dataset", "val_dataset") and "-" in value:
        raise ShakegptError("- would read the keyboard: use a file")
    return value


def check(texts: Mapping[str, str]) -> tuple[FinetuneConfig | None, dict[str, str]]:
    """The configuration that the form describes, or None, and all faults by field."""
    values, errors = dict[str, Any](), dict[str, str]()
    for name, text in texts.items():
        try:
            values[name] = parse(name, text)
        except ShakegptError as error:
            errors[name] = str(error)
    for names, fault in conflicts(vars(FinetuneConfig()) | values):
        errors[names[0]] = fault
        for name in names:
            values.pop(name, None)
    config = FinetuneConfig(**values)
    errors = preflight.faults(config) | errors
    errors = {name: fault.removeprefix(flag(name) + " ") for name, fault in errors.items()}
    return (None if errors else config), errors


FAR = 30.0
"""Factor between learning rates beyond which the form doubts that one was meant."""


def doubts(config: FinetuneConfig, base: FinetuneConfig) -> dict[str, str]:
    """What may be an error in `config`, by field; `base` is what suits its model. The run can
    start all the same, as on the command line.
    """
    rate, usual = config.learning_rate, base.learning_rate
    if rate > FAR * usual:
        way = f"{rate / usual:,.0f} times {format.rate(usual)}, which suits this model"
        return {"learning_rate": f"{way}: training will likely diverge"}
    return {}


def heading(preset: str, model: str) -> str:
    """What the list of presets says of the one in use, in one line.

    >>> heading("gpt2", "gpt2"), heading("gpt2", "gpt2-xl")
    ('gpt2: GPT-2 124M on the plays', 'gpt2-xl, with the settings of gpt2')
    """
    if model and model != PRESETS[preset].config.init_from:
        return f"{one_line(model, 30)}, with the settings of {preset}"
    return f"{preset}: {PRESETS[preset].about.partition(':')[0]}"


@dataclass(frozen=True)
class Filled:
    """A form as it was left: the preset, what it suggested, what is typed in every field."""

    preset: str
    base: FinetuneConfig
    texts: Mapping[str, str]


def suggest(model: str, preset: str) -> tuple[str, FinetuneConfig]:
    """The preset, and the settings to begin with, for the model named `model`.

    Those of `preset` where it is for a model of the same size; else those that suit the size of the
    model, as the command line chooses them.
    """
    config = PRESETS[preset].config
    if model == "scratch" and preset == FIRST:
        return preset, replace(FinetuneConfig(), block_size=None)
    shape, usual = _shape(model), _shape(config.init_from)
    if shape is None or (usual is not None and suited(shape) == suited(usual)):
        return preset, config
    config = suited(shape)
    same = (n for n, p in PRESETS.items() if replace(p.config, init_from="pocket") == config)
    return next(same, FIRST), config


def _shape(model: str) -> GPTConfig | None:
    """The shape of a model; a name on the hub is taken for GPT-2's smallest until it is here."""
    with suppress(ShakegptError):
        return preflight.local_shape(model) or (None if model == "scratch" else HUB_SHAPES["gpt2"])
    return None


def follow(
    texts: Mapping[str, str], before: FinetuneConfig, after: FinetuneConfig
) -> dict[str, str]:
    """`texts` with the settings of `after` wherever they were those of `before`.

    So what a person has typed stays.
    """
    return {
        name: typed(getattr(after, name)) if text == typed(getattr(before, name)) else text
        for name, text in texts.items()
    }


def flags(config: FinetuneConfig, preset: str = FIRST) -> list[str]:
    """`config` as arguments of `shakegpt finetune`: the preset, and what differs from it.

    The first preset goes without saying, unless `config` names another model than it: the command
    line would begin with what suits that one.
    """
    base = PRESETS[preset].config
    silent = preset == FIRST and config.init_from == base.init_from
    arguments = [] if silent else [preset]
    for field in fields(config):
        value = getattr(config, field.name)
        if value != getattr(base, field.name):
            arguments += bounds.words(field.name, value)
    return arguments


def fitting(text: str, width: int, height: int) -> str:
    r"""As many whole sentences of `text` as `width` x `height` characters hold.

    Of a first one that is longer, as much as they hold.

    >>> fitting("Seven letters. And some more.", 20, 1)
    'Seven letters.'
    >>> fitting("Seven letters", 6, 1)
    'Seven…'
    >>> fitting("A command\nand what it does", 12, 2)
    'A command\nand what it…'
    """
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, max(width, 1))]
    if len(lines) <= height:
        return text
    kept = lines[: max(height, 1)]
    whole = re.match(r".*\.(?=\s|$)", "\n".join(kept), re.DOTALL)
    return whole[0] if whole else "\n".join([*kept[:-1], kept[-1][: max(width - 1, 0)] + "…"])
