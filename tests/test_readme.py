"""What the README says there is, is there: every module, every command with its flags."""

from __future__ import annotations

import re
import shlex
from importlib import import_module

import pytest

from shakegpt.cli import finetune_arguments
from shakegpt.cli.arguments import parse_values
from shakegpt.cli.main import COMMANDS
from tests.commands import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    """Each command of this project in the README, blocks and tables alike, without its comment."""
    said = re.findall(r"(?:^| {2}|`|-m |\$ |; )((?:shakegpt|make) [^`\n;|]*)", README, re.MULTILINE)
    return sorted({line.split("#")[0].split("  ")[0].strip() for line in said})


def test_the_tree_names_every_module_and_no_other() -> None:
    tree = README.partition("## How it is built")[2].partition("## Measured")[0]
    named = set(re.findall(r"\b([a-z_]+\.py)\b", tree))
    assert named <= {path.name for path in (ROOT / "shakegpt").rglob("*.py")}
    for folder in re.findall(r"^([a-z]+)/", tree, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_commands_are_found() -> None:
    assert len(commands()) > 15 and "make run" in commands()


@pytest.mark.parametrize("line", commands())
def test_a_command_can_be_said(line: str) -> None:
    program, verb, *rest = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert verb in targets
    elif verb == "finetune":
        finetune_arguments.parse(rest)
    else:
        assert verb in COMMANDS
        parse_values(import_module(f"shakegpt.cli.{verb}").Arguments, verb, rest, "")
