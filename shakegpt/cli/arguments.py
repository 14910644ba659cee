"""Flags to a dataclass: tyro reads them; what it cannot read is refused in one sentence.

Tyro explains a bad value in a box, in the words of Python's own conversions. So when it gives up,
the flags are gone through once more here, and the first that cannot be meant gets its sentence.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import MISSING, field, fields, make_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import tyro

from shakegpt.bounds import RULES, refusal
from shakegpt.config import help_lines
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import printable, sentence

T = TypeVar("T")


def parse(kind: type[T], prog: str, words: list[str], default: T | None, description: str) -> T:
    """The instance of the dataclass `kind` that the flags `words` describe, else as `default`.

    Prints the help and leaves, when that is asked for. Raises ShakegptError for a flag or value
    that there is not.
    """
    out, err = io.StringIO(), io.StringIO()
    odd = any(printable(word) != word for word in words)  # what is printed quotes what was typed
    explained = _explained(kind, default)
    try:
        with redirect_stderr(err), redirect_stdout(out) if odd else redirect_stderr(err):
            return tyro.cli(explained, prog=prog, args=words, description=description)
    except SystemExit as left:
        if not left.code:
            print(printable(out.getvalue()), end="")
            raise
        _refuse_what_is_wrong(kind, words)
        raise ShakegptError(sentence(re.sub("[─-╿]", " ", err.getvalue()), 300)) from None


def _explained(kind: type[T], default: T | None) -> type[T]:
    """`kind` with each field's help and default where tyro looks for them.

    Left to itself, tyro keeps the line breaks of the source in the help.
    """
    hints, helps = get_type_hints(kind), help_lines(kind)
    made = []
    for one in fields(cast("Any", kind)):
        value = one.default if default is None else getattr(default, one.name)
        hint = hints[one.name]
        told: Any = Annotated[hint, tyro.conf.arg(help=helps[one.name])]
        made.append((one.name, told, field() if value is MISSING else field(default=value)))
    return cast(
        "type[T]", make_dataclass(kind.__name__, made, bases=(kind,), frozen=True, kw_only=True)
    )


def _refuse_what_is_wrong(kind: type[Any], words: list[str]) -> None:
    """Raise ShakegptError for the first of `words` that cannot be meant."""
    hints = get_type_hints(kind)
    for flag, values in _flags_and_values(words):
        name = flag.removeprefix("--").replace("-", "_")
        switch = name.removeprefix("no_")
        hint = bool if hints.get(switch) is bool else hints.get(name)
        if not flag and values:
            raise ShakegptError(
                f"{values[0]!r} is no flag and has no place there: --help tells what has one"
            )
        if flag and (hint is None or not flag.startswith("--")):
            raise _unknown(flag, list(hints))
        if hint is not None:
            _refuse_values(flag, name, hint, values)


def _flags_and_values(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each flag and the words after it; what stands before the first one goes with ""."""
    flag, values = "", list[str]()
    for word in words:
        if word.startswith("-") and word != "-" and not _is(float, word):
            yield flag, values
            flag, equals, value = word.partition("=")
            values = [value] if equals else []
        else:
            values.append(word)
    yield flag, values


def _unknown(flag: str, names: list[str]) -> ShakegptError:
    flags = ["--" + name.replace("_", "-") for name in names]
    close = difflib.get_close_matches(flag, flags, n=1, cutoff=0.6)
    meant = f"did you mean {close[0]}" if close else "--help tells which there are"
    return ShakegptError(f"there is no flag {flag}: {meant}{'?' if close else ''}")


def _refuse_values(flag: str, name: str, hint: Any, values: list[str]) -> None:
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    if hint is bool and values:
        raise ShakegptError(f"{flag} takes no value, and was given {values[0]!r}: leave that out")
    if hint is bool or get_origin(hint) is tuple:
        choices = _choices(get_args(hint)[0]) if hint is not bool else ()
        if wrong := [value for value in values if choices and value not in choices]:
            raise refusal(name, wrong[0], "one of " + ", ".join(choices))
    elif len(values) != 1:
        way_out = f"give one of {', '.join(_choices(hint))}" if _choices(hint) else "give that one"
        raise ShakegptError(
            f"{flag} takes one value, and was given {len(values) or 'none'}: {way_out}"
        )
    elif not any(_is(kind, values[0]) for kind in kinds):
        if choices := _choices(hint):
            raise refusal(name, values[0], "one of " + ", ".join(choices))
        RULES[name](name, values[0])  # a text, where it wants a number, and says which


def _choices(hint: Any) -> tuple[str, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _is(kind: Any, text: str) -> bool:
    """Whether `text` can be read as one of `kind`."""
    if kind in (int, float):
        try:
            kind(text)
        except ValueError:
            return False
        return True
    if kind is NoneType:
        return text == "None"
    return text in _choices(kind) if get_origin(kind) is Literal else True
