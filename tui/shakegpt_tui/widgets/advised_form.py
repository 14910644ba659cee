"""The part of the start form that has short runs find settings for a text and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from textual import on, work
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt_tui.home import form
from shakegpt_tui.processes import adviser

ADVISE, GIVE_UP = "Advise  F6", "Give up F6"
"""What the button says that finds settings, before and while it does."""


WIDE = 110
"""Columns from which a notification is narrower than the screen."""
Severity = Literal["information", "warning", "error"]
OTHER = "The short runs were for another text or model than now. F6 tries settings for this one."


class AdvisedForm(Vertical):
    """Runs `shakegpt advise` on the form as it stands, and fills in what that recommends."""

    config: FinetuneConfig | None
    """The form as it stands; None while something is wrong."""
    texts: dict[str, str]
    """What is typed, by field."""
    _adviser: adviser.Adviser | None = None
    _subject: tuple[str, ...] = ()
    """What was typed for text and model when the probe began."""

    def judge(self) -> None:
        """Check the form as it stands."""
        raise NotImplementedError

    def fill(self, texts: dict[str, str]) -> None:
        """Write these into the fields."""
        raise NotImplementedError

    def go_to_fault(self) -> None:
        """Focus the first field that is wrong."""
        raise NotImplementedError

    class Probed(Message):
        """A line of the probe's progress, or what it recommends, or why it failed."""

        def __init__(self, line: str, found: Mapping[str, Any] | None = None) -> None:
            super().__init__()
            self.line, self.found = line, found

    @on(Button.Pressed, "#advise")
    def _advise_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.advise()

    def advise(self) -> None:
        """Find settings for the text and model by short runs; while that goes on, give up."""
        if self._adviser is not None:
            self._adviser.close()
            return
        self.judge()
        if self.config is None:
            self.go_to_fault()
            return
        if (name := _unmeasured(self.config)) is not None:
            line = (
                f"Short runs train all weights, in memory: no settings for {name} can be advised."
            )
            self.app.notify(line, severity="warning", markup=False)
            return
        try:
            self._adviser = adviser.Adviser(self.config)
        except ShakegptError as error:
            self.app.notify(str(error), severity="error", markup=False)
            return
        self._subject = self._typed_subject()
        self.query_one("#advise", Button).label = GIVE_UP
        self.query_one("#need", Static).update("Trying settings in short runs; F6 gives up.")
        self._probe(self._adviser)

    @work(thread=True, group="advice", exit_on_error=False)
    def _probe(self, probe: adviser.Adviser) -> None:
        for line in probe.progress():
            self.post_message(self.Probed(line))
        try:
            found = probe.found()
            self.post_message(self.Probed(adviser.sentence(found), found))
        except ShakegptError as error:
            self.post_message(self.Probed(str(error), {}))

    @on(Probed)
    def _probed(self, event: Probed) -> None:
        """Show the progress; at its end, fill in what is recommended."""
        if event.found is None:
            line = event.line[:1].upper() + event.line[1:]
            self.query_one("#need", Static).update(Content(f"F6 gives up. {line}"))
            return
        probe, self._adviser = self._adviser, None
        self.query_one("#advise", Button).label = ADVISE
        if probe is not None and probe.closed:  # given up
            self.judge()
        elif not event.found:
            self._conclude(event.line, "error")
        elif self._typed_subject() != self._subject:
            self._conclude(OTHER, "warning")
        else:
            advised = adviser.settings(event.found)
            self.fill(self.texts | {name: form.typed(v) for name, v in advised.items()})
            self._conclude(event.line, "information")

    def _conclude(self, line: str, severity: Severity) -> None:
        """Say how it ended, in as many sentences as leave half of the form in sight."""
        self.judge()
        width, height = self.app.size
        line = form.fitting(line, width - 4 if width < WIDE else 38, height // 2)
        self.app.notify(line, severity=severity, timeout=20, markup=False)

    def _typed_subject(self) -> tuple[str, ...]:
        return tuple(self.texts[name] for name in adviser.SUBJECT)

    def on_unmount(self) -> None:
        """End a probe that goes on."""
        if self._adviser is not None:
            self._adviser.close()


def _unmeasured(config: FinetuneConfig) -> str | None:
    """The setting, if any, with which a run learns otherwise than the short runs do."""
    if config.lora_rank is not None:
        return "lora rank"
    return "memory lowest" if config.memory == "lowest" else None
