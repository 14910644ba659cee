"""Start or resume a run, train it, and write its end to the log.

The command line calls `finetune(config)` and `resume(run)`; a program or notebook may, too. Then
signal handlers, allocator, file descriptors and random number generators of the process do not
change.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.provenance import origin
from shakegpt.config import FinetuneConfig
from shakegpt.data.sources import is_pipe, resolve
from shakegpt.distributed import env, rendezvous
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.files import PART, scratch_folder, write_atomically
from shakegpt.finetune import Finetuning
from shakegpt.format import counted
from shakegpt.hardware import memory
from shakegpt.hardware.device import choose
from shakegpt.hardware.resource_errors import explain, resource_errors
from shakegpt.model import GPT
from shakegpt.out_of_core.loop import OutOfCore
from shakegpt.runlog import history, schema
from shakegpt.runlog.control import Inbox
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.runs import new_run_dir, require_unused
from shakegpt.train import resume_checks, state
from shakegpt.train.group_supervisor import GroupSupervisor
from shakegpt.train.header import resume_record, run_record
from shakegpt.train.setup import TrainingSetup, initial_model, prepare, saved_model
from shakegpt.train.supervisor import Log, NullLog, Supervisor

STDIN_COPY, VAL_COPY = "text.txt", "val.txt"
"""Files of the run directory for texts from pipes, from which a resume reads them."""


class Tee:
    """Passes each record to several logs, in their order."""

    def __init__(self, *logs: Log | None) -> None:
        self._logs = [log for log in logs if log is not None]

    def write(self, event: schema.Event) -> None:
        """Pass one record on."""
        for log in self._logs:
            log.write(event)


def finetune(config: FinetuneConfig, log: Log | None = None, *, own_process: bool = False) -> Path:
    """Train a new run with `config`; returns its directory. `log` also receives each record.

    With `own_process`, as on the command line, signals stop the run and the allocator of the
    process is tuned. Under torchrun, all processes train one run; a job that was restarted resumes
    it.

    Raises ShakegptError for an invalid configuration, before anything is written, and for training
    that failed; Stopped when a command or signal stopped it, with its state saved.
    """
    with (
        rendezvous.join() as team,
        scratch_folder(own_process and team.size == 1) as scratch,
        resource_errors(),
    ):
        earlier = team.earlier_attempt(config.out_dir)
        if earlier is not None:
            if team.run_on_all(lambda: env.finished(earlier)):
                return earlier
            return _resume(earlier, None, log, own_process, team, config.shard, {})

        def begin() -> tuple[TrainingSetup, GPT]:
            team.share(config)  # raises if the work cannot be divided
            setup = prepare(config, scratch, own_process=own_process)
            return setup, initial_model(setup)

        setup, model = team.run_on_all(begin)
        run = Path(team.run_on_rank0(lambda: str(_create_run_dir(setup))))
        with resource_errors(run), closing(team.run_on_all(lambda: _run_log(run, team))) as own:
            inbox, records = Inbox(run), Tee(own, log) if team.first else own
            setup = team.run_on_all(lambda: _write_header(setup, run, records, team))
            supervisor = _supervisor(records, inbox, own_process, team, setup.config)
            _train(setup, run, records, supervisor, model, team)
    return run


def resume(
    run: Path,
    max_iters: int | None = None,
    log: Log | None = None,
    *,
    own_process: bool = False,
    shard: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Continue a run from its last intact state, to `max_iters` if given. Otherwise as `finetune`.

    `changes` are new settings by field of `FinetuneConfig`. The number of processes may differ from
    before; with `shard`, the model is sharded over them. Raises ShakegptError, before anything is
    written, when text or model are not those of the run, and for changes of settings that are fixed
    (`resumption.IDENTITY`).
    """
    with rendezvous.join() as team:
        return _resume(run, max_iters, log, own_process, team, shard, changes or {})


def _resume(
    run: Path,
    max_iters: int | None,
    log: Log | None,
    own_process: bool,
    team: Team,
    shard: bool,
    changes: Mapping[str, Any],
) -> Path:
    with resource_errors(run), scratch_folder(own_process and team.size == 1) as scratch:
        new = {**changes, "shard": shard}
        config = team.run_on_all(lambda: resume_checks.configure(run, max_iters, new))

        def begin() -> TrainingSetup:
            try:
                choose(config.device, config.dtype)
            except ShakegptError as error:
                raise ShakegptError(
                    f"{error}: shakegpt finetune --resume {shlex.quote(str(run))} --device cpu"
                ) from None
            resume_checks.require_texts(config, run)
            setup = prepare(config, scratch, run, own_process=own_process)
            header = history.load(run)[0].run
            assert header is not None
            resume_checks.require_same(setup, header)
            state.working_folder(run)  # of a process that was killed: deleted
            memory.require_disk(run, setup.shape, config, setup.place.memory, resuming=True)
            return setup

        def log_resume() -> TrainingSetup:
            """Write the first record, once the model is loaded; clear up what a kill left."""
            if not team.first:
                return setup
            resumed = replace(setup, config=_with_copies_of_pipes(setup, run))
            iteration = int(saved.name) if saved is not None else 0
            records.write(resume_record(resumed, iteration, team))
            state.set_aside(run / "state", saved, resumed.config.keep)
            for leftover in (run / "model").glob(f".*{PART}"):  # of a save that was killed
                leftover.unlink()
            for problem in problems:
                records.write(schema.RunWarning(iteration=iteration, message=problem))
            return resumed

        with closing(team.run_on_all(lambda: _run_log(run, team))) as own:
            setup = team.run_on_all(begin)
            inbox, records = Inbox(run), Tee(own, log) if team.first else own
            name, problems = team.run_on_rank0(lambda: _newest_state(run))
            saved = run / "state" / name if name else None
            model = team.run_on_all(
                lambda: initial_model(setup) if saved is None else saved_model(setup, saved)
            )
            setup = team.run_on_all(log_resume)
            past = team.run_on_all(lambda: history.load(run)[0])
            supervisor = _supervisor(records, inbox, own_process, team, setup.config)
            _train(setup, run, records, supervisor, model, team, past, saved)
    return run


def _newest_state(run: Path) -> tuple[str, list[str]]:
    """The name of the newest intact state, "" without any, and a message for each newer one."""
    saved, problems = state.newest_intact(run / "state")
    return saved.name if saved is not None else "", problems


def _run_log(run: Path, team: Team) -> RunLog | NullLog:
    return RunLog(run / LOG_NAME) if team.first else NullLog()


def _supervisor(
    log: Log, inbox: Inbox, signals: bool, team: Team, config: FinetuneConfig
) -> Supervisor:
    if team.size == 1:
        return Supervisor(log, inbox, signals=signals, save_signal=config.save_signal)
    return GroupSupervisor(log, inbox, team, signals=signals, save_signal=config.save_signal)


def _create_run_dir(setup: TrainingSetup) -> Path:
    """Create the run directory, which must not contain a run yet, and check its disk space."""
    out_dir = setup.config.out_dir
    run = Path(out_dir) if out_dir is not None else new_run_dir(setup.name.split("/")[-1])
    require_unused(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShakegptError(f"cannot create --out-dir {run}: {error.strerror}") from error
    memory.require_disk(run, setup.shape, setup.config, setup.place.memory)
    return run


def _write_header(setup: TrainingSetup, run: Path, log: Log, team: Team) -> TrainingSetup:
    """Write model/ without weights, texts from pipes, and the first record."""
    if not team.first:
        return setup
    checkpoint.describe(run / "model", setup.shape, setup.tokenizer)
    config = _with_copies_of_pipes(setup, run)
    setup = replace(setup, config=config)
    started = origin(config.init_from, setup.tokenizer)
    log.write(run_record(run, setup, team, started))
    for message in (*started.warnings, *setup.dataset.warnings):
        log.write(schema.RunWarning(iteration=0, message=message))
    return setup


def _with_copies_of_pipes(setup: TrainingSetup, run: Path) -> FinetuneConfig:
    """The configuration, with texts from pipes replaced by copies in the run directory."""
    config, val_text = setup.config, setup.dataset.val_text
    if any(map(is_pipe, resolve(config.dataset))):
        copy = (run / STDIN_COPY).absolute()
        write_atomically(copy, setup.dataset.text.content.encode())
        config = replace(config, dataset=(str(copy),))
    if val_text is not None and any(map(is_pipe, resolve(config.val_dataset or ()))):
        copy = (run / VAL_COPY).absolute()
        write_atomically(copy, val_text.content.encode())
        config = replace(config, val_dataset=(str(copy),))
    return config


Close = Callable[[schema.Status, str], None]


def _train(
    setup: TrainingSetup,
    run: Path,
    log: Log,
    supervisor: Supervisor,
    model: GPT,
    team: Team,
    past: History | None = None,
    saved: Path | None = None,
) -> None:
    """Train to the end, and always write the log's end record."""
    started, training = time.monotonic(), None

    def close(status: schema.Status, reason: str) -> None:
        supervisor.write_end(
            schema.End(
                status=status,
                reason=reason,
                iteration=supervisor.iteration,
                best_val_loss=None if training is None else training.best,
                wall_seconds=time.monotonic() - started,
            )
        )

    gpus = [torch.cuda.current_device()] if setup.place.device == "cuda" else []
    with supervisor, torch.random.fork_rng(gpus):  # the generators of a program do not change
        supervisor.on_abandon = lambda stopped: close("stopped", stopped.reason)
        try:
            trainer = OutOfCore if setup.place.memory == "lowest" else Finetuning
            training = trainer(setup, model, run, log, supervisor, team)
            if past is not None:
                training.continue_from(past, saved)
            training.train()
            training.close()  # before the log says that nothing is left to do
            early = f"; {training.ended_by} ended the run" if training.ended_by else ""
            close("finished", f"{counted(training.iteration, 'iteration')} done{early}")
        except Stopped as stopped:
            _close_stopped(supervisor, close, stopped)
            raise
        except BaseException as error:
            if isinstance(supervisor, GroupSupervisor) and rendezvous.is_peer_lost(error):
                error = supervisor.peer_lost_error(run)
                if training is not None and not team.sharded:
                    training.save_state()
            error = explain(error, run)
            _close_failed(close, error)
            raise error
        finally:
            if training is not None:
                training.close()


def _close_stopped(supervisor: Supervisor, close: Close, stopped: Stopped) -> None:
    """Write the end record of a stopped run once its state is saved, or failed to be."""
    try:
        supervisor.finish_saving()
    except Exception as error:
        _close_failed(close, error)
        raise
    close("stopped", stopped.reason)


def _close_failed(close: Close, error: BaseException) -> None:
    with suppress(OSError):  # when the log itself cannot grow
        close("failed", str(error) or type(error).__name__)
