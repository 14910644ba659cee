"""The lock of a run: its trainer holds it, and the death of the trainer frees it.

Surer than a process number, which may be a zombie's, another container's or used again. Of a
trainer on another machine it says something only where the file system shares its locks.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from shakegpt.errors import ShakegptError

NONBLOCK = getattr(os, "O_NONBLOCK", 0)
"""A pipe that was put in a file's place is not waited for."""


class NoLocks(ShakegptError):
    """The file system has no locks."""


def lock_file(log: Path) -> Path:
    """The file that is locked for a run log: the log itself, except on Windows, where nobody else
    could read what is locked.
    """
    return log.with_suffix(".lock") if os.name == "nt" else log


def acquire(path: Path) -> int | None:
    """Lock the file `path`, which is created if missing; the lock lasts until the returned
    descriptor, which appends to the file, is closed. None when another process holds it.

    Raises OSError when the file cannot be opened, NoLocks when its file system has none;
    then what was created for this, and a directory with nothing else in it, is removed.
    """
    from filelock import lock_descriptor

    new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NONBLOCK, 0o644)
    try:
        for patience in (0.02, 0.05, 0.1, 0.0):  # `is_held` has the lock for an instant
            if lock_descriptor(fd, blocking=False):
                return fd
            time.sleep(patience)
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
    """Whether a process holds the lock of the file `path`; False where that cannot be found out."""
    from filelock import lock_descriptor

    for access in (os.O_RDWR, os.O_RDONLY):  # NFS locks no read-only descriptor
        with suppress(OSError):
            fd = os.open(path, access | NONBLOCK)
            try:
                if lock_descriptor(fd, blocking=False):
                    return False
                time.sleep(0.005)  # for another one that only looks
                return not lock_descriptor(fd, blocking=False)
            finally:
                os.close(fd)
    return False
