"""One sample of the run: a title that says which, its text as it streams, a place in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from textual.content import Content
from textual.events import Click
from textual.message import Message

from shakegpt.runlog.history import SampleView
from shakegpt.runlog.schema import Settings
from shakegpt.sanitize import one_line, printable
from shakegpt_tui.run.browse import full_text
from shakegpt_tui.widgets.following import Following
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.sample_text import Look, legend, styled, token_offset


class SamplePane(Following, can_focus=False):
    """Shows a sample; follows its end while it grows, unless the reader scrolled away."""

    @dataclass
    class TokenClicked(Message):
        """The mouse chose a token of the sample that is shown."""

        view: SampleView
        token: int

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="sample-pane")
        self.view: SampleView | None = None
        self._drawn: tuple[object, ...] = ()
        self._titles = Content(), Content()
        self._walk: tuple[tuple[SampleView | None, int], int] = (None, 0), 0
        """The token that a walk by rows reached last, and the column that it keeps to."""

    def word(self, content: Content) -> None:
        """Show a word instead of a sample."""
        self.view, self._drawn = None, ()
        self._titles = Content(), Content()
        self._entitle()
        self.say(content)

    def show(self, view: SampleView, look: Look, place: str) -> None:
        """Show `view`; `place` says where in the run it stands, as `3 of 5`."""
        drawn = (id(view), len(view.tokens), view.end is not None, view.copies, look, place)
        if drawn == self._drawn:
            return
        changed, self.view, self._drawn = view is not self.view, view, drawn
        below = (
            legend() if look.probabilities else Content.styled(subtitle(view), "not bold $quiet")
        )
        self._titles = Content(title(view, place)), below
        self._entitle()
        if changed:
            self.following = view.end is None
        self.say(styled(view, look))
        if changed and view.end is not None:
            self.scroll_home(animate=False, immediate=True)
        if look.token is not None:
            self._reveal(token_offset(view, look.token))
        elif look.hit is not None:
            self._reveal(look.hit)

    def on_resize(self) -> None:
        """Another layout may have another border."""
        self.call_after_refresh(self._entitle)

    def _entitle(self) -> None:
        """Small layouts have no lower border to write on: there both stand on the upper one."""
        above, below = self._titles
        if not self.styles.border_bottom[0] and below.plain:
            above, below = Content.assemble(above, "  ", below), Content()
        self.border_title, self.border_subtitle = above, below

    def _reveal(self, offset: int) -> None:
        """Scroll so that the character at `offset` is in view."""
        if self.view is None:
            return
        width = max(1, self.query_one(Quiet).content_size.width)
        before = Content(printable(full_text(self.view)[: offset + 1]))
        row = len(before.wrap(width)) - 1
        top, height = round(self.scroll_y), self.scrollable_content_region.height
        if not top <= row < top + height:
            self.following = False
            target = max(0, row - height // 2)
            self.call_after_refresh(self.scroll_to, y=target, animate=False, immediate=True)

    def token_in_row(self, token: int, by: int) -> int:
        """The token `by` rows below that one, as near as may be to its column or, when that one was
        reached so itself, to the column where the walk by rows began.
        """
        assert self.view is not None
        text, places, start = printable(full_text(self.view)), [], 0
        for row, line in enumerate(Content(text).wrap(max(1, self._text_width))):
            start = text.index(line.plain.rstrip(), start)
            places.append((start, row))
            start += len(line.plain.rstrip())
        offsets = [token_offset(self.view, index) for index in range(len(self.view.tokens))]
        spots = []
        for offset in offsets:
            begin, row = places[bisect_right(places, (offset, len(places))) - 1]
            spots.append((row, offset - begin))
        row, column = spots[token]
        reached, wanted = self._walk
        if reached == (self.view, token):
            column = wanted
        rows = sorted({spot[0] for spot in spots})
        aim = rows[min(max(rows.index(row) + by, 0), len(rows) - 1)]
        nearest = min(
            (abs(spot[1] - column), index) for index, spot in enumerate(spots) if spot[0] == aim
        )[1]
        self._walk = (self.view, nearest), column
        return nearest

    @property
    def _text_width(self) -> int:
        return self.query_one(Quiet).content_size.width

    def on_click(self, event: Click) -> None:
        token = event.style.meta.get("token")
        if isinstance(token, int) and self.view is not None:
            self.post_message(self.TokenClicked(self.view, token))


def title(view: SampleView, place: str) -> str:
    """Which sample it is, most telling first."""
    if view.afterwards:
        return f"iteration {view.start.iteration} · drawn afterwards · {place}"
    requested = " · requested" if view.start.requested else ""
    return f"iteration {view.start.iteration} · sample {place}{requested}"


def subtitle(view: SampleView) -> str:
    """How it was drawn and how far it is."""
    settings, end = view.start.settings, view.end
    if end is None:
        progress = f"{len(view.tokens)}/{settings.max_new_tokens} tokens …"
    else:
        rate = f", {end.tokens / end.seconds:.0f}/s" if end.seconds > 0 else ""
        progress = f"{end.tokens} tokens{rate}{'' if end.complete else ', cut short'}"
    if view.copies is not None and view.copies.longest:
        progress += f" · {view.copies.longest} words copied"
    return f"{progress} · {sampling(settings)}"


def sampling(settings: Settings) -> str:
    """The settings that decided a draw."""
    parts = [f"temperature {settings.temperature:g}"]
    if settings.top_k is not None:
        parts.append(f"top-k {settings.top_k}")
    if settings.top_p is not None:
        parts.append(f"top-p {settings.top_p:g}")
    return one_line(" · ".join(parts))
