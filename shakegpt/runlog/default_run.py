"""The default run of a command: the newest finished one, else the recorded one that ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.runs import RUNS, find_runs
from shakegpt.runlog.status import RunState


def recorded() -> Path:
    """The recorded run that ships with the figures."""
    spec = find_spec("shakegpt_figures")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).with_name("recorded")


def named(name: str) -> Path:
    """The run directory of a directory or log file. Raises ShakegptError for one without a log."""
    path = Path(name)
    path = path.parent if path.name == LOG_NAME else path
    if not (path / LOG_NAME).is_file():
        raise ShakegptError(f"{path} holds no run log ({LOG_NAME}); `shakegpt runs` lists the runs")
    return path


def newest(live: bool = False, base: Path = RUNS) -> Path:
    """The newest finished run in `base`, or with `live` rather the newest that is training; the
    recorded run when there is neither.
    """
    readable = [run for run in find_runs(base) if not run.problem]
    training = [run for run in readable if live and run.state.at_work]
    runs = training or [run for run in readable if run.state is RunState.FINISHED]
    return runs[0].path if runs else recorded()
