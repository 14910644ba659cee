"""A line that says how busy this machine is, while a run on it is at work."""

from __future__ import annotations

from textual import work
from textual.content import Content
from textual.worker import get_current_worker

from shakegpt_tui.home import meters
from shakegpt_tui.home.machine import gpu_program
from shakegpt_tui.widgets.quiet import Quiet

EVERY = 1.0
GPU_EVERY = 2.0
"""Seconds between two looks; the GPU's takes a process."""


class MachineLine(Quiet):
    """Measures only while it is `active` and on screen."""

    active = False
    """Whether what this machine does says something about the run."""
    _load: meters.GpuLoad | None = None
    _looking = False

    def on_mount(self) -> None:
        """Look once in a while."""
        meters.cores()
        self.set_interval(EVERY, self._look)

    def _look(self) -> None:
        if not (self.active and self.size.width):
            self.say(Content(""))
            return
        parts = [meters.cpu_text(meters.cores())]
        parts += [meters.gpu_text(self._load)] if self._load is not None else []
        self.say(Content.styled("  ".join(parts), "$quiet"))
        if not self._looking and gpu_program() is not None:
            self._looking = True
            self._follow_gpu()

    @work(thread=True, exit_on_error=False)
    def _follow_gpu(self) -> None:
        stop = get_current_worker().cancelled_event
        while self.active and not stop.is_set():
            self._load = meters.gpu()
            stop.wait(GPU_EVERY)
        self._looking = False
