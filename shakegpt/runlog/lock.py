"""The lock of a run: held by its trainer, released by the system when the trainer ends or dies.

More reliable than a process id, which may belong to a zombie or another container, or be reused.
For a trainer on another machine it works only where the file system shares its locks.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from shakegpt.errors import ShakegptError

NONBLOCK = getattr(os, "O_NONBLOCK", 0)
"""Do not wait for a pipe in the place of a file."""


class NoLocks(ShakegptError):
    """The file system has no locks."""


def lock_file(log: Path) -> Path:
    """The file that is locked for a run log: the log itself, except on Windows, where a locked file
    cannot be read by others.
    """
    return log.with_suffix(".lock") if os.name == "nt" else log


def acquire(path: Path) -> int | None:
    """Lock the file `path`, created if missing, until the returned descriptor, which appends to the
    file, is closed. None when another process holds the lock.

    Raises OSError when the file cannot be opened, NoLocks when its file system has no locks; then
    the created file, and its directory if empty, is removed.
    """
    from filelock import lock_descriptor

    new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NONBLOCK, 0o644)
    try:
        for delay in (0.02, 0.05, 0.1, 0.0):  # `is_held` holds the lock for an instant
            if lock_descriptor(fd, blocking=False):
                return fd
            time.sleep(delay)
    except OSError as error:
        os.close(fd)
        if new:
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()
        raise NoLocks(
            f"cannot lock {path} ({error.strerror}), so a second trainer could not be refused: use "
            "a directory on a file system that has locks",
            exit_code=1,
        ) from error
    os.close(fd)
    return None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of the file `path`; False where that is unknown."""
    from filelock import lock_descriptor

    for access in (os.O_RDWR, os.O_RDONLY):  # NFS locks no read-only descriptor
        with suppress(OSError):
            fd = os.open(path, access | NONBLOCK)
            try:
                if lock_descriptor(fd, blocking=False):
                    return False
                time.sleep(0.005)  # another process may just be checking
                return not lock_descriptor(fd, blocking=False)
            finally:
                os.close(fd)
    return False
