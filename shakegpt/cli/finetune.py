"""`shakegpt finetune`: start a run, or resume one, under a screen or a console."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shakegpt.bounds import Switch, Text, flag, setting
from shakegpt.cli import preflight
from shakegpt.cli.arguments import given
from shakegpt.cli.imports import heavy_imports
from shakegpt.config import MACHINE, WHAT, FinetuneConfig, GPTConfig
from shakegpt.data.sources import is_pipe, resolve
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.presets import FIRST, HUB_SHAPES, PRESETS, describe, suited
from shakegpt.runlog.runs import is_run

if TYPE_CHECKING:
    from shakegpt.runlog.history import History

PROG = "shakegpt finetune"
RESUMABLE = ("resume", "tui", "max_iters", "shard")
"""What may be given with --resume; a run keeps the rest."""


@dataclass(frozen=True, kw_only=True)
class Arguments(FinetuneConfig):
    """All arguments of the command."""

    preset: str | None = setting(
        None,
        Text("PRESET", known=tuple(PRESETS)),
        "Settings to begin with, which the flags change.",
        WHAT,
        none="what suits the model",
        positional=True,
    )
    resume: str | None = setting(
        None,
        Text("RUN", path=True),
        "Continue a run that was stopped or killed. --max-iters may raise its limit.",
        WHAT,
        none="start a run",
    )
    tui: bool = setting(
        True, Switch(), "Open the live screen in a terminal, instead of printing lines.", MACHINE
    )


@dataclass(frozen=True)
class Request:
    """What a command line asks for."""

    preset: str | None
    settings: dict[str, Any]
    """The settings that it gives, by field."""
    tui: bool = True
    resume: Path | None = None
    """A run to resume, instead of starting one."""
    watch: Path | None = None
    """A run to watch, where a preset may stand (`shakegpt-tui` only)."""

    @property
    def init_from(self) -> str:
        """The name of the model to start from."""
        base = PRESETS[self.preset or FIRST].config
        return str(self.settings.get("init_from", base.init_from))

    @property
    def by_size(self) -> bool:
        """Whether the size of the model decides the settings that are not given."""
        return self.preset is None and self.init_from not in (FIRST, "scratch")

    @property
    def reads_pipe(self) -> bool:
        """Whether a text can be read only once, which a trainer under a screen could not."""
        config = PRESETS[self.preset or FIRST].config
        names = self.settings.get("dataset", config.dataset)
        return any(map(is_pipe, resolve([*names, *(self.settings.get("val_dataset") or ())])))

    def config(self, shape: GPTConfig | None = None) -> FinetuneConfig:
        """The configuration of a new run: of the preset, or what suits a model of `shape`.

        Without `shape`, the one that is known on this machine.
        """
        base = PRESETS[self.preset or FIRST].config
        if self.preset is None and self.init_from == "scratch":
            base = replace(base, block_size=None)
        if self.by_size:
            with suppress(ShakegptError):  # of a name that `preflight.faults` refuses
                shape = shape or preflight.local_shape(self.init_from)
            base = suited(shape or HUB_SHAPES["gpt2"])
        return replace(base, **self.settings)


def parse(words: list[str], *, watches: bool = False) -> Request:
    """What `words` ask for; with `watches`, a run directory may stand where a preset may.

    Raises ShakegptError for words that do not fit, SystemExit for help.
    """

    def defaults(values: dict[str, Any]) -> Arguments | None:
        preset = PRESETS.get(values.get("preset", ""))
        return None if preset is None else Arguments(**vars(preset.config))

    settings = given(Arguments, PROG, words, _about(), defaults)
    tui = settings.pop("tui", True)
    word, resume = settings.pop("preset", None), settings.pop("resume", None)
    if watches and word is not None and word not in PRESETS and is_run(Path(word)):
        if settings or resume is not None:
            raise ShakegptError(f"{word} is watched as it is: it takes no flags but --no-tui")
        return Request(None, {}, tui, watch=Path(word))
    if word is not None and word not in PRESETS:
        noun = "run or preset" if watches else "preset"
        raise ShakegptError(preflight.preset_fault(word, noun))
    if resume is None:
        return Request(word, settings, tui)
    fixed = [flag(name) for name in settings if name not in RESUMABLE]
    if word is not None or fixed:
        raise ShakegptError(
            f"{' and '.join(fixed) or 'a preset'} cannot be changed when resuming; start a new "
            f"run with --init-from {resume}"
        )
    return Request(None, settings, tui, resume=Path(resume))


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    request = parse(words)
    if request.tui and on_terminal() and not request.reads_pipe:
        from shakegpt_tui.main import watch

        return watch(words)
    if request.resume is not None:
        return _resume(request.resume, request.settings)
    config = configure(request)
    with heavy_imports():
        from shakegpt import session

    return _with_console(lambda log: session.finetune(config, log, own_process=True))


def configure(request: Request) -> FinetuneConfig:
    """The checked configuration of a new run, files by their full path: resumable from anywhere.

    The shape of the model decides its settings, so a model of the hub is downloaded here. Raises
    ShakegptError, naming all faults.
    """
    config = request.config()
    if not env.launched():  # else all processes would print it
        preflight.require_no_faults(config)
    if request.by_size:
        shape = preflight.model(config.init_from)
        config = request.config(shape)
        if env.rank() == 0:
            print(describe(config, shape), flush=True)
    if not env.launched():
        preflight.finetune(config)
    model, val = config.init_from, config.val_dataset
    dataset = tuple(resolve(config.dataset))
    val_dataset = None if val is None else tuple(resolve(val))
    with suppress(OSError):  # a name too long for a path gets its sentence where it is looked up
        model = str(Path(model).absolute()) if Path(model).is_dir() else model
    return replace(config, dataset=dataset, val_dataset=val_dataset, init_from=model)


def on_terminal() -> bool:
    """Whether a person sits at a terminal that can show the live screen."""
    dumb = os.environ.get("TERM", "") in ("", "dumb") or env.launched()
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty() and not dumb


def _resume(run: Path, settings: dict[str, Any]) -> int:
    from shakegpt.runlog import history

    past = history.begun(run)
    with heavy_imports():
        from shakegpt import session

    limit, shard = settings.get("max_iters"), settings.get("shard", False)
    return _with_console(
        lambda log: session.resume(run, limit, log, own_process=True, shard=shard), past
    )


def _with_console(job: Callable[[Any], Path], past: History | None = None) -> int:
    """Train under the console that suits, which knows the run's past; returns the exit code."""
    from shakegpt.cli.console import console

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a dropped line does not stop a run
    with console(past) as log:
        try:
            job(log)
        except Stopped as stopped:
            return stopped.exit_code
    return 0


def _about() -> str:
    """What the help says first: the presets, and how to resume."""
    rows = {name: preset.about for name, preset in PRESETS.items()}
    rows["--resume RUN"] = "continue a run that was stopped or killed; --max-iters may change"
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
