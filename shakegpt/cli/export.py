"""`shakegpt export`: a run's model as GGUF or on the hub, its metrics as CSV or for TensorBoard."""

from __future__ import annotations

import csv
import importlib
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shakegpt.cli.arguments import parse
from shakegpt.cli.imports import heavy_imports
from shakegpt.cli.model import load_model, note, open_vocabulary
from shakegpt.config.bounds import REQUIRED, Switch, Text, setting
from shakegpt.errors import ShakegptError
from shakegpt.files import PART, write_atomically
from shakegpt.format import size
from shakegpt.hardware.resource_errors import resource_errors, writing
from shakegpt.runlog import history
from shakegpt.sanitize import printable

ABOUT = "Write a run's best model, or its metrics, in the formats of other programs."
COLUMNS = (
    *("loss", "val_loss", "learning_rate", "grad_norm"),
    *("seconds", "tokens_per_second", "memory"),
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All arguments of the command."""

    # fmt: off
    run: str = setting(REQUIRED, Text("RUN", path=True),
        "A run; for --gguf also a checkpoint directory or a model's name.", positional=True)
    gguf: str | None = setting(None, Text("FILE", path=True),
        "Write model and vocabulary for llama.cpp and Ollama, in float32.", none="not written")
    csv: str | None = setting(None, Text("FILE", path=True),
        "Write loss, val loss, learning rate and speed, a line for each iteration.",
        none="not written")
    tensorboard: str | None = setting(None, Text("DIR", path=True),
        "Write the metrics and samples as an event file for TensorBoard, in a new directory.",
        none="not written")
    push: str | None = setting(None, Text("OWNER/NAME"),
        "Upload the best model to this repository of the Hugging Face Hub, with a model card from "
        "the log. A new repository is private.", none="not uploaded")
    public: bool = setting(False, Switch(),
        "With --push: make a new repository public instead of private.")
    # fmt: on


def main(words: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(Arguments, "shakegpt export", words, ABOUT)
    written = (arguments.gguf, arguments.csv, arguments.tensorboard)
    files = [Path(name) for name in written if name is not None]
    if not files and arguments.push is None:
        raise ShakegptError(
            "shakegpt export needs --gguf FILE, --csv FILE, --tensorboard DIR or --push OWNER/NAME"
        )
    for path in files:
        if path.exists():
            raise ShakegptError(f"{path} exists already: give another name, or delete it")
        if not path.absolute().parent.is_dir():
            raise ShakegptError(f"cannot write {path}: its directory does not exist")
    run = Path(arguments.run)
    if arguments.push is not None:
        from shakegpt.checkpoint.publish import push, require_repository

        require_repository(arguments.push)
    with resource_errors():
        if arguments.csv is not None:
            _write_metrics(run, Path(arguments.csv))
        if arguments.tensorboard is not None:
            _write_events(run, Path(arguments.tensorboard))
        if arguments.gguf is not None:
            _write_model(arguments.run, Path(arguments.gguf))
    if arguments.push is not None:
        print(f"the model is at {push(run, arguments.push, public=arguments.public)}")
    return 0


def _rows(past: history.History) -> Iterator[tuple[int, dict[str, float | None]]]:
    """Each iteration with its metrics by `COLUMNS`; None for those not measured."""
    for iteration in sorted(past.steps.keys() | past.evals.keys()):
        step, evaluated = past.steps.get(iteration), past.evals.get(iteration)
        values: dict[str, float | None] = {name: getattr(step, name, None) for name in COLUMNS}
        yield iteration, values | {"val_loss": getattr(evaluated, "val_loss", None)}


def _write_metrics(run: Path, path: Path) -> None:
    past, text = history.load_started(run), io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("iteration", *COLUMNS))
    for iteration, values in _rows(past):
        rows.writerow((iteration, *("" if v is None else v for v in values.values())))
    with writing(path.absolute().parent, len(text.getvalue())):
        write_atomically(path, text.getvalue().encode())
    print(f"the metrics are in {path}")


def _write_events(run: Path, folder: Path) -> None:
    try:
        tensorboard: Any = importlib.import_module("tensorboardX")
    except ImportError:
        raise ShakegptError(
            "event files need the package tensorboardX: pip install 'shakegpt[export]'", exit_code=1
        ) from None
    past = history.load_started(run)
    part = folder.with_name(f".{folder.name}{PART}")
    shutil.rmtree(part, ignore_errors=True)
    with writing(folder.absolute().parent, 1 << 20):
        try:
            with tensorboard.SummaryWriter(str(part)) as writer:
                for iteration, values in _rows(past):
                    record = past.steps.get(iteration) or past.evals[iteration]
                    for name, value in values.items():
                        if value is not None:
                            writer.add_scalar(name, value, iteration, walltime=record.time)
                for sample in past.samples:
                    text = "    " + printable(sample.start.prompt + sample.text).replace(
                        "\n", "\n    "
                    )
                    start = sample.start
                    writer.add_text("sample", text, start.iteration, walltime=start.time)
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    print(f"the events are in {folder}; show them with:")
    print(f"  tensorboard --logdir {folder}")


def _write_model(name: str, path: Path) -> None:
    with heavy_imports():
        from shakegpt.checkpoint.gguf_file import write_gguf

    source, tokenizer = open_vocabulary(name)
    model = load_model(source, "cpu")
    if model.config.activation_function == "gelu":
        note("GELU is exact here and of the tanh form in llama.cpp: logits differ by about 0.001")
    written = write_gguf(path, source.name, model, tokenizer)
    print(f"the model is in {path}, {size(written)}; run it with:")
    print(f"  llama-cli -m {path} -p ROMEO: -no-cnv")
