"""What a configuration names and is not there: models, texts; or is there already: a run."""

from __future__ import annotations

from pathlib import Path

from shakegpt.config import FinetuneConfig
from shakegpt.runlog import LOG_NAME
from shakegpt_tui.models import known

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
    }
    return {name: error for name, error in errors.items() if error}


def _model(name: str) -> str:
    hub = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if name == "scratch" or any(name == model.name for model in known()) or hub or _there(name):
        return ""
    return f"no model {name!r}: take one below, owner/name on the hub, or a directory"


def _text(name: str) -> str:
    if name in TEXTS or _there(name):
        return ""
    return f"no file {name!r}: give plays, tinyshakespeare or text files"


def _directory(name: str | None) -> str:
    if name is not None and _there(str(Path(name) / LOG_NAME)):
        return f"{name} holds a run already: give another directory"
    return ""


def _tokenizer(name: str) -> str:
    if name in ("pocket", "gpt2", "char") or _there(name):
        return ""
    return f"no vocabulary {name!r}: give pocket, gpt2, char or a directory"


def _there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
