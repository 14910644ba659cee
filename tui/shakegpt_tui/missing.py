"""What a configuration names and is not there: models, texts; or is there already: a run.

And what the model's shape forbids. Each is refused before a trainer is started for it.
"""

from __future__ import annotations

import re
import reprlib
from pathlib import Path

from shakegpt.config import FinetuneConfig
from shakegpt.runlog.log import LOG_NAME
from shakegpt_tui import models

TEXTS = ("plays", "tinyshakespeare")


def missing(config: FinetuneConfig) -> dict[str, str]:
    """By field, what cannot be found on this machine, in words; {} when nothing is amiss.

    A name on the hub is not looked up: only the trainer touches the network.
    """
    errors = {
        "init_from": _model(config.init_from),
        "dataset": next(filter(None, map(_text, config.dataset)), ""),
        "out_dir": _directory(config.out_dir),
        "tokenizer": _tokenizer(config.tokenizer) if config.init_from == "scratch" else "",
        "block_size": _window(config),
        "n_embd": _heads(config),
        "shard": _sharing(config),
    }
    return {name: error for name, error in errors.items() if error}


def _model(name: str) -> str:
    hub = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith(".")
    if name in ("scratch", "pocket", *models.HUB) or hub or _there(name):
        return ""
    given = ", ".join(("pocket", *models.HUB))
    return f"no model {reprlib.repr(name)}: give {given}, owner/name on the hub, or a directory"


def _text(name: str) -> str:
    if name in TEXTS or _there(name):
        return ""
    return f"no file {reprlib.repr(name)}: give plays, tinyshakespeare or text files"


def _window(config: FinetuneConfig) -> str:
    model = models.of(config.init_from, models.known())
    if model is None or (config.block_size or 0) <= model.block_size:
        return ""
    made_for = f"the {model.block_size} that {config.init_from} was made for"
    return f"{config.block_size} is over {made_for}"


def _heads(config: FinetuneConfig) -> str:
    if config.init_from != "scratch" or config.n_embd % config.n_head == 0:
        return ""
    return f"{config.n_embd} is no multiple of n_head, {config.n_head}: heads are equal"


def _sharing(config: FinetuneConfig) -> str:
    return "needs several processes, which torchrun starts, with --no-tui" if config.shard else ""


def _directory(name: str | None) -> str:
    if name is not None and _there(str(Path(name) / LOG_NAME)):
        return f"{name} holds a run already: give another directory"
    return ""


def _tokenizer(name: str) -> str:
    if name in ("pocket", "gpt2", "char") or _there(name):
        return ""
    return f"no vocabulary {reprlib.repr(name)}: give pocket, gpt2, char or a directory"


def _there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
