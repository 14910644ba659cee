"""An input line that obeys keys in the order in which they were typed.

Textual inserts a letter at once, while backspace or ctrl+u goes up through every container to the
app before it is obeyed. On a slow line keys come in bursts: `ab⌫c` became `ab` in place of `ac`.
"""

from __future__ import annotations

from textual.events import Key
from textual.widgets import Input


class Field(Input):
    """An `Input` that runs its own bindings itself, before it looks at the next key."""

    async def _on_key(self, event: Key) -> None:
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return
        await super()._on_key(event)
