"""Whether there is a terminal that the UI can be shown on, and how gently it must be treated."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shakegpt.cli.attended import unattended

READ_ONLY = "SHAKEGPT_TUI_READ_ONLY"
"""Environment variable: not empty, nothing is started, driven, deleted or written."""


def in_browser() -> bool:
    """Whether textual-serve shows this app on a page."""
    return os.environ.get("TEXTUAL_DRIVER", "").startswith("textual.drivers.web_driver")


def read_only() -> bool:
    """Whether the app may only show."""
    return bool(os.environ.get(READ_ONLY))


def missing(forced: bool = False) -> str | None:
    """Why there is no terminal for a screen, in a few words; None when there is one.

    With `forced`, the terminal of a notebook or a CI job counts, too.

    Textual reads keys from stdin and writes to stderr; at the end of either it would spin. A
    redirected stdout wants lines.
    """
    if in_browser():
        return None
    for name in ("stdin", "stdout", "stderr"):
        if not _is_tty(getattr(sys, name)):
            return f"{name} is not a terminal"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return f"TERM is {os.environ.get('TERM', '')!r}"
    return None if forced else unattended()


def encodes(text: str) -> bool:
    """Whether the terminal's encoding, by the locale, has these characters."""
    if in_browser():
        return True
    encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def has_colours() -> bool:
    """Whether the terminal has colours, by terminfo; yes where that does not know it."""
    if in_browser():
        return True
    try:
        import curses

        curses.setupterm(fd=2)
        return curses.tigetnum("colors") not in range(-1, 3)
    except (ImportError, OSError, curses.error):  # Windows; no file descriptor; unknown terminal
        return True


def _is_tty(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())


@contextmanager
def title_restored() -> Iterator[None]:
    """Restore the terminal's title afterwards (XTWINOPS 22 and 23)."""
    _write("\x1b[22;2t")
    try:
        yield
    finally:
        _write("\x1b[23;2t")


def _write(sequence: str) -> None:
    with suppress(OSError):  # a terminal that hung up
        sys.stderr.write(sequence)
        sys.stderr.flush()


def tune() -> None:
    """Set what Textual reads from the environment; call it before Textual is imported.

    Fewer frames and no animation keep a slow line from filling up, over which the loop would wait.
    """
    remote = "SSH_CONNECTION" in os.environ or "SSH_TTY" in os.environ
    os.environ.setdefault("TEXTUAL_FPS", "15" if remote else "60")
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    if not has_colours():
        os.environ.setdefault("NO_COLOR", "1")
    if "NO_COLOR" in os.environ:  # decided by Textual when the app is made, by its theme
        os.environ["TEXTUAL_THEME"] = "ansi-dark"
