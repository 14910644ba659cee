"""Which logs the figures are drawn from: the runs that were named, else the newest, else the one
that ships.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.history import History
from shakegpt.runlog import LOG_NAME, Follower
from shakegpt.runs import LIVE, RUNS, RunSummary, find_runs

RECORDED = Path(__file__).with_name("recorded")
"""A recorded run that ships, so that figures, deck and claims work before anyone has trained."""


def choose(named: Sequence[str], live: bool = False, base: Path = RUNS) -> list[Path]:
    """Run directories: those named; else the newest finished one, or with `live` the newest that
    trains; else, when nothing in `base` serves, the recorded run.

    Raises ShakegptError for a name that is no run.
    """
    if named:
        return [_run(Path(name)) for name in named]
    found = find_runs(base)
    fit = [run for run in found if _serves(run, live)] or [r for r in found if _serves(r, False)]
    return [fit[0].path if fit else RECORDED]


def _serves(run: RunSummary, live: bool) -> bool:
    return not run.problem and (run.state in LIVE if live else run.state == "finished")


def _run(path: Path) -> Path:
    path = path.parent if path.name == LOG_NAME else path
    if not (path / LOG_NAME).is_file():
        raise ShakegptError(
            f"{path} holds no run log ({LOG_NAME}): give one of those that `shakegpt runs` lists"
        )
    return path


class Source:
    """One log, read as far as it goes; `refresh` takes in what has come since."""

    def __init__(self, run: Path) -> None:
        self.log = run / LOG_NAME
        self._follower = Follower(self.log)
        self.history = History()
        self.refresh()

    def refresh(self) -> bool:
        """Whether there was anything new. Raises ShakegptError for a log of a newer version."""
        try:
            records = self._follower.poll()
        except OSError as error:
            raise ShakegptError(f"{self.log} cannot be read: {error.strerror}") from error
        if self._follower.restarted:
            self.history = History()
        self.history.extend(records)
        return bool(records) or self._follower.restarted

    def checked(self) -> History:
        """The history, when the log is that of a run.

        Raises ShakegptError naming the line that is no record, when nothing else was found.
        """
        if self.history.run is None:
            problem = next(iter(self._follower.problems), None)
            where = f" (line {problem.line}: {problem.message})" if problem else ""
            raise ShakegptError(
                f"{self.log} does not begin with the header of a run{where}: "
                "give the directory of a run that shakegpt wrote"
            )
        return self.history
