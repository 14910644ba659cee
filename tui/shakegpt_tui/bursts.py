"""An app in which a burst of the key that closes a dialog does not reach the screen below."""

from __future__ import annotations

import time as clock

from textual.app import App
from textual.events import Event, Key
from textual.screen import ModalScreen

BURST = 0.3
"""Seconds within which a key that is repeated was not pressed anew."""


class BurstGuard(App[str]):
    """Forwards keys, but for those that were meant for a dialog which has closed meanwhile."""

    _dialog_key = "", 0.0
    """The last key that a dialog got, and when."""

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key):
            now, in_dialog = clock.monotonic(), isinstance(self.screen, ModalScreen)
            key, pressed_at = self._dialog_key
            if not in_dialog and event.key == key and now - pressed_at < BURST:
                self._dialog_key = key, now
                return
            if not event.is_forwarded:
                self._dialog_key = (event.key, now) if in_dialog else ("", 0.0)
        await super().on_event(event)
