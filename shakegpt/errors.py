"""The one exception that a person sees: a sentence with the value and the way out.

The command line prints it without a traceback and leaves with `exit_code`:
2 for bad usage or input (the default), 1 for a job that failed on the way.
"""


class ShakegptError(Exception):
    """What is wrong, with the value; what to do. One sentence, no traceback."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
