"""The key help, made from the bindings of the screen under it, so that it cannot go stale."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content

from shakegpt_tui.keys import heading_of
from shakegpt_tui.run.explain import Explanation
from shakegpt_tui.screens.base_screen import Dialog
from shakegpt_tui.widgets.quiet import Quiet

KEY_WIDTH = 9
BOTH_FROM = 110
"""Columns from which on keys and explanations have room beside each other."""


class KeyHelp(Dialog[None]):
    """Shows what each key does and, of a run, what its numbers are: side by side where there is
    room, else one at a time. Any of the usual keys closes it.
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close"),
        Binding("tab,shift+tab,left,right", "turn", "Turn", priority=True),
    ]

    def __init__(self, bindings: Iterable[Binding], explained: Sequence[Explanation] = ()) -> None:
        super().__init__(classes="dialog")
        self._keys, self._explained = list(bindings), explained

    def compose(self) -> ComposeResult:
        with Horizontal(classes="help-pair"):
            with VerticalScroll(classes="dialog-box help-box", id="explained"):
                yield Quiet(classes="dialog-text")
            with VerticalScroll(classes="dialog-box help-box", id="keys"):
                yield Quiet(classes="dialog-text")

    def on_mount(self) -> None:
        self.query_one("#keys").border_title = Content("Keys")
        self.query_one("#explained").border_title = Content("What am I looking at?")
        self.set_class(bool(self._explained), "-explains")
        self.query_one("#keys").focus()

    def on_resize(self) -> None:
        wide = self.app.size.width >= BOTH_FROM
        self.set_class(wide, "-both")
        other = {"keys": "What am I looking at?", "explained": "Keys"}
        for box, name in other.items():
            hint = f"tab: {name}" if self._explained and not wide else ""
            self.query_one(f"#{box}").border_subtitle = Content(hint)
        self.call_after_refresh(self._write)

    def action_turn(self) -> None:
        if self._explained:
            self.toggle_class("-turned")
            self.query_one("#explained" if self.has_class("-turned") else "#keys").focus()
            self.call_after_refresh(self._write)

    def _write(self) -> None:
        text = self.query_one("#keys .dialog-text", Quiet)
        text.say(key_table(self._keys, self.app.get_key_display, text.size.width), layout=True)
        text = self.query_one("#explained .dialog-text", Quiet)
        text.say(explained_table(self._explained), layout=True)


def explained_table(entries: Iterable[Explanation]) -> Content:
    """Term and value, then the two sentences."""
    return Content("\n\n").join(
        Content.assemble(
            (entry.term, "bold $primary"), (f"  {entry.value}".rstrip(), "bold"), f"\n{entry.text}"
        )
        for entry in entries
    )


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
