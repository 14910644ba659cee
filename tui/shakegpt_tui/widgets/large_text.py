"""Text in large letters, as many lines of it as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from shakegpt_tui.widgets.lettering import SIZES, Lettering, largest

LETTERS_A_LINE = 13
"""Of the width of n, for which a line has room at least."""
SHARE = 0.2
"""Of the screen's height that a single line may take."""
TALLEST = 9
"""Rows of a line of running text at most, so that there is more than one."""


@dataclass(frozen=True)
class Part:
    """A piece of text in one colour: the name of a component class."""

    text: str
    role: str = "plain"


class LargeText(Widget):
    """One line as large as it fits, or running text at a size that suits the width."""

    COMPONENT_CLASSES = {f"large--{role}" for role in ("plain", "val", "train", "prompt", "quiet")}  # noqa: RUF012
    DEFAULT_CSS = """
    LargeText {
        width: 1fr; height: auto;
        & > .large--plain { color: $foreground; }
        & > .large--val { color: $primary; }
        & > .large--train { color: $secondary; }
        & > .large--prompt { color: $accent; }
        & > .large--quiet { color: $foreground 60%; }
    }
    """

    def __init__(self, *, id: str, running: bool = False) -> None:
        """`running`: lines of text that fill the room; else one line, of `SHARE` of the height."""
        super().__init__(id=id, classes="text" if running else None)
        self.running = running
        self.said: Sequence[Sequence[Part]] = ()
        self.tail = False
        """Whether the end is shown, where not all of a text fits: it is still growing."""
        self._strips: list[Strip] | None = None

    def say(self, *choices: Sequence[Part], tail: bool = False) -> None:
        """Show the first of `choices` that fits; what has not changed is not painted."""
        if (choices, tail) != (self.said, self.tail):
            self.said, self.tail, self._strips = choices, tail, None
            self.refresh(layout=not self.running)

    def on_resize(self) -> None:
        self._strips = None

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = None

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._strips = self._draw()
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.visual_style.rich_style)

    def _fit(self, width: int) -> tuple[Sequence[Part], Lettering]:
        """The choice that fits into a line, and in which letters."""
        most = max(3, round(self.screen.size.height * SHARE))
        for parts in self.said:
            font = largest("".join(part.text for part in parts), width, most, bold=True)
            if font is not None:
                return parts, font
        return (self.said[-1] if self.said else ()), Lettering(SIZES[0])

    def _draw(self) -> list[Strip]:
        width, height = self.size
        if not (width and height and self.said):
            return []
        if not self.running:
            parts, font = self._fit(width)
            return self._line([(font.draw(part.text), part.role) for part in parts], font)
        most = max(4, min(height // 4, TALLEST))
        font = largest("n" * LETTERS_A_LINE, width, most) or Lettering(SIZES[0])
        room = max(height // font.rows, 1)
        most = room * width  # letters that may be seen: none is narrower than a cell
        lines: list[tuple[str, str]] = []
        for part in self.said[0]:
            text = part.text[-most:] if self.tail else part.text[:most]
            text = "\n".join(filter(str.strip, text.splitlines()))  # no row is left blank
            lines += [(line, part.role) for line in font.wrap(text, width, most)]
        shown = lines[:1] + lines[1:][1 - room :] if self.tail and room > 1 else lines[:room]
        return [
            strip for line, role in shown for strip in self._line([(font.draw(line), role)], font)
        ]

    def _line(self, drawn: list[tuple[list[str], str]], font: Lettering) -> list[Strip]:
        ground = self.visual_style.rich_style
        style = self.get_component_rich_style
        styles = {role: ground + style(f"large--{role}") for _, role in drawn}
        strips = []
        for row in range(font.rows):
            strip = Strip([Segment(rows[row], styles[role]) for rows, role in drawn])
            strips.append(strip.adjust_cell_length(self.size.width, ground))
        return strips

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line, where the stylesheet says `auto`."""
        return self._fit(width)[1].rows
