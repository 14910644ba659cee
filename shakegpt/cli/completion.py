"""`shakegpt completion SHELL`: completion of commands, flags, values and files, by argcomplete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, get_args

from shakegpt.cli.arguments import Parser, parse
from shakegpt.config.bounds import REQUIRED, Choice, setting

Shell = Literal["bash", "zsh", "fish"]
ABOUT = """Print the code that makes a shell complete commands, flags, values and files:
  eval "$(shakegpt completion bash)"    in ~/.bashrc
  eval "$(shakegpt completion zsh)"     in ~/.zshrc, after compinit
  shakegpt completion fish | source     in ~/.config/fish/config.fish"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    # fmt: off
    shell: Shell = setting(REQUIRED, Choice(*get_args(Shell)),
        "The shell to print the completion code for.", positional=True)
    # fmt: on


def main(words: list[str]) -> int:
    """Print the shell code that registers completion; returns the exit code."""
    arguments = parse(Arguments, "shakegpt completion", words, ABOUT)
    from argcomplete.shell_integration import shellcode

    print(shellcode(["shakegpt", "shakegpt-tui"], shell=arguments.shell))
    return 0


def complete(prog: str, modules: Mapping[str, str]) -> None:
    """Answer the shell's request for completions, which is in environment variables, and exit.

    `modules` maps each command of the program `prog` to the module with its `Arguments`.
    """
    import argcomplete

    whole = Parser(prog)
    commands = whole.add_subparsers(parser_class=Parser)
    hidden = []  # --max_iters beside --max-iters
    for name, module in modules.items():
        parser = commands.add_parser(name)
        parser.add_settings(import_module(module).Arguments)
        hidden += [flag for flag in parser.flags if "_" in flag]
    argcomplete.autocomplete(whole, always_complete_options="long", exclude=hidden)
