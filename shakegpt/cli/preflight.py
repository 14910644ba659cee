"""Checks before PyTorch is imported, which takes a second or several.

The command line and the start form check a new run by `faults`. The trainer repeats these checks,
and makes all others, when it reads model and text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from shakegpt.checkpoint.config_json import read_config
from shakegpt.checkpoint.resolve import find, is_on_hub
from shakegpt.cli import arguments
from shakegpt.config import EvaluateConfig, FinetuneConfig, GPTConfig
from shakegpt.config.model import block_size_fault
from shakegpt.config.presets import HUB_SHAPES, PRESETS
from shakegpt.data.make_vocabulary import bpe_size
from shakegpt.data.sources import BUILT_IN, STDIN, require, resolve
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError
from shakegpt.runlog.runs import is_run, require_unused


def faults(config: FinetuneConfig) -> dict[str, str]:
    """Field name -> an error message, for each invalid setting of a new run.

    Uses only names and sizes on this machine: fast, without network, and without reading texts.
    """
    fault_of = {
        "init_from": _raised(lambda: local_shape(config.init_from)),
        "dataset": _text_fault(config.dataset),
        "val_dataset": _text_fault(config.val_dataset or (), "--val-dataset"),
        "shard": _raised(lambda: env.require_shardable(config, config.dtype)),
        "memory": _raised(lambda: env.require_alone(env.processes()))
        if config.memory == "lowest"
        else None,
    }
    if config.out_dir is not None:
        run = Path(config.out_dir)
        fault_of["out_dir"] = _raised(lambda: require_unused(run))
    if config.init_from == "scratch":
        fault_of["tokenizer"] = _tokenizer_fault(config.tokenizer)
    elif fault_of["init_from"] is None and (shape := local_shape(config.init_from)) is not None:
        fault_of["block_size"] = block_size_fault(config.block_size, shape, config.init_from)
    return {name: fault for name, fault in fault_of.items() if fault}


def require_no_faults(config: FinetuneConfig) -> None:
    """Raise ShakegptError, with all of them, when `config` has faults."""
    if fault_of := faults(config):
        raise ShakegptError("; ".join(fault_of.values()))


def finetune(config: FinetuneConfig) -> None:
    """Read model and text of a new run, downloading a model of the hub. Raises ShakegptError."""
    if config.init_from != "scratch":
        _require_block_size(config.block_size, model(config.init_from), config.init_from)
    require(config.dataset, config.text_field)
    require(config.val_dataset or (), config.text_field)


def require_texts(names: Iterable[str], flag: str) -> None:
    """Raise ShakegptError when one of the texts given with `flag` does not exist."""
    if fault := _text_fault(names, flag):
        raise ShakegptError(fault)


def evaluate(name: str, config: EvaluateConfig) -> None:
    """Raise ShakegptError for a model or text that cannot be measured."""
    _require_block_size(config.block_size, model(name), name)
    require(config.dataset or (), config.text_field)


def model(name: str) -> GPTConfig:
    """The shape of the model `name`, downloaded if necessary. Raises ShakegptError without one."""
    try:
        return read_config(find(name).folder)
    except ShakegptError as error:
        path = Path(name)
        looked_up = is_on_hub(name) and not exists(name)
        if not looked_up or not path.parent.name or not path.parent.is_dir():
            raise
        close = arguments.suggestion(name, (str(near) for near in path.parent.iterdir()))
        raise ShakegptError(f"{error}; there is no directory {name} either{close}") from None


def local_shape(name: str) -> GPTConfig | None:
    """The shape of the model `name` if that needs neither network nor cache, else None.

    Also None for scratch. Raises ShakegptError when there is no such checkpoint.
    """
    if name == "scratch":
        return None
    return HUB_SHAPES.get(name) if is_on_hub(name) else model(name)


def _require_block_size(block_size: int | None, shape: GPTConfig, name: str) -> None:
    if fault := block_size_fault(block_size, shape, name):
        raise ShakegptError(fault)


def _raised(check: Callable[[], object]) -> str | None:
    try:
        check()
    except ShakegptError as error:
        return str(error)
    return None


def missing_text(names: Iterable[str]) -> str | None:
    """The first text that does not exist; contents are not read. Raises ShakegptError."""
    for name in names:
        sources = resolve([name])
        missing = next((s for s in sources if s not in (*BUILT_IN, STDIN) and not exists(s)), None)
        if missing is not None:
            return name if len(sources) == 1 else missing
    return None


def _text_fault(names: Iterable[str], flag: str = "--dataset") -> str | None:
    """An error message for the first text that does not exist; contents are not read."""
    try:
        missing = missing_text(names)
    except ShakegptError as error:
        return str(error)
    if missing is None:
        return None
    use = "use plays, tinyshakespeare, a text file, a directory of texts, or -"
    if missing in PRESETS:
        use = f"to use the preset, write {missing} before the flags"
    return f"{flag} {missing} does not exist: {use}"


def _tokenizer_fault(name: str) -> str | None:
    if name in ("pocket", "gpt2", "char") or exists(name):
        return None
    if name.startswith("bpe:"):
        return _raised(lambda: bpe_size(name))
    return f"--tokenizer {name} does not exist: use pocket, gpt2, char, bpe:N or a directory"


def preset_fault(word: str, noun: str = "preset") -> str:
    """The error message for a word in the place of a preset that is none: what to type instead."""
    suggestion = arguments.suggestion(word, PRESETS)
    if is_run(Path(word)):
        return f"{word} is a run: continue it with --resume {word}, or use --init-from {word}"
    if exists(str(Path(word) / "config.json")):
        return f"{word} is a model, not a preset: use --init-from {word}"
    if exists(word):
        return f"{word} is a text, not a preset: use --dataset {word}"
    if not suggestion and re.search(r"[./\\]", word):
        return f"{word} is no preset, and there is no such file; a text is named by --dataset"
    return f"unknown {noun} {word!r}" + (suggestion or f"; the presets are {', '.join(PRESETS)}")


def exists(name: str) -> bool:
    """Whether there is a file or directory `name`, which may be an invalid path."""
    with suppress(OSError, ValueError):
        return Path(name).exists()
    return False
