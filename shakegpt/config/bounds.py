"""Types of settings, with their bounds and help.

A configuration is a frozen dataclass whose fields are declared by `setting`. The command line, its
help, shell completion and the start form all read type, bounds and help from there.
"""

from __future__ import annotations

import dataclasses
import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from shakegpt.errors import ShakegptError

T = TypeVar("T")
LARGEST_INT = 2**31
LARGEST_FLOAT = 1e300
REQUIRED: Any = dataclasses.MISSING
"""Default of a setting that must be given."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""What UTF-8 cannot encode."""


@dataclass(frozen=True)
class Number:
    """A finite number from `low` (or above it, with `exclusive`) to `high`."""

    kind: type[int] | type[float]
    low: float
    high: float
    unit: str
    exclusive: bool = False

    @property
    def metavar(self) -> str:
        """Placeholder for a value in the help."""
        return self.unit.upper()

    def parse(self, text: str) -> int | float | str:
        """The number in `text`; the text itself when it is none."""
        with suppress(ValueError):
            return self.kind(text)
        return text

    def fault(self, value: Any) -> str | None:
        """The requirement that `value` violates, or None."""
        noun = "an integer" if self.kind is int else "a number"
        kinds = (int,) if self.kind is int else (int, float)
        is_number = type(value) in kinds
        if not is_number or not (value > self.low if self.exclusive else value >= self.low):
            return f"must be {noun} {'>' if self.exclusive else '>='} {self.low:g}"
        if value > self.high:
            high = f"{self.high:,}" if self.kind is int else f"{self.high:g}"
            return f"must be {noun} <= {high}"
        return None


def integer(low: int, high: int = LARGEST_INT, unit: str = "n") -> Number:
    """An integer from `low` to `high`, counted in `unit`."""
    return Number(int, low, high, unit)


def real(low: float, high: float = LARGEST_FLOAT, unit: str = "x", above: bool = False) -> Number:
    """A finite number from `low` (with `above`: greater than it) to `high`."""
    return Number(float, low, high, unit, above)


@dataclass(frozen=True)
class Text:
    """A string that UTF-8 can encode, so that the log can hold it."""

    metavar: str = "TEXT"
    empty: bool = False
    """Whether it may be empty."""
    path: bool = False
    """Whether it may be a path; a leading ~ then stands for the home directory."""
    known: tuple[str, ...] = ()
    """Special values, offered by shell completion."""

    def parse(self, text: str) -> str:
        """`text`, with ~ expanded where it may be a path."""
        expand = self.path and text.startswith("~") and not os.path.lexists(text)
        return os.path.expanduser(text) if expand else text  # noqa: PTH111 (Path raises, no home)

    def fault(self, value: Any) -> str | None:
        """The requirement that `value` violates, or None."""
        if not isinstance(value, str) or _SURROGATE.search(value):
            return "must be text in UTF-8"
        return None if value or self.empty else "must not be empty"


class Choice:
    """One of a few strings."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.metavar = "|".join(known)

    def parse(self, text: str) -> str:
        """`text` itself."""
        return text

    def fault(self, value: Any) -> str | None:
        """The requirement that `value` violates, or None."""
        return None if value in self.known else "must be one of " + ", ".join(self.known)


class Switch:
    """True or false: `--name` or `--no-name`."""

    metavar = ""
    known = ("yes", "no")

    def parse(self, text: str) -> bool | str:
        """True for yes, False for no; any other text itself."""
        return {"yes": True, "no": False}.get(text, text)

    def fault(self, value: Any) -> str | None:
        """The requirement that `value` violates, or None."""
        return None if isinstance(value, bool) else "must be yes or no"


@dataclass(frozen=True)
class Several:
    """A tuple of at least `least` values of one type, each choice at most once."""

    item: Text | Choice
    least: int = 1

    @property
    def metavar(self) -> str:
        """Placeholder for a value in the help."""
        return self.item.metavar

    @property
    def known(self) -> tuple[str, ...]:
        """Special values of an item."""
        return self.item.known

    def parse(self, texts: Sequence[str]) -> tuple[str, ...]:
        """The values of the items."""
        return tuple(self.item.parse(text) for text in texts)

    def fault(self, value: Any) -> str | None:
        """The requirement that `value` violates, or None."""
        is_choice = isinstance(self.item, Choice)
        if not isinstance(value, tuple) or len(value) < self.least:
            choices = f" of {', '.join(self.known)}" if is_choice else ""
            return f"needs at least one value{choices}"
        if is_choice and len(set(map(repr, value))) < len(value):
            return "must not name one twice"
        return next(filter(None, map(self.item.fault, value)), None)


Type = Number | Text | Choice | Switch | Several


@dataclass(frozen=True)
class Setting:
    """Type, help and place of a field."""

    type: Type
    help: str
    topic: str
    none: str | None
    """The meaning of None; None where the field cannot be None."""
    positional: bool

    def parse(self, text: str | Sequence[str]) -> Any:
        """The value in `text`; if it is invalid, something that `fault` refuses."""
        if self.none is not None and text in ("none", "None"):
            return None
        return self.type.parse(text)  # type: ignore[arg-type]

    def fault(self, value: Any) -> str | None:
        """The requirement that `value` violates, with the value; or None."""
        if value is None and self.none is not None:
            return None
        fault = self.type.fault(value)
        or_none = ", or none" if fault and self.none is not None else ""
        given = str(value) if isinstance(value, float | bool) else reprlib.repr(value)
        return f"{fault}{or_none}, got {given}" if fault else None


def setting(
    default: T,
    type: Type,
    help: str,
    topic: str = "options",
    *,
    none: str | None = None,
    positional: bool = False,
) -> T:
    """A field of a configuration; `REQUIRED` as the default makes it required."""
    about = Setting(type, help, topic, none, positional)
    field: T = dataclasses.field(default=default, metadata={"setting": about})
    return field


def settings(kind: Any) -> dict[str, Setting]:
    """Field name -> its setting, for a configuration or its class."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(kind)}


def flag(name: str) -> str:
    """A field's name as the command line spells it: --max-iters."""
    return "--" + name.replace("_", "-")


def words(name: str, value: Any) -> list[str]:
    """The command-line arguments that set the field `name` to `value`."""
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no_{name}")]
    if isinstance(value, tuple):
        return [flag(name), *value]
    text = "none" if value is None else repr(value) if isinstance(value, float) else str(value)
    # argparse takes a separate value that begins with a dash for a flag
    return [f"{flag(name)}={text}"] if text.startswith("-") else [flag(name), text]


def faults(kind: Any, values: Mapping[str, Any]) -> dict[str, str]:
    """Field name -> an error message, for each of `values` that is invalid in `kind`."""
    known, sentences = settings(kind), dict[str, str]()
    for name, value in values.items():
        if fault := known[name].fault(value):
            sentences[name] = f"{display_name(name, known[name])} {fault}"
    return sentences


def display_name(name: str, about: Setting) -> str:
    """The name of a field in messages and help: its flag, or the name of a positional argument."""
    if not about.positional:
        return flag(name)
    return name.upper() if isinstance(about.type, Choice) else about.type.metavar


def check(config: Any) -> None:
    """Raise ShakegptError, with each field and value, unless all of `config` is valid."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if sentences := faults(config, values):
        raise ShakegptError("; ".join(sentences.values()))
