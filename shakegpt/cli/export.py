"""`shakegpt export`: a run's model as GGUF, its metrics as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, cast

from shakegpt.bounds import Text, setting
from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.errors import ShakegptError
from shakegpt.files import write_atomically
from shakegpt.format import size
from shakegpt.resource_errors import resource_errors, writing
from shakegpt.runlog import history

ABOUT = "Write a run's best model, or its metrics, in the formats of other programs."
COLUMNS = (
    *("iteration", "loss", "val_loss", "learning_rate", "grad_norm"),
    *("seconds", "tokens_per_second", "memory"),
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    run: str = setting(
        cast("Any", MISSING),
        Text("RUN", path=True),
        "A run; for --gguf also a checkpoint directory or a model's name.",
        positional=True,
    )
    gguf: str | None = setting(
        None,
        Text("FILE", path=True),
        "Write model and vocabulary for llama.cpp and Ollama, in float32.",
        none="not written",
    )
    csv: str | None = setting(
        None,
        Text("FILE", path=True),
        "Write loss, val loss, learning rate and speed, a line for each iteration.",
        none="not written",
    )


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt export", words, ABOUT)
    files = [Path(name) for name in (arguments.gguf, arguments.csv) if name is not None]
    if not files:
        raise ShakegptError("shakegpt export needs --gguf FILE or --csv FILE (see --help)")
    for path in files:
        if path.exists():
            raise ShakegptError(f"{path} exists already: give another name, or delete it")
        if not path.absolute().parent.is_dir():
            raise ShakegptError(f"cannot write {path}: its directory does not exist")
    with resource_errors():
        if arguments.csv is not None:
            _write_metrics(Path(arguments.run), Path(arguments.csv))
        if arguments.gguf is not None:
            _write_model(arguments.run, Path(arguments.gguf))
    return 0


def _write_metrics(run: Path, path: Path) -> None:
    past = history.load_started(run)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for iteration in sorted(past.steps.keys() | past.evals.keys()):
        step, evaluated = past.steps.get(iteration), past.evals.get(iteration)
        values = [getattr(step, name, None) for name in COLUMNS]
        values[0] = iteration
        values[2] = evaluated.val_loss if evaluated is not None else None
        rows.writerow(["" if value is None else value for value in values])
    with writing(path.absolute().parent, len(text.getvalue())):
        write_atomically(path, text.getvalue().encode())
    print(f"the metrics are in {path}")


def _write_model(name: str, path: Path) -> None:
    with heavy_imports():
        from shakegpt.checkpoint import io as checkpoint
        from shakegpt.checkpoint.gguf_file import write_gguf

    source = checkpoint.find(name)
    tokenizer = checkpoint.vocabulary(source.folder)
    written = write_gguf(path, source.name, checkpoint.load(source.folder), tokenizer)
    print(f"the model is in {path}, {size(written)}; run it with:")
    print(f"  llama-cli -m {path} -p ROMEO: -no-cnv")
