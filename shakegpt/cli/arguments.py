"""A command-line parser (argparse) for the fields of a configuration, declared by `bounds.setting`.

A switch is `--name` or `--no-name`, the flag of a tuple takes several values and may be repeated,
and flags may stand before, between or after the positional arguments. The types of the fields parse
and check the values; an error is one sentence.
"""

from __future__ import annotations

import argparse
import difflib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, Field, fields
from functools import partial
from typing import Any, TypeVar

from shakegpt.config import bounds
from shakegpt.config.bounds import Setting, Several, Switch, flag
from shakegpt.config.fields import TOPICS
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import printable

T = TypeVar("T")
NARROWEST = 40
"""Fewest columns of the help."""


def parse(kind: type[T], prog: str, words: Sequence[str], about: str) -> T:
    """The instance of the dataclass `kind` from the arguments `words`; else as `parse_values`."""
    return kind(**parse_values(kind, prog, words, about))


def parse_values(
    kind: type[Any],
    prog: str,
    words: Sequence[str],
    about: str,
    base: Callable[[dict[str, Any]], Any] = lambda _: None,
) -> dict[str, Any]:
    """Field name -> value, for those fields of the dataclass `kind` that `words` set.

    For -h or --help, prints the help and raises SystemExit; the defaults in the help are those of
    `base` of the other arguments. Raises ShakegptError for invalid arguments.
    """
    parser = Parser(prog, about)
    parser.add_settings(kind)
    try:
        parsed, rest = parser.parse_known_intermixed_args(list(words))
    except argparse.ArgumentError as error:
        name = (error.argument_name or "").split("/")[0]
        takes_none = name in parser.flags and parser.flags[name].nargs == 0
        raise ShakegptError(f"{name} {'takes no' if takes_none else 'needs a'} value") from None
    values = vars(parsed)
    if values.pop("help"):
        described = Parser(prog, about)
        described.add_settings(kind, base(values))
        print(printable(described.format_help()), end="")
        raise SystemExit(0)
    see_help = f" (see {prog} --help)"
    for word in sorted(rest, key=lambda word: not word.startswith("-")):
        if not word.startswith("-"):
            raise ShakegptError(f"unexpected argument {word!r}{see_help}")
        name = word.split("=")[0]
        close = suggestion(name, (flag for flag in parser.flags if "_" not in flag))
        raise ShakegptError(f"unknown flag {name!r}{close or see_help}")
    settings = bounds.settings(kind)
    for field in fields(kind):
        if field.default is MISSING and field.name not in values:
            name = bounds.display_name(field.name, settings[field.name])
            raise ShakegptError(f"{prog} needs a {name}{see_help}")
    values = {
        name: text if isinstance(text, bool) else settings[name].parse(text)
        for name, text in values.items()
    }
    if faults := bounds.faults(kind, values):
        raise ShakegptError("; ".join(faults.values()))
    return values


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a message that suggests the closest of `known`; "" when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


class Parser(argparse.ArgumentParser):
    """An argparse parser without abbreviated flags, whose help fits the terminal."""

    def __init__(self, prog: str, about: str = "") -> None:
        super().__init__(
            prog,
            description=about,
            formatter_class=_Formatter,
            add_help=False,
            allow_abbrev=False,
            exit_on_error=False,
        )
        self.flags: dict[str, argparse.Action] = {}

    def add_settings(self, kind: type[Any], base: Any = None) -> None:
        """An argument for each field of the dataclass `kind`, in a group for each topic.

        The defaults in the help are those of `base`, else the fields' own.
        """
        settings = bounds.settings(kind)

        def order(field: Field[Any]) -> tuple[int, bool]:
            about = settings[field.name]
            return TOPICS.index(about.topic), not about.positional

        groups, positionals = dict[str, Any](), list[str]()
        for field in sorted(fields(kind), key=order):
            about = settings[field.name]
            if about.topic not in groups:
                groups[about.topic] = self.add_argument_group(about.topic)
            default = getattr(base, field.name, field.default)
            action = _add(groups[about.topic], field.name, about, default)
            action.completer = _completer(about)
            self.flags |= dict.fromkeys(action.option_strings, action)
            if about.positional:
                usage = action.metavar + (" ..." if isinstance(about.type, Several) else "")
                positionals.append(usage if field.default is MISSING else f"[{usage}]")
        options = groups.get("options") or self.add_argument_group("options")
        help = options.add_argument(
            "-h", "--help", action="store_true", help="Print this help and exit."
        )
        self.flags |= dict.fromkeys(help.option_strings, help)
        self.usage = " ".join([self.prog, *positionals, "[flags]"]).replace("%", "%%")


def _add(group: Any, name: str, about: Setting, default: Any) -> Any:
    """Add the argument for one field; if it is not given, the field is absent from the result."""
    help = f"{about.help} {_default(about, default)}".replace("%", "%%").rstrip()
    several = isinstance(about.type, Several)
    add = partial(group.add_argument, default=argparse.SUPPRESS)
    if about.positional:
        metavar, help = bounds.display_name(name, about), about.help.replace("%", "%%")
        return add(name, metavar=metavar, nargs="*" if several else "?", help=help)
    names = dict.fromkeys([flag(name), "--" + name])  # --init_from, as in nanoGPT
    if isinstance(about.type, Switch):
        return add(*names, action=argparse.BooleanOptionalAction, help=help)
    action, nargs = ("extend", "+") if several else ("store", None)
    return add(*names, metavar=about.type.metavar, action=action, nargs=nargs, help=help)


def _default(about: Setting, default: Any) -> str:
    """The end of a help text: the default, and the meaning of none."""
    if default is MISSING:
        return ""
    if default is None:
        return f"(default: none, {about.none})"
    if isinstance(default, bool):
        text = "yes" if default else "no"
    else:
        text = " ".join(default) if isinstance(default, tuple) else f"{default}"
    none = f"none: {about.none}; " if about.none is not None else ""
    return f"({none}default: {text})"


def _completer(about: Setting) -> Any:
    """The shell completion of a value: its special values, and files if it may be a path."""
    known = about.type.known if not isinstance(about.type, Switch | bounds.Number) else ()
    item = about.type.item if isinstance(about.type, Several) else about.type
    is_path = isinstance(item, bounds.Text) and item.path

    def complete(prefix: str, **_: Any) -> list[str]:
        words = [word for word in known if word.startswith(prefix)]
        if is_path:
            from argcomplete.completers import FilesCompleter

            words += FilesCompleter()(prefix)
        return words

    return complete


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that fits the terminal, with one spelling of each flag."""

    def __init__(self, prog: str) -> None:
        columns = max(NARROWEST, min(120, shutil.get_terminal_size().columns))
        super().__init__(prog, max_help_position=28, width=columns - 1)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        names = [name for name in action.option_strings if "_" not in name]
        metavar = f" {action.metavar}" if action.metavar else ""
        several = " ..." if action.nargs == "+" else ""
        return ", ".join(names) + metavar + several
