"""Exceptions that callers handle.

The command line prints a `ShakegptError` without a traceback and exits with its `exit_code`:
2 for bad usage or input (the default), 1 for a job that failed while running.
"""

from __future__ import annotations


class ShakegptError(Exception):
    """What is wrong, with the value; what to do. One sentence, no traceback."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Stopped(Exception):
    """Training was stopped early by a command or signal; the state is saved."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.reason, self.exit_code = reason, exit_code
