"""Flags of `shakegpt finetune`, looked at before a screen is shown and a trainer started for them.

What the trainer would refuse at once is refused here in a sentence, and leaves no run behind.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from shakegpt.config import PRESETS, FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run
from shakegpt_tui import models
from shakegpt_tui.form import FIRST
from shakegpt_tui.missing import missing
from shakegpt_tui.trainer import model_of, option


def require(words: list[str]) -> None:
    """Raise ShakegptError for flags and values that no run can be made of."""
    from shakegpt.cli import arguments
    from shakegpt.cli.main import FinetuneArguments, ResumeArguments

    if option(words, "--resume") is not None:
        run = arguments.parse(ResumeArguments, "shakegpt finetune", words, None, "").resume
        if not is_run(run):
            raise ShakegptError(f"--resume {run} is no run directory")
        return
    flagged = words[1:] if words and words[0] in PRESETS else words
    base = FinetuneArguments(**asdict(_base(words)))
    config = arguments.parse(FinetuneArguments, "shakegpt finetune", flagged, base, "")
    if "-" in config.dataset:
        raise ShakegptError("--dataset - is the keyboard here: give a file, or --no-tui")
    for name, error in missing(config).items():
        whole = error.startswith("no ")  # such a sentence has the value
        raise ShakegptError(error if whole else f"--{name.replace('_', '-')}: {error}")


def _base(words: list[str]) -> FinetuneConfig:
    """What the command line begins with for these words."""
    if words and words[0] in PRESETS:
        return PRESETS[words[0]][1]
    name = model_of(words)
    base = PRESETS[models.preset_for(name, FIRST)][1]
    return base if name in ("pocket", *models.HUB) else replace(base, block_size=None)
