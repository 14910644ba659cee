"""Private names of Textual, all that this package uses, each with what happens where it is gone.

Three more are overridden elsewhere, and without them the override is never called: `_on_key` of
inputs (`widgets.field`: keys in the order typed), `_sigcont_application` of the terminal driver
(`sigstop`: SIGSTOP), and `_make_app` of textual-serve (`web_server`: pages of other sites refused).
A test finds any other use.
"""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.filter import LineFilter
from textual.widget import Widget

try:
    from textual.widgets._footer import FooterKey
except ImportError:  # then the footer is Textual's own
    FooterKey = None  # type: ignore[assignment,misc]

__all__ = ["FooterKey", "add_filter", "bindings_of", "footer_ready", "gutter_width", "write"]


def bindings_of(node: DOMNode) -> list[tuple[str, Binding]]:
    """(key, binding) of the node's own bindings: `active_bindings` has one a key, of all nodes."""
    return list(getattr(node, "_bindings", ()))


def write(app: App[Any], sequence: str) -> None:
    """Write an escape sequence to the terminal between two frames; nothing without a driver."""
    driver = getattr(app, "_driver", None)
    if driver is not None:
        driver.write(sequence)


def add_filter(app: App[Any], filter: LineFilter) -> None:
    """Have all that is drawn pass `filter`; without filters, it is drawn as it is."""
    getattr(app, "_filters", []).append(filter)


def footer_ready(footer: Widget) -> bool:
    """Whether the bindings that a footer shows are known yet."""
    return bool(getattr(footer, "_bindings_ready", True))


def gutter_width(selection_list: Widget) -> int:
    """Columns before the text of each row, where the ticks are; 0 where that is unknown."""
    return int(getattr(selection_list, "_get_left_gutter_width", int)())
