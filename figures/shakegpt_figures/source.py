"""A run's log as the figures read it: once, or again and again while it grows."""

from __future__ import annotations

from pathlib import Path

from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, Follower


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

        Raises ShakegptError, with the first line that is no record, when the log has no header.
        """
        if self.history.run is None:
            problem = next(iter(self._follower.problems), None)
            where = f" (line {problem.line}: {problem.message})" if problem else ""
            raise ShakegptError(
                f"{self.log} does not begin with the header of a run{where}: "
                "give the directory of a run that shakegpt wrote"
            )
        return self.history
