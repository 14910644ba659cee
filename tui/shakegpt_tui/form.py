"""The start form without its widgets: fields, what was typed in them, flags for the trainer.

Names, defaults and help are `FinetuneConfig`'s own, help being the docstring line of each field, so
the form cannot drift from the command line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from shakegpt.config import FinetuneConfig, help_lines
from shakegpt.errors import ShakegptError

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
_DEFAULT = FinetuneConfig()
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
    if field.choices and plain not in field.choices:
        raise ShakegptError(f"{plain or 'nothing'}: give {', '.join(field.choices)}")
    if field.kind is bool:
        return plain == "yes"
    if field.kind is tuple:
        return _names(plain)
    if field.kind is str:
        raw = text if name == "prompt" else plain  # blanks at a prompt's end matter
        return re.sub(r"\\([\\n])", lambda escape: _ESCAPES[escape[1]], raw)
    try:
        return field.kind(plain.replace("_", ""))
    except ValueError:
        kind = "a whole number" if field.kind is int else "a number"
        raise ShakegptError(f"{plain or 'nothing'} is not {kind}") from None


def _names(text: str) -> tuple[str, ...]:
    try:
        names = tuple(shlex.split(text))
    except ValueError as error:
        raise ShakegptError(f"{text}: {str(error).lower()}") from None
    if "-" in names:
        raise ShakegptError("-: standard input is the keyboard here, so give a file")
    return names


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


def flags(config: FinetuneConfig) -> list[str]:
    """`config` as arguments of `shakegpt finetune`: what differs from the defaults."""
    arguments: list[str] = []
    for field in fields(config):
        value = getattr(config, field.name)
        if field.default is MISSING or value != field.default:
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
