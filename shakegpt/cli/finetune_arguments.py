"""The arguments of `shakegpt finetune` and `shakegpt-tui`."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shakegpt.cli.arguments import parse_values
from shakegpt.config import FinetuneConfig
from shakegpt.config.bounds import Switch, Text, setting
from shakegpt.config.fields import MACHINE, WHAT
from shakegpt.config.presets import FIRST, PRESETS

if TYPE_CHECKING:
    from shakegpt.cli.request import Request


@dataclass(frozen=True, kw_only=True)
class Arguments(FinetuneConfig):
    """All arguments of the command."""

    # fmt: off
    preset: str | None = setting(None, Text("PRESET", known=tuple(PRESETS)),
        "Settings to begin with, which the flags change.",
        WHAT, none="what suits the model", positional=True)
    resume: str | None = setting(None, Text("RUN", path=True),
        "Continue a run that was stopped or killed. Other flags change how it continues; those "
        "that would make it another run are refused.", WHAT, none="start a run")
    tui: bool = setting(True, Switch(),
        "Open the live screen in a terminal, instead of printing lines. In a notebook and in CI, "
        "where nobody sits at the terminal, only when --tui is given.", MACHINE)
    on_end: str | None = setting(None, Text("COMMAND"),
        "Run this command, without a shell, when the run has finished, stopped, failed, crashed or "
        "stalled: the result is in SHAKEGPT_RUN, SHAKEGPT_STATE and others (see the README), a "
        "sentence of it on standard input.", MACHINE, none="nothing")
    notify: bool = setting(True, Switch(),
        "When the run ends, ring the terminal's bell, with a notification where it is known to "
        "have one. Never in pipes, logs and notebooks.", MACHINE)
    # fmt: on


def parse(words: list[str], *, watches: bool = False) -> Request:
    """The request in the arguments `words`; with `watches`, a run may take the preset's place.

    Raises ShakegptError for invalid arguments, SystemExit for help.
    """

    def defaults(values: dict[str, Any]) -> Arguments | None:
        preset = PRESETS.get(values.get("preset", FIRST))
        return None if preset is None else Arguments(**vars(preset.config))

    settings = parse_values(Arguments, "shakegpt finetune", words, _about(), defaults)
    from shakegpt.cli.request import request_of  # help needs none of this

    return request_of(settings, watches=watches)


def _about() -> str:
    """The introduction of the help: the presets, and how to resume."""
    rows = {name: preset.about for name, preset in PRESETS.items()}
    rows["--resume RUN"] = "continue a run that was stopped or killed, as other flags change it"
    width = max(60, min(120, shutil.get_terminal_size().columns)) - 1
    table = (
        textwrap.fill(f"  {name:<12}  {about}", width, subsequent_indent=" " * 16)
        for name, about in rows.items()
    )
    return (
        "Finetune a GPT-2 on a text. Presets:\n"
        + "\n".join(table)
        + "\nWithout a preset, --init-from decides: settings follow the size of the model."
    )
