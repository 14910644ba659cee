"""Base of the app: what its screens use of it, so that none of them knows the app that opens it."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Literal

from shakegpt.notify.terminal import notification
from shakegpt_tui import internals
from shakegpt_tui import settings as memory
from shakegpt_tui.bursts import BurstGuard
from shakegpt_tui.processes.trainer import Trainer
from shakegpt_tui.run.feed import Feed
from shakegpt_tui.terminal import capabilities
from shakegpt_tui.terminal.ascii import SAMPLE, AsciiFilter

Pane = Literal["form", "runs"]
"""A half of the home screen."""


class BaseApp(BurstGuard):
    """Settings, terminal and trainers of a session; opening screens is the subclass's."""

    def __init__(self, config: Path | None = None) -> None:
        """`config`: file of the settings; None: the user's."""
        self.settings = memory.Settings()
        super().__init__()
        self.read_only = capabilities.read_only()
        """Whether nothing may be started, driven, deleted or written."""
        self.ascii_only = not capabilities.encodes(SAMPLE)
        """Whether the terminal's encoding has nothing to draw with but ASCII."""
        if self.ascii_only:
            internals.add_filter(self, AsciiFilter())
        self.config = config or memory.path()
        self.settings = memory.load(self.config)
        self.here = Path.cwd()
        self.trainers: dict[Path, Trainer] = {}
        """The trainers that were started here, by run directory."""
        self.notifies = True
        """Whether the terminal is notified when a run ends; not with --no-notify."""

    def started(self, trainer: Trainer) -> Trainer:
        """Remember a trainer that was started here, to see how it ends."""
        self.trainers[trainer.run] = trainer
        return trainer

    def keep(self, settings: memory.Settings) -> None:
        """Take over settings and remember them."""
        self.settings = settings
        if not self.read_only:
            memory.save(settings, self.config)

    def notify_terminal(self, message: str) -> None:
        """Ring the terminal's bell, with a notification where it is known to have one."""
        if self.notifies and not self.is_headless:
            internals.write(self, notification(message))

    def copy(self, text: str) -> None:
        """OSC 52, and once more in tmux's envelope, for a tmux that lets it through."""
        self.copy_to_clipboard(text)
        if "TMUX" in os.environ:
            data = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
            internals.write(self, f"\x1bPtmux;\x1b\x1b]52;c;{data}\a\x1b\\")

    def refresh_plot(self) -> None:
        """Tell a plot over the run screen that its history grew."""
        refresh = getattr(self.screen, "refresh_history", None)
        if refresh is not None:
            refresh()

    def open_run(self, feed: Feed) -> None:
        """Show a run over what is shown."""
        raise NotImplementedError

    def open_home(self, pane: Pane = "form") -> None:
        """Show the start form and the list of runs in place of what is shown, the keys at one."""
        raise NotImplementedError
