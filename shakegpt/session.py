"""Open a run, new or resumed, train it, and close its log with the truth.

`finetune(config)` and `resume(run)` are what the command line calls, and a program or notebook may.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from shakegpt import __version__, checkpoint, events, history, plan, state
from shakegpt.config import FinetuneConfig
from shakegpt.dataset import Dataset
from shakegpt.device import Place, choose, speed
from shakegpt.driver import Driver, Log, Stopped
from shakegpt.errors import ShakegptError
from shakegpt.finetune import Finetuning
from shakegpt.history import History
from shakegpt.model import GPT, GPTConfig
from shakegpt.runlog import LOG_NAME, RunLog
from shakegpt.runs import new_run_dir
from shakegpt.texts import Text, load_text
from shakegpt.tokenizer import Tokenizer, write_char_vocabulary

EFFICIENCY = 0.7
"""Share of a plain matrix product's speed that training reaches; measured 0.6 to 0.85 on CPUs."""
SCRATCH_BLOCK_SIZE = 256
"""Window of a model from scratch unless --block-size says otherwise."""


class Tee:
    """Passes each record to the run log first, then to whoever shows it."""

    def __init__(self, *logs: Log | None) -> None:
        self._logs = [log for log in logs if log is not None]

    def write(self, event: events.Event) -> None:
        """Pass one record on."""
        for log in self._logs:
            log.write(event)


@dataclass(frozen=True)
class Parts:
    """All that training needs besides the weights, checked, before anything is written."""

    config: FinetuneConfig
    name: str
    folder: Path | None
    """Checkpoint to start from; None from scratch."""
    shape: GPTConfig
    tokenizer: Tokenizer
    dataset: Dataset
    place: Place


def finetune(config: FinetuneConfig, log: Log | None = None, *, signals: bool = False) -> Path:
    """Train as `config` says; `log` sees each record too. Returns the run directory.

    Raises ShakegptError for input that cannot work (nothing is written then) and for training that
    failed; Stopped when a command, or with `signals` a signal, ended it early, its state saved.
    """
    with tempfile.TemporaryDirectory() as scratch:
        parts = prepare(config, Path(scratch))
        run = _claim(parts)
        with RunLog(run / LOG_NAME) as own:
            checkpoint.describe(run / "model", parts.shape, parts.tokenizer)
            log = Tee(own, log)
            log.write(_header(run, parts))
            _train(parts, run, log, signals, _initial_model(parts))
    return run


def resume(
    run: Path,
    max_iters: int | None = None,
    log: Log | None = None,
    *,
    signals: bool = False,
) -> Path:
    """Go on with a run from its last whole state, to `max_iters` if given. As `finetune` else.

    Raises ShakegptError when the text or the model is not what the run began with.
    """
    past, _ = history.load(run)
    if past.run is None:
        raise ShakegptError(f"{run} is no run: it has no {LOG_NAME} with a header")
    config = _config_of(past, max_iters)
    with RunLog(run / LOG_NAME) as own, tempfile.TemporaryDirectory() as scratch:
        parts = prepare(config, Path(scratch), run)
        _require_same(parts, past.run)
        found, complaints = state.newest_whole(run / "state")
        iteration = int(found.name) if found is not None else 0
        log = Tee(own, log)
        log.write(_resume_record(parts, iteration))
        for complaint in complaints:
            log.write(events.Warning(iteration=iteration, message=complaint))
        model = _initial_model(parts) if found is None else _saved_model(parts, found)
        past = history.load(run)[0]  # as readers see it now, without what the resume made void
        _train(parts, run, log, signals, model, past, found)
    return run


def prepare(config: FinetuneConfig, scratch: Path, run: Path | None = None) -> Parts:
    """Find and check model, vocabulary, text and device; a resumed run brings its own vocabulary.

    Raises ShakegptError for what cannot work; writes nothing but to `scratch`.
    """
    place = choose(config.device, config.dtype)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    _require_compiler(config, place)
    if config.init_from == "scratch":
        text = load_text(config.dataset)
        tokenizer = _vocabulary(config.tokenizer, text, scratch)
        shape, name, folder = _scratch_shape(config, tokenizer), "scratch", None
    else:
        name, folder = _source(config, run)
        shape = checkpoint.read_config(folder)
        tokenizer, text = Tokenizer(folder), load_text(config.dataset)
    if tokenizer.n_vocab > shape.vocab_size:
        raise ShakegptError(f"{name}: vocab.json has more tokens than the model's embedding")
    block_size = config.block_size or shape.block_size
    if block_size > shape.block_size:
        raise ShakegptError(
            f"--block-size {block_size} is over the {shape.block_size} that {name} was made for"
        )
    dataset = Dataset(text, tokenizer, block_size, config.seed)
    return Parts(config, name, folder, shape, tokenizer, dataset, place)


def _require_compiler(config: FinetuneConfig, place: Place) -> None:
    compilers = (os.environ.get("CXX", "c++"), "g++", "clang++")
    if config.compile and place.device == "cpu" and not any(map(shutil.which, compilers)):
        raise ShakegptError("--compile needs a C++ compiler on a CPU: install g++, or leave it out")


def _source(config: FinetuneConfig, run: Path | None) -> tuple[str, Path]:
    """Where the model's shape and vocabulary are: with the run once it has begun."""
    if run is not None and (run / "model" / "config.json").exists():
        return config.init_from, run / "model"
    source = checkpoint.find(config.init_from)
    return source.name, source.folder


def _vocabulary(name: str, text: Text, scratch: Path) -> Tokenizer:
    if name == "char":
        write_char_vocabulary(text.content, scratch)
        return Tokenizer(scratch)
    return Tokenizer(checkpoint.find(name).folder)


def _scratch_shape(config: FinetuneConfig, tokenizer: Tokenizer) -> GPTConfig:
    if config.n_embd % config.n_head:
        raise ShakegptError(
            f"--n-embd {config.n_embd} is no multiple of --n-head {config.n_head}: heads are equal"
        )
    return GPTConfig(
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
        block_size=config.block_size or SCRATCH_BLOCK_SIZE,
        vocab_size=tokenizer.n_vocab,
    )


def _initial_model(parts: Parts) -> GPT:
    """The weights of iteration 0."""
    if parts.folder is not None and parts.config.init_from != "scratch":
        source = checkpoint.find(parts.config.init_from)
        return checkpoint.load(source.folder, parts.config.dropout)
    with torch.device("meta"):
        model = GPT(replace(parts.shape, dropout=parts.config.dropout))
    model.to_empty(device="cpu")
    model.initialize(torch.Generator().manual_seed(parts.config.seed))
    return model


def _saved_model(parts: Parts, found: Path) -> GPT:
    with torch.device("meta"):
        model = GPT(replace(parts.shape, dropout=parts.config.dropout))
    state.assign_weights(found, model)
    return model


def _claim(parts: Parts) -> Path:
    """Make the run directory, which must not hold a run yet, on a disk with room for it."""
    asked = parts.config.out_dir
    run = Path(asked) if asked is not None else new_run_dir(parts.name.split("/")[-1])
    if (run / LOG_NAME).exists():
        raise ShakegptError(
            f"--out-dir {run} holds a run already: go on with `shakegpt finetune --resume {run}`, "
            "or choose another directory"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShakegptError(f"--out-dir {run} cannot be made: {error.strerror}") from error
    plan.require_room(run, parts.shape.n_params)
    return run


def _config_of(past: History, max_iters: int | None) -> FinetuneConfig:
    """The configuration that a run goes on with."""
    assert past.run is not None
    latest = past.resumes[-1].config if past.resumes else past.run.config
    config = msgspec.convert(latest, FinetuneConfig)
    limit = max_iters if max_iters is not None else max(past.max_iters, config.max_iters)
    if past.end is not None and past.end.status == "finished" and limit <= past.iteration:
        raise ShakegptError(
            f"the run is finished at iteration {past.iteration}: give --max-iters above that to "
            "go on"
        )
    return replace(config, max_iters=limit)


def _require_same(parts: Parts, began: events.Run) -> None:
    if parts.dataset.text.sha256 != began.dataset.sha256:
        raise ShakegptError(
            f"the text {began.dataset.name} is not what the run began with (sha256 "
            f"{began.dataset.sha256[:12]}, now {parts.dataset.text.sha256[:12]}): put it back, or "
            "start a new run from this one with --init-from"
        )
    shape, model = parts.shape, began.model
    if (shape.n_layer, shape.n_embd, shape.n_head) != (model.n_layer, model.n_embd, model.n_head):
        raise ShakegptError(f"{parts.name} is not the model the run began with ({model.name})")


def _train(
    parts: Parts,
    run: Path,
    log: Log,
    signals: bool,
    model: GPT,
    past: History | None = None,
    found: Path | None = None,
) -> None:
    """Train to the end, and close the log with how it ended, whatever happens."""
    began = time.monotonic()
    with Driver(log, run, signals=signals) as driver:
        job = Finetuning(
            parts.config, model, parts.tokenizer, parts.dataset, parts.place, run, log, driver
        )
        if past is not None:
            job.continue_from(past, found)

        def close(status: events.Status, reason: str) -> None:
            log.write(
                events.End(
                    status=status,
                    reason=reason,
                    iteration=job.iteration,
                    best_val_loss=job.best,
                    wall_seconds=time.monotonic() - began,
                )
            )

        driver.abandon = lambda stopped: close("stopped", stopped.reason)
        try:
            job.train()
        except Stopped as stopped:
            driver.finish_saving()
            close("stopped", stopped.reason)
            raise
        except BaseException as error:
            close("failed", str(error) or type(error).__name__)
            raise _explained(error) from error
        close("finished", f"{job.iteration} iterations done")


def _explained(error: BaseException) -> BaseException:
    """A sentence for what a person can mend; the error itself for what only we can."""
    if isinstance(error, MemoryError) or (
        "memory" in str(error) and isinstance(error, RuntimeError)
    ):
        return ShakegptError(
            "memory ran out: lower --batch-size or --block-size, or take a smaller --init-from; "
            "the last saved state is whole",
            exit_code=1,
        )
    if isinstance(error, OSError):
        return ShakegptError(
            f"the disk refused ({error}): make room, then go on with --resume", exit_code=1
        )
    return error


def _header(run: Path, parts: Parts) -> events.Run:
    config, shape, place = parts.config, parts.shape, parts.place
    dataset = parts.dataset.record(config.eval_tokens)
    return events.Run(
        run_id=run.name,
        config=asdict(config),
        model=events.Model(
            name=parts.name,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            n_embd=shape.n_embd,
            block_size=shape.block_size,
            vocab_size=shape.vocab_size,
            n_params=shape.n_params,
        ),
        dataset=dataset,
        memory=estimate(parts),
        seconds=plan.flops(
            shape.n_layer,
            shape.n_embd,
            shape.n_params,
            parts.dataset.block_size,
            dataset.eval_tokens,
            config,
        )
        / (EFFICIENCY * speed(place)),
        seed=config.seed,
        **_circumstances(place),
    )


def estimate(parts: Parts) -> events.Memory:
    """What the run needs in memory, by `plan.estimate`."""
    s = parts.shape
    return plan.estimate(s.n_layer, s.n_head, s.n_embd, s.vocab_size, s.block_size, parts.config)


def _resume_record(parts: Parts, iteration: int) -> events.Resume:
    return events.Resume(
        iteration=iteration, config=asdict(parts.config), **_circumstances(parts.place)
    )


def _circumstances(place: Place) -> dict[str, Any]:
    """Where, with what and by whom this process trains."""
    packages = ("torch", "transformers", "tiktoken", "safetensors")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "device": place.device,
        "device_reason": place.device_reason,
        "dtype": place.dtype,
        "dtype_reason": place.dtype_reason,
        "versions": {"shakegpt": __version__, "python": platform.python_version(), **versions},
        "git": _git(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "threads": torch.get_num_threads(),
    }


def _git() -> events.Git | None:
    """Commit of the checkout that this code runs from; None when it was installed."""
    where = Path(__file__).parent
    try:
        commit = _git_says(where, "rev-parse", "HEAD")
        dirty = bool(_git_says(where, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return events.Git(commit=commit, dirty=dirty)


def _git_says(where: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *words], capture_output=True, text=True, check=True, timeout=5
    )
    return done.stdout.strip()
