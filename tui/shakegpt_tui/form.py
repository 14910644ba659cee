"""The start form without its widgets: fields, what was typed in them, flags for the trainer.

Names, defaults and help are `FinetuneConfig`'s own, help being the docstring line of each field, so
the form cannot drift from the command line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from shakegpt.config import PRESETS, FinetuneConfig, help_lines
from shakegpt.errors import ShakegptError
from shakegpt_tui.printable import one_line

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
FIRST = next(iter(PRESETS))
_NOTHING = ("", "none")
_ESCAPES = {"n": "\n", "\\": "\\"}


@dataclass(frozen=True)
class Field:
    """One setting: its name, type and help; `choices` for those that have few values."""

    name: str
    kind: type
    optional: bool
    choices: tuple[str, ...]
    help: str

    @property
    def without(self) -> str:
        """What an empty field means, as its help says: `None: …` ends the help."""
        _, found, meaning = self.help.partition("None: ")
        return re.split(r"[;.]", meaning)[0] if self.optional and found else ""

    @property
    def label(self) -> str:
        """What stands before it; the longest name is shortened to fit."""
        words = {"gradient_accumulation_steps": "accumulation", "init_from": "model"}
        return words.get(self.name, self.name.replace("_", " "))


@cache
def form_fields() -> dict[str, Field]:
    """All settings by name, the essential ones first."""
    hints, helps = get_type_hints(FinetuneConfig), help_lines(FinetuneConfig)
    names = [field.name for field in fields(FinetuneConfig)]
    ordered = [*ESSENTIAL, *(name for name in names if name not in ESSENTIAL)]
    return {name: _field(name, hints[name], helps.get(name, "")) for name in ordered}


def _field(name: str, hint: Any, text: str) -> Field:
    optional = get_origin(hint) in (UnionType, Union) and type(None) in get_args(hint)
    if optional:
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        return Field(name, str, optional, get_args(hint), text)
    if get_origin(hint) is tuple and get_origin(get_args(hint)[0]) is Literal:
        return Field(name, tuple, optional, get_args(get_args(hint)[0]), text)
    choices = ("yes", "no") if hint is bool else ()
    return Field(name, get_origin(hint) or hint, optional, choices, text)


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
    field, plain = form_fields()[name], text.strip()
    if field.optional and plain.lower() in _NOTHING:
        return None
    if field.kind is tuple:
        return _names(plain, field.choices)
    if field.choices and plain not in field.choices:
        raise ShakegptError(f"{_shown(plain)}: give {', '.join(field.choices)}")
    if field.kind is bool:
        return plain == "yes"
    if field.kind is str:
        raw = text if name == "prompt" else plain  # blanks at a prompt's end matter
        return re.sub(r"\\([\\n])", lambda escape: _ESCAPES[escape[1]], raw)
    try:
        return field.kind(plain.replace("_", ""))
    except ValueError:
        kind = "a whole number" if field.kind is int else "a number"
        raise ShakegptError(f"{_shown(plain)} is not {kind}") from None


def _names(text: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    try:
        names = tuple(shlex.split(text))
    except ValueError as error:
        raise ShakegptError(f"{_shown(text)}: {str(error).lower()}") from None
    wrong = [name for name in names if choices and name not in choices]
    if wrong or (choices and not names):
        raise ShakegptError(f"{_shown(*wrong[:1])}: give some of {', '.join(choices)}")
    if "-" in names:
        raise ShakegptError("-: standard input is the keyboard here, so give a file")
    if not names:
        raise ShakegptError("names no text: give plays, tinyshakespeare or text files")
    return names


def _shown(text: str = "") -> str:
    """What was typed, as an error quotes it."""
    return one_line(text, 40) or "nothing"


def check(texts: Mapping[str, str]) -> tuple[FinetuneConfig | None, dict[str, str]]:
    """The configuration that the form says, or None, and by field what is wrong with it."""
    values, errors = {}, {}
    for name, text in texts.items():
        try:
            values[name] = parse(name, text)
            FinetuneConfig(**{name: values[name]})
        except ShakegptError as error:
            errors[name] = str(error).removeprefix("--" + name.replace("_", "-") + " ")
    if not texts.get("init_from", "x").strip():
        errors["init_from"] = "no model named: pocket ships with shakegpt"
    return (None, errors) if errors else (FinetuneConfig(**values), {})


def follow(texts: Mapping[str, str], before: str, after: str) -> dict[str, str]:
    """`texts` with the settings of the preset `after` wherever they were those of `before`.

    So what a person has typed stays.
    """
    old, new = (PRESETS[preset][1] for preset in (before, after))
    return {
        name: typed(getattr(new, name)) if text == typed(getattr(old, name)) else text
        for name, text in texts.items()
    }


def flags(config: FinetuneConfig, preset: str = FIRST) -> list[str]:
    """`config` as arguments of `shakegpt finetune`: the preset, and what differs from it.

    The first preset goes without saying, unless `config` names another model than it: the command
    line would begin with what suits that one.
    """
    base = PRESETS[preset][1]
    silent = preset == FIRST and config.init_from == base.init_from
    arguments = [] if silent else [preset]
    for field in fields(config):
        value = getattr(config, field.name)
        if value != getattr(base, field.name):
            arguments += _flag(field.name.replace("_", "-"), value)
    return arguments


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, tuple):
        return [f"--{name}", *value]
    text = "None" if value is None else repr(value) if isinstance(value, float) else str(value)
    # A value that begins with a dash would be taken for a flag.
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
