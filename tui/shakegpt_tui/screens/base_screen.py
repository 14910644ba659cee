"""Base of all screens: each closes once, and something has the focus wherever anything can."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.events import DescendantFocus
from textual.screen import ModalScreen, Screen, ScreenResultType
from textual.widget import Widget


class BaseScreen(Screen[ScreenResultType]):
    """A screen that is dismissed at most once and keeps its focus."""

    _last_focused: Widget | None = None

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close this screen with `result`; further calls, by keys typed meanwhile, do nothing.

        Textual would close the screen below at each further call.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self._last_focused = event.widget

    def watch_focused(self) -> None:
        """Focus something again when nothing has the focus: a click beside it, a hidden widget."""
        self.call_after_refresh(self._restore_focus)

    def on_resize(self) -> None:
        """A terminal that was too small hid everything."""
        self.call_after_refresh(self._restore_focus)

    def _restore_focus(self) -> None:
        if self.focused is not None or not self.app.app_focus:
            return
        chain, last = self.focus_chain, self._last_focused
        wanted = [last, *self.query(self.AUTO_FOCUS or "*"), *chain]
        self.set_focus(next((widget for widget in wanted if widget in chain), None))


class Dialog(BaseScreen[ScreenResultType], ModalScreen[ScreenResultType]):
    """A screen that stands over another."""
