"""The footer: the keys that do something now, the most useful first, as many as the width holds."""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.widgets import Footer, Input

from shakegpt_tui.internals import FooterKey, footer_ready
from shakegpt_tui.keys import FILLING


class FittingFooter(Footer):
    """First the bindings with `show`, in their order; then those of `FILLING` that still fit."""

    _width = 0

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)

    def compose(self) -> ComposeResult:
        if not footer_ready(self):
            return
        if FooterKey is None:
            yield from super().compose()
            return
        usual, more = dict[str, ActiveBinding](), dict[str, ActiveBinding]()
        for each in self.screen.active_bindings.values():
            if each.binding.show:
                usual.setdefault(each.binding.action, each)
            elif not isinstance(each.node, Input):  # it is typed in
                more.setdefault(each.binding.action, each)
        filling = [more[action] for action in FILLING if action in more and action not in usual]
        room = self._width = self.app.size.width
        for each in [*usual.values(), *filling]:
            binding, key = each.binding, self.app.get_key_display(each.binding)
            taken = cell_len(key) + cell_len(binding.description) + 2
            if not binding.show and taken > room + 1:  # the last needs no gap
                continue
            room -= taken
            yield FooterKey(
                binding.key,
                key,
                binding.description,
                binding.action,
                disabled=not each.enabled,
                tooltip=each.tooltip,
            ).data_bind(compact=Footer.compact)

    def on_resize(self) -> None:
        """Another width holds other keys."""
        if footer_ready(self) and self.app.size.width != self._width:
            self.call_after_refresh(self.recompose)
