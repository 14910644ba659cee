"""A setting of the start form: its label, its input, and what is wrong with it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.suggester import SuggestFromList
from textual.widgets import Label, Static

from shakegpt.sanitize import one_line
from shakegpt_tui.home import form
from shakegpt_tui.widgets.field import Field


class FormRow(Vertical):
    """One setting: label and input on a line, what is wrong with it below."""

    DEFAULT_CSS = """
    FormRow {
        height: auto;
        &.further { display: none; }
        & > Horizontal { height: 1; }
        Label { width: 16; color: $foreground 75%; }
        Input { width: 1fr; background: $panel; }
        Input:ansi { text-style: underline; }
        Input:focus { background: $primary 25%; }
        Input:ansi:focus { background: ansi_default; text-style: reverse; }
        .error { display: none; color: $error; padding-left: 16; height: auto; }
        &.wrong .error, &.doubtful .error { display: block; }
        &.doubtful .error { color: $warning; }
        &.wrong Label { color: $error; }
    }
    """

    def __init__(self, field: form.Field, value: str) -> None:
        super().__init__(classes="" if field.name in form.ESSENTIAL else "further")
        self.field, self._value, self._error, self._doubt = field, value, "", ""

    def compose(self) -> ComposeResult:
        """Label, input, error."""
        with Horizontal():
            yield Label(self.field.label, markup=False)
            suggester = SuggestFromList(self.field.choices) if self.field.choices else None
            hint = " or ".join(self.field.choices) or self.field.without
            yield Field(
                self._value,
                placeholder=hint,
                suggester=suggester,
                compact=True,
                name=self.field.name,
                id=f"field-{self.field.name}",
            )
        yield Static(classes="error", markup=False)

    def complain(self, error: str, doubt: str = "") -> None:
        """Show what is wrong or, if nothing is, what may be; with "" that all is well."""
        if (error, doubt) != (self._error, self._doubt):
            self._error, self._doubt = error, doubt
            self.query_one(".error", Static).update(one_line(error or doubt))
            self.set_class(bool(error), "wrong")
            self.set_class(bool(doubt and not error), "doubtful")


class Rows(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The settings. Its own keys for up and down would scroll the setting with the focus away."""
