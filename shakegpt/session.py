"""Open a run, new or resumed, train it, and close its log with the truth.

`finetune(config)` and `resume(run)` are what the command line calls, and a program or notebook may.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.provenance import origin
from shakegpt.config import FinetuneConfig
from shakegpt.data.sources import is_pipe, resolve
from shakegpt.distributed import env, group
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.files import write_atomically
from shakegpt.finetune import Finetuning
from shakegpt.hardware import memory
from shakegpt.model import GPT
from shakegpt.resource_errors import sentences
from shakegpt.runlog import history, schema
from shakegpt.runlog.control import Inbox
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.runs import new_run_dir, require_unused
from shakegpt.train import state
from shakegpt.train.compilation import renewed
from shakegpt.train.group_supervisor import LockstepDriver
from shakegpt.train.header import resume_record, run_record
from shakegpt.train.setup import Parts, initial_model, prepare, saved_model
from shakegpt.train.supervisor import Driver, Log

STDIN_COPY, VAL_COPY = "text.txt", "val.txt"
"""In the run directory: texts that came by a pipe, which nobody could give a second time."""


class Silent:
    """The log of a process that trains with others: the first one writes for all."""

    def write(self, event: schema.Event) -> None:
        """Take a record and leave it."""

    def close(self) -> None:
        """Nothing was opened."""


class Tee:
    """Passes each record to the run log first, then to whoever shows it."""

    def __init__(self, *logs: Log | None) -> None:
        self._logs = [log for log in logs if log is not None]

    def write(self, event: schema.Event) -> None:
        """Pass one record on."""
        for log in self._logs:
            log.write(event)


def finetune(config: FinetuneConfig, log: Log | None = None, *, signals: bool = False) -> Path:
    """Train as `config` says; `log` sees each record too. Returns the run directory.

    Raises ShakegptError for input that cannot work (nothing is written then) and for training that
    failed; Stopped when a command, or with `signals` a signal, ended it early, its state saved.
    Under torchrun, all processes train this one run; a job that was restarted goes on with it.
    """
    with sentences(), group.join() as team, tempfile.TemporaryDirectory() as scratch:
        if (begun := team.begun(config.out_dir)) is not None:
            done = team.each(lambda: env.finished(begun))
            return begun if done else _go_on(begun, None, log, signals, team, config.shard)
        parts, model = team.each(lambda: _begin(config, Path(scratch), team))
        run = Path(team.lead(lambda: str(_claim(parts))))
        with closing(team.each(lambda: _own_log(run, team))) as own:
            inbox, log = Inbox(run), Tee(own, log) if team.first else own
            parts = team.each(lambda: _write_header(parts, run, log, team))
            _train(parts, run, log, _driver(log, inbox, signals, team), model, team)
    return run


def _begin(config: FinetuneConfig, scratch: Path, team: Team) -> tuple[Parts, GPT]:
    team.share(config)  # refuses what cannot be shared
    parts = prepare(config, scratch)
    return parts, initial_model(parts)


def _own_log(run: Path, team: Team) -> RunLog | Silent:
    return RunLog(run / LOG_NAME) if team.first else Silent()


def _write_header(parts: Parts, run: Path, log: Log, team: Team) -> Parts:
    """What a run begins with on disk: all of a checkpoint but weights, and the first record."""
    if not team.first:
        return parts
    checkpoint.describe(run / "model", parts.shape, parts.tokenizer)
    parts = _copy_pipes(parts, run)
    started = origin(parts.config.init_from, parts.tokenizer)
    log.write(run_record(run, parts, team, started))
    for message in started.warnings:
        log.write(schema.Warning(iteration=0, message=message))
    return parts


def resume(
    run: Path,
    max_iters: int | None = None,
    log: Log | None = None,
    *,
    signals: bool = False,
    shard: bool = False,
) -> Path:
    """Go on with a run from its last whole state, to `max_iters` if given. As `finetune` else.

    Raises ShakegptError when the text or the model is not what the run began with. The number of
    processes may be another one than before; with `shard`, each keeps its share of the model.
    """
    with sentences(), group.join() as team:
        return _go_on(run, max_iters, log, signals, team, shard)


def _go_on(
    run: Path, max_iters: int | None, log: Log | None, signals: bool, team: Team, shard: bool
) -> Path:
    config = team.each(lambda: replace(_config_of(run, max_iters), shard=shard))
    with (
        closing(team.each(lambda: _own_log(run, team))) as own,
        tempfile.TemporaryDirectory() as scratch,
    ):
        parts = team.each(lambda: _same_parts(config, Path(scratch), run))
        inbox, log = Inbox(run), Tee(own, log) if team.first else own
        state_name = team.lead(lambda: _take_up(parts, run, log, team))
        found = None if state_name is None else run / "state" / state_name
        model, past = team.each(lambda: _as_it_was(parts, run, found))
        driver = _driver(log, inbox, signals, team)
        _train(parts, run, log, driver, model, team, past, found)
    return run


def _same_parts(config: FinetuneConfig, scratch: Path, run: Path) -> Parts:
    began = history.load(run)[0].run
    parts = prepare(config, scratch, run)
    assert began is not None
    _require_same(parts, began)
    moving = memory.learned(parts.shape, config)
    memory.require_room(run, parts.shape.n_params, moving, parts.place.memory, begun=True)
    return parts


def _take_up(parts: Parts, run: Path, log: Log, team: Team) -> str | None:
    """Find the newest whole state, write that the run goes on from there, return its name."""
    found, complaints = state.newest_whole(run / "state")
    iteration = int(found.name) if found is not None else 0
    log.write(resume_record(parts, iteration, team))
    state.set_aside(run / "state", found)
    for complaint in complaints:
        log.write(schema.Warning(iteration=iteration, message=complaint))
    return None if found is None else found.name


def _as_it_was(parts: Parts, run: Path, found: Path | None) -> tuple[GPT, History]:
    """The weights to go on with; the log as readers see it, without what the resume made void."""
    model = initial_model(parts) if found is None else saved_model(parts, found)
    return model, history.load(run)[0]


def _claim(parts: Parts) -> Path:
    """Make the run directory, which must not hold a run yet, on a disk with room for it."""
    asked = parts.config.out_dir
    run = Path(asked) if asked is not None else new_run_dir(parts.name.split("/")[-1])
    require_unused(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShakegptError(f"--out-dir {run} cannot be made: {error.strerror}") from error
    moving = memory.learned(parts.shape, parts.config)
    memory.require_room(run, parts.shape.n_params, moving, parts.place.memory)
    return run


def _copy_pipes(parts: Parts, run: Path) -> Parts:
    """Copy texts from pipes into the run, and name the copies: a resume reads them again."""
    config, texts = parts.config, parts.dataset
    if any(map(is_pipe, resolve(config.dataset))):
        copy = (run / STDIN_COPY).absolute()
        write_atomically(copy, texts.text.content.encode())
        config = replace(config, dataset=(str(copy),))
    if texts.val_text is not None and any(map(is_pipe, resolve(config.val_dataset or ()))):
        copy = (run / VAL_COPY).absolute()
        write_atomically(copy, texts.val_text.content.encode())
        config = replace(config, val_dataset=(str(copy),))
    return replace(parts, config=config)


def _config_of(run: Path, max_iters: int | None) -> FinetuneConfig:
    """The configuration that a run goes on with."""
    past = history.begun(run)
    assert past.run is not None
    latest = past.resumes[-1].config if past.resumes else past.run.config
    try:
        config = msgspec.convert(renewed(latest), FinetuneConfig)
    except msgspec.ValidationError as error:
        raise ShakegptError(
            f"the configuration in the log cannot be gone on with: {error}"
        ) from error
    if past.run.compiled is not None:  # a run goes on as it began, to the bit
        config = replace(config, compile="on" if past.run.compiled else "off")
    limit = max_iters if max_iters is not None else past.max_iters
    if past.end is not None and past.end.status == "finished" and limit <= past.iteration:
        raise ShakegptError(
            f"the run is finished at iteration {past.iteration}: give --max-iters above that to "
            "go on"
        )
    return replace(config, max_iters=limit)


def _require_same(parts: Parts, began: schema.Run) -> None:
    if parts.dataset.text.sha256 != began.dataset.sha256:
        raise ShakegptError(
            f"the text {began.dataset.name} is not what the run began with (sha256 "
            f"{began.dataset.sha256[:12]}, now {parts.dataset.text.sha256[:12]}): put it back, or "
            "start a new run from this one with --init-from"
        )
    val_text = parts.dataset.val_text
    if (val_text.sha256 if val_text else None) != began.dataset.val_sha256:
        raise ShakegptError(
            f"the text for validation, {began.dataset.val_name}, is not what the run began with: "
            "put it back, or start a new run from this one with --init-from"
        )
    shape, model = parts.shape, began.model
    if (shape.n_layer, shape.n_embd, shape.n_head) != (model.n_layer, model.n_embd, model.n_head):
        raise ShakegptError(f"{parts.name} is not the model the run began with ({model.name})")


def _train(
    parts: Parts,
    run: Path,
    log: Log,
    driver: Driver,
    model: GPT,
    team: Team,
    past: History | None = None,
    found: Path | None = None,
) -> None:
    """Train to the end, and close the log with how it ended, whatever happens."""
    began, job = time.monotonic(), cast("Finetuning | None", None)
    with driver:

        def close(status: schema.Status, reason: str) -> None:
            driver.last_word(
                schema.End(
                    status=status,
                    reason=reason,
                    iteration=0 if job is None else job.iteration,
                    best_val_loss=None if job is None else job.best,
                    wall_seconds=time.monotonic() - began,
                )
            )

        driver.abandon = lambda stopped: close("stopped", stopped.reason)
        try:
            data = (parts.tokenizer, parts.dataset, parts.place)
            job = Finetuning(parts.config, model, *data, run, log, driver, team)
            if past is not None:
                job.continue_from(past, found)
            job.train()
            close("finished", f"{job.iteration} iterations done")
        except Stopped as stopped:
            _close_stopped(driver, close, stopped)
            raise
        except BaseException as error:
            error = _of_the_team(error, driver, job, run)
            _close_failed(close, error)
            raise error


def _driver(log: Log, inbox: Inbox, signals: bool, team: Team) -> Driver:
    if team.size == 1:
        return Driver(log, inbox, signals=signals)
    return LockstepDriver(log, inbox, team, signals=signals)


def _of_the_team(
    error: BaseException, driver: Driver, job: Finetuning | None, run: Path
) -> BaseException:
    """A sentence for the loss of another process, with the state saved; any other error itself."""
    if not isinstance(driver, LockstepDriver) or not group.lost(error):
        return error
    sentence = driver.bereaved(run)
    if job is not None and not job.team.in_shares:
        job.save_state()
    return sentence


Close = Callable[[schema.Status, str], None]


def _close_stopped(driver: Driver, close: Close, stopped: Stopped) -> None:
    """Write the end of a stopped run, whose state is saved; a failed one if it cannot be."""
    try:
        driver.finish_saving()
    except Exception as error:
        _close_failed(close, error)
        raise
    close("stopped", stopped.reason)


def _close_failed(close: Close, error: BaseException) -> None:
    with suppress(OSError):  # when the log itself cannot grow
        close("failed", str(error) or type(error).__name__)
