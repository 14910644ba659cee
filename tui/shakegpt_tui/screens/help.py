"""The key help, made from the bindings of the screen under it: it cannot tell anything else."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from shakegpt_tui.base_screen import Dialog
from shakegpt_tui.keys import heading_of
from shakegpt_tui.widgets.quiet import Quiet

KEY_WIDTH = 9


class KeyHelp(Dialog[None]):
    """Shows what each key does; any of the usual keys closes it."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close")
    ]

    def __init__(self, bindings: Iterable[Binding]) -> None:
        super().__init__(classes="dialog")
        self._keys = list(bindings)

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        with VerticalScroll(classes="dialog-box help-box"):
            yield Quiet(classes="dialog-text")

    def on_mount(self) -> None:
        """Name the box."""
        self.query_one(".help-box").border_title = Content("Keys")

    def on_resize(self) -> None:
        """Write the table, as wide as there is room."""
        self.call_after_refresh(self._write)

    def _write(self) -> None:
        text = self.query_one(".dialog-text", Quiet)
        text.say(key_table(self._keys, self.app.get_key_display, text.size.width), layout=True)


def key_table(
    bindings: Iterable[Binding], display: Callable[[Binding], str], width: int = 200
) -> Content:
    """Headings and a line a key; a binding without a sentence falls back to its word.

    What is longer than `width` goes on below its own beginning.
    """
    lines: list[Content] = []
    for heading, rows in _grouped(bindings).items():
        lines += [Content("")] if lines else []
        lines.append(Content.styled(heading, "bold $primary"))
        for keys, text in rows:
            shown = " ".join(dict.fromkeys(display(binding) for binding in keys))
            rest = textwrap.wrap(text, max(width - KEY_WIDTH - 2, 10))
            hanging = ("\n" + " " * (KEY_WIDTH + 2)).join(rest)
            lines.append(Content.assemble((f"{shown:>{KEY_WIDTH}}  ", "bold"), hanging))
    return Content("\n").join(lines)


def _grouped(bindings: Iterable[Binding]) -> dict[str, list[tuple[list[Binding], str]]]:
    groups: dict[str, list[tuple[list[Binding], str]]] = {}
    for binding in bindings:
        text = binding.tooltip or (binding.description if binding.show else "")
        if not text or binding.system:
            continue
        rows = groups.setdefault(heading_of(binding), [])
        if rows and rows[-1][1] == text:
            rows[-1][0].append(binding)
        else:
            rows.append(([binding], text))
    return groups
