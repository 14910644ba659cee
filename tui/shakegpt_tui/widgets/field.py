"""An input line and a text area that handle keys in the order in which they were typed.

Textual inserts a letter at once, while backspace or ctrl+u first bubbles through every container to
the app. On a slow line keys come in bursts: `ab⌫c` became `ab` in place of `ac`.
"""

from __future__ import annotations

from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input, TextArea

from shakegpt_tui.internals import bindings_of


class Field(Input):
    """An `Input` that runs its own bindings itself, before it looks at the next key."""

    async def _on_key(self, event: Key) -> None:
        if not await _handled(self, event):
            await super()._on_key(event)


class Area(TextArea):
    """The same with several lines."""

    async def _on_key(self, event: Key) -> None:
        if not await _handled(self, event):
            await super()._on_key(event)


async def _handled(widget: Widget, event: Key) -> bool:
    """Run what the widget itself binds to the key; False when that is nothing."""
    for key, binding in bindings_of(widget):
        if key == event.key and await widget.app.run_action(binding.action, widget):
            event.stop()
            event.prevent_default()
            return True
    return False
