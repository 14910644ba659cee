"""Reading the samples of a run: stepping, comparing, tokens and candidates, search, copies."""

from __future__ import annotations

from textual import on
from textual.content import Content

from shakegpt.runlog.history import SampleView
from shakegpt.sanitize import one_line, printable
from shakegpt_tui.run.browse import full_text
from shakegpt_tui.screens.run_base import RunBase
from shakegpt_tui.widgets.candidates import Candidates
from shakegpt_tui.widgets.sample_pane import SamplePane
from shakegpt_tui.widgets.sample_text import Look


class Reading(RunBase):
    """The actions that change what is looked at, and the drawing of it."""

    match_place = ""
    """The match that the search is at, as `2 of 5`, or `none`."""
    _search_from: int | None = None
    """The sample that was shown when the search began."""

    def show_samples(self) -> None:
        """Draw the sample in question, the one beside it, and the candidates of the cursor."""
        shown, kept = self.browser.sample, self.shakegpt.settings
        pane, beside = self.query_one("#shown", SamplePane), self.query_one("#beside", SamplePane)
        if shown is None:
            beside.display = False
            pane.word(Content.styled(self.nothing_yet(), "$quiet"))
            return
        partner = self.browser.partner() if kept.compare and self._room_for_two() else None
        beside.display = partner is not None
        if partner is not None:
            look = Look(probabilities=kept.probabilities, needle=self.browser.needle)
            beside.show(partner, look, self._place(self.history.samples.index(partner)))
        hit = self.hit.offset if self.hit and self.hit.sample == self.browser.position else None
        look = Look(
            kept.probabilities, self.browser.token, self.browser.needle, hit, self._grows(shown)
        )
        pane.show(shown, look, self._place(self.browser.position or 0))
        self._show_candidates()

    def _grows(self, sample: SampleView) -> bool:
        """Whether it is being drawn now, here or by the trainer."""
        return sample.end is None and (self.moving or self.drawing is sample)

    def _room_for_two(self) -> bool:
        """Fifteen rows with the candidates leave room for the sample that is walked, no other."""
        cramped = self.has_class("-slim") or self.has_class("-low")
        return self.browser.token is None or not cramped

    def nothing_yet(self) -> str:
        """What the sample pane says before there is a sample."""
        if self.never_began():
            return "no samples: the trainer did not start"
        if self.history.run is not None and self.history.run.config.get("max_new_tokens") == 0:
            return "this run draws no samples by itself: press s for one"
        return "the first sample comes with the first evaluation"

    def _place(self, position: int) -> str:
        count = len(self.history.samples)
        following = self.browser.chosen is None and position == count - 1
        match = f" · found {self.match_place}" if self.hit and self.hit.sample == position else ""
        return f"{position + 1} of {count}{'' if following else ' ◂▸'}{match}"

    def _show_candidates(self) -> None:
        """Those of the token under the cursor or, without a cursor, of each as it is drawn."""
        token, sample = self.browser.token, self.browser.sample
        self.set_class(token is not None, "-tokens")
        growing = sample is not None and token is None and self._grows(sample)
        self.set_class(growing, "-drawing")
        if sample is None:
            return
        if growing and sample.tokens:
            total = sample.start.settings.max_new_tokens
            self.query_one(Candidates).show(sample.tokens[-1], total)
        elif token is not None and token < len(sample.tokens):
            self.query_one(Candidates).show(sample.tokens[token], len(sample.tokens))

    def action_back(self, by: int) -> None:
        if self.browser.token is None:
            self.browser.step(by)
            self.hit = None
        else:
            self.browser.move_token(by)
        self.redraw()

    def action_scroll(self, by: int) -> None:
        """Scroll the sample, or move the token cursor by a line."""
        if self.browser.token is not None:
            assert self.browser.sample is not None
            pane = self.query_one("#shown", SamplePane)
            self.browser.put_token(pane.token_in_row(self.browser.token, by))
            self.redraw()
            return
        pane = self.query_one("#shown", SamplePane)
        pane.scroll_up(animate=False) if by < 0 else pane.scroll_down(animate=False)

    def action_first(self) -> None:
        self.browser.first()
        self.redraw()

    def action_follow(self) -> None:
        self.browser.follow()
        self.redraw()

    def action_compare(self) -> None:
        settings = self.shakegpt.settings
        settings.compare = not settings.compare
        self.shakegpt.keep(settings)
        self.redraw()

    def action_colour(self) -> None:
        settings = self.shakegpt.settings
        settings.probabilities = not settings.probabilities
        self.shakegpt.keep(settings)
        self.redraw()

    def action_tokens(self) -> None:
        if self.browser.token is None:
            self.browser.move_token(1)
        else:
            self.browser.token = None
        self.redraw()

    @on(SamplePane.TokenClicked)
    def _choose_token(self, event: SamplePane.TokenClicked) -> None:
        if event.view is not self.browser.sample:
            self.browser.chosen = self.history.samples.index(event.view)
        self.browser.put_token(event.token)
        self.redraw()

    async def action_search(self) -> None:
        from shakegpt_tui.widgets.search_bar import SearchBar

        bars = self.query(SearchBar)
        if bars:
            bars.first().focus_field()
        else:
            self._search_from = self.browser.chosen
            await self.mount(SearchBar(self.browser.needle), before="FittingFooter")

    def search(self, needle: str) -> None:
        """Look for `needle` in all samples, show the first place from where the search began and
        count; with "" go back there.
        """
        from shakegpt_tui.widgets.search_bar import SearchBar

        self.browser.needle, self.hit = needle, None
        self.browser.chosen, self.browser.token = self._search_from, None
        self._seek(1)
        for bar in self.query(SearchBar):
            bar.say(self.match_place if needle else "")
        self.redraw()

    def action_seek(self, by: int) -> None:
        if not self.browser.needle:
            self.say("nothing searched for yet: press /", problem=True)
            return
        self._seek(by)
        if self.hit is None:
            self.say(f"“{one_line(self.browser.needle, 40)}” is in no sample", problem=True)
        self.redraw()

    def _seek(self, by: int) -> None:
        """Go to a place where the text occurs, and say which of how many it is."""
        self.hit = self.browser.seek(by, self.hit)
        hits = self.browser.hits()
        self.match_place = f"{hits.index(self.hit) + 1} of {len(hits)}" if self.hit else "none"

    def action_messages(self) -> None:
        """Show commands and messages where there is no room for them beside the samples."""
        self.toggle_class("-activity")

    def action_plain(self) -> None:
        """Leave tokens, search and messages; with nothing of these to leave, go back home."""
        reading = self.browser.needle or self.hit or self.browser.token is not None
        if not reading and not self.has_class("-activity"):
            self.shakegpt.open_home("form" if self.never_began() else "runs")
            return
        self.browser.token, self.browser.needle, self.hit = None, "", None
        self.remove_class("-activity")
        self.redraw()

    def action_copy(self) -> None:
        """Send the sample to the clipboard of the terminal, which may or may not take it."""
        if self.browser.sample is not None:
            self.shakegpt.copy(printable(full_text(self.browser.sample)))
            self.say("copied, if the terminal lets it; Y: to a file")

    def action_write(self) -> None:
        """Write the sample to a file: in the run directory or, if that is not ours, here."""
        sample = self.browser.sample
        if sample is None:
            return
        kind = "drawn" if sample.afterwards else "sample"
        number = (self.browser.position or 0) + 1
        name = f"{kind}-{number}-iteration-{sample.start.iteration}.txt"
        data = full_text(sample).encode("utf-8", "replace")
        for file in (self.run / name, self.shakegpt.here / name):
            try:
                file.write_bytes(data)
            except OSError as error:
                problem = f"cannot write {file}: {error.strerror}"
                continue
            self.say(f"written to {file}")
            return
        self.say(problem, problem=True)
