"""Which sample is looked at, which of its tokens, and where a searched text occurs. No widgets."""

from __future__ import annotations

from dataclasses import dataclass

from shakegpt.runlog.history import History, SampleView


@dataclass(frozen=True)
class Hit:
    """A place where the searched text occurs: sample by position, offset into `full_text`."""

    sample: int
    offset: int


def full_text(view: SampleView) -> str:
    """Prompt and continuation, as a reader sees them."""
    return view.start.prompt + view.text


@dataclass
class Browser:
    """A reader's place among the samples of a run."""

    history: History
    chosen: int | None = None
    """Position of the sample looked at; None follows the latest."""
    token: int | None = None
    """Which token of it the cursor is on; None: no cursor."""
    needle: str = ""

    @property
    def position(self) -> int | None:
        """Position of the sample on screen; None while there is none."""
        last = len(self.history.samples) - 1
        if last < 0:
            return None
        return last if self.chosen is None else min(self.chosen, last)

    @property
    def sample(self) -> SampleView | None:
        """The sample on screen."""
        return None if self.position is None else self.history.samples[self.position]

    def step(self, by: int) -> None:
        """Go `by` samples on (or back); going past the latest follows it again."""
        if self.position is None:
            return
        target = max(0, self.position + by)
        self.token = None
        self.chosen = target if target < len(self.history.samples) - 1 else None

    def first(self) -> None:
        """Go to the first sample."""
        self.chosen, self.token = 0, None

    def follow(self) -> None:
        """Go to the latest sample and stay with it."""
        self.chosen, self.token = None, None

    def partner(self) -> SampleView | None:
        """What the sample on screen is best compared with; None when there is no other sample.

        The first one with the same prompt and settings, seed included, or the last such one; else
        the first one with the same prompt. Where that is the one on screen: the run's first or,
        beside that, its latest.
        """
        shown, samples = self.sample, self.history.samples
        if shown is None:
            return None
        alike = [s for s in samples if s.start.prompt == shown.start.prompt]
        twins = [s for s in alike if s.start.settings == shown.start.settings]
        choices = (twins[0], twins[-1], alike[0], samples[0], samples[-1])
        others = (s for s in choices if s is not shown)
        return next(others, None)

    def move_token(self, by: int) -> None:
        """Move the cursor `by` tokens within the sample; it starts at the first or last token."""
        count = len(self.sample.tokens) if self.sample else 0
        if not count:
            self.token = None
            return
        start = -1 if by > 0 else count
        place = (start if self.token is None else self.token) + by
        self.token = max(0, min(count - 1, place))
        if self.chosen is None:
            self.chosen = self.position  # a cursor holds the sample still while others come

    def put_token(self, token: int) -> None:
        """Put the cursor on one token."""
        self.token = None
        self.move_token(token + 1)

    def hits(self) -> list[Hit]:
        """Every place where the searched text occurs, case aside, in the order of the run."""
        needle = self.needle.casefold()
        if not needle:
            return []
        return [
            Hit(position, offset)
            for position, view in enumerate(self.history.samples)
            for offset in occurrences(full_text(view), needle)
        ]

    def seek(self, by: int, at: Hit | None) -> Hit | None:
        """The next hit (by=1) or the one before (-1) from `at`, round the end; shows its sample.

        Without `at` the search begins at the sample on screen.
        """
        hits = self.hits()
        if not hits:
            return None
        if at in hits:
            hit = hits[(hits.index(at) + by) % len(hits)]
        else:
            here = self.position or 0
            hit = next((h for h in hits if h.sample >= here), hits[0])
        self.chosen, self.token = hit.sample, None
        return hit


def occurrences(text: str, needle: str) -> list[int]:
    """Offsets of `needle` (casefolded) in `text`, without overlap.

    >>> occurrences("To be, or not to be", "to be")
    [0, 14]
    """
    folded, offsets, at = text.lower(), [], 0
    if len(folded) != len(text):  # a character that grows: then only its own case is found
        folded = text
    while (at := folded.find(needle, at)) >= 0:
        offsets.append(at)
        at += len(needle)
    return offsets
