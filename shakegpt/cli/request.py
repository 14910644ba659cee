"""The request in a command line of `shakegpt finetune`, and the configuration for it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shakegpt.checkpoint.resolve import absolute
from shakegpt.cli import preflight
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.config.bounds import flag
from shakegpt.config.presets import FIRST, HUB_SHAPES, PRESETS, describe, possible, suited
from shakegpt.data.sources import is_pipe, resolve
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError
from shakegpt.notify import command
from shakegpt.runlog.resumption import IDENTITY, require_same_run
from shakegpt.runlog.runs import is_run


@dataclass(frozen=True)
class Request:
    """A parsed command line."""

    preset: str | None
    settings: dict[str, Any]
    """The settings on the command line, by field."""
    tui: bool = True
    forces_tui: bool = False
    """Whether --tui is given, which opens the screen even in a notebook or CI."""
    resume: Path | None = None
    """A run to resume, instead of starting one."""
    watch: Path | None = None
    """A run to watch, in the place of a preset (`shakegpt-tui` only)."""
    on_end: str | None = None
    """A command to run when the run has ended."""
    notify: bool = True
    """Whether to notify the terminal then."""

    @property
    def init_from(self) -> str:
        """The name of the model to start from."""
        base = PRESETS[self.preset or FIRST].config
        return str(self.settings.get("init_from", base.init_from))

    @property
    def by_size(self) -> bool:
        """Whether the defaults depend on the size of the model."""
        return self.preset is None and self.init_from not in (FIRST, "scratch")

    @property
    def reads_pipe(self) -> bool:
        """Whether a text can be read only once; then the trainer cannot be another process."""
        config = PRESETS[self.preset or FIRST].config
        names = self.settings.get("dataset", config.dataset)
        return any(map(is_pipe, resolve([*names, *(self.settings.get("val_dataset") or ())])))

    def config(self, shape: GPTConfig | None = None) -> FinetuneConfig:
        """The configuration of a new run: of the preset, or suited to a model of `shape`.

        Without `shape`, to the shape that is known on this machine.
        """
        base = PRESETS[self.preset or FIRST].config
        if self.preset is None and self.init_from == "scratch":
            base = replace(FinetuneConfig(), block_size=None)
        if self.by_size:
            with suppress(ShakegptError):  # an error of `preflight.faults`, too
                shape = shape or preflight.local_shape(self.init_from)
            base = suited(shape or HUB_SHAPES["gpt2"])
        return replace(possible(base, self.settings), **self.settings)


def request_of(settings: dict[str, Any], *, watches: bool) -> Request:
    """The request of parsed arguments, see `finetune_arguments.parse`. Raises ShakegptError."""
    forces_tui = settings.get("tui", False)
    tui = settings.pop("tui", True)
    word, resume = settings.pop("preset", None), settings.pop("resume", None)
    ending = {name: settings.pop(name) for name in ("on_end", "notify") if name in settings}
    if ending.get("on_end") is not None:
        command.split(ending["on_end"])  # raises early
    if watches and word is not None and word not in PRESETS and is_run(Path(word)):
        if settings or ending or resume is not None:
            raise ShakegptError(f"watching the run {word} takes no flags but --no-tui")
        return Request(None, {}, tui, forces_tui, watch=Path(word))
    if word is not None and word not in PRESETS:
        noun = "run or preset" if watches else "preset"
        raise ShakegptError(preflight.preset_fault(word, noun))
    if resume is None:
        return Request(word, settings, tui, forces_tui, **ending)
    if word is not None:
        raise ShakegptError(
            f"a preset cannot be changed when resuming; start a new run with: shakegpt finetune "
            f"{word} --init-from {shlex.quote(resume)}"
        )
    require_same_run(Path(resume), settings)
    return Request(None, settings, tui, forces_tui, resume=Path(resume), **ending)


def changes(request: Request) -> dict[str, Any]:
    """The settings that a resume changes, files by their full path. Raises ShakegptError."""
    settings = {k: v for k, v in request.settings.items() if k not in IDENTITY}
    for name in ("dataset", "val_dataset"):
        if texts := settings.get(name):
            preflight.require_texts(texts, flag(name))
            settings[name] = tuple(resolve(texts))
    return settings


def configure(request: Request) -> FinetuneConfig:
    """The checked configuration of a new run, with full paths, so that it resumes from anywhere.

    The settings depend on the shape of the model, so a model of the hub is downloaded here. Raises
    ShakegptError, with all faults.
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
    val = config.val_dataset
    dataset = tuple(resolve(config.dataset))
    val_dataset = None if val is None else tuple(resolve(val))
    model = absolute(config.init_from)
    return replace(config, dataset=dataset, val_dataset=val_dataset, init_from=model)
