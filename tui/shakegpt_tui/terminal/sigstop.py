"""Textual's terminal driver, made safe for SIGSTOP, which no program can catch.

Textual leaves the terminal when Ctrl-Z comes and takes it again at SIGCONT. After a SIGSTOP (of a
batch system, of a debugger) it would take it a second time: two threads would read the keys, and
the terminal's settings would be remembered as they are on a screen, never restored.
"""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver


class SigstopDriver(LinuxDriver):
    """A driver that leaves the terminal before it takes it again."""

    _taking = False

    def _sigcont_application(self, *args: object) -> None:
        if self._taking or not self._auto_restart:  # stopped again while it takes the terminal
            return
        self._taking = True
        try:
            if not self._must_signal_resume:
                self.suspend_application_mode()
                self._must_signal_resume = True
            super()._sigcont_application(*args)
        finally:
            self._taking = False
