"""Which run is read when a person names none: the newest that serves, else the one that ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.runs import RUNS, RunSummary, find_runs


def recorded() -> Path:
    """A recorded run that ships beside the figures: all works before anyone has trained."""
    spec = find_spec("shakegpt_figures")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).with_name("recorded")


def named(name: str) -> Path:
    """The run directory of that name; its log file names it too.

    Raises ShakegptError when there is no log.
    """
    path = Path(name)
    path = path.parent if path.name == LOG_NAME else path
    if not (path / LOG_NAME).is_file():
        raise ShakegptError(
            f"{path} holds no run log ({LOG_NAME}): give one of those that `shakegpt runs` lists"
        )
    return path


def newest(live: bool = False, base: Path = RUNS) -> Path:
    """The newest finished run in `base`, or with `live` the newest that trains; the recorded run
    when there is neither.
    """
    found = find_runs(base)
    fit = [run for run in found if live and _serves(run, live)]
    fit = fit or [run for run in found if _serves(run, False)]
    return fit[0].path if fit else recorded()


def _serves(run: RunSummary, live: bool) -> bool:
    return not run.problem and (run.state.at_work if live else run.state == "finished")
