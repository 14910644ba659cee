"""A sample as styled text: prompt apart from what the model wrote, tokens clickable.

The text is a model's: it is made printable and carries no markup. Every style is a variable of
the theme plus an attribute, so that the probability levels stay apart without colour too.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content, Span
from textual.style import Style

from shakegpt.runlog.history import SampleView
from shakegpt.sanitize import printable
from shakegpt_tui.run.browse import full_text, occurrences

LEVELS: tuple[tuple[float, str, str], ...] = (
    (0.6, "≥60%", "dim $foreground"),
    (0.3, "≥30%", "$foreground"),
    (0.1, "≥10%", "italic $warm on $warm-ground"),
    (0.02, "≥2%", "bold $warm on $warmer-ground"),
    (0.0, "<2%", "bold italic $hot on $hot-ground"),
)
"""(from which probability, legend, style): what was sure recedes, the less likely the hotter.
Underlined is what was copied."""
CARET = "▌"
"""At the end of a text that is still being drawn."""

MOST_CLICKABLE = 5000
"""Tokens beyond this carry no click target in plain colours: spans cost time at each repaint."""


@dataclass(frozen=True)
class Look:
    """How a sample is to be shown."""

    probabilities: bool = False
    token: int | None = None
    needle: str = ""
    hit: int | None = None
    """Offset of the occurrence of `needle` that the search is at."""
    caret: bool = False
    """Whether a caret at the end says that more comes."""


def style_of(probability: float) -> str:
    """The style of a token that was drawn with `probability`."""
    return next((style for least, _, style in LEVELS if probability >= least), LEVELS[-1][2])


def styled(view: SampleView, look: Look) -> Content:
    """The whole sample: prompt, tokens, cursor, search hits."""
    after = len(view.start.prompt)
    spans = [Span(0, after, "bold $accent")]
    spans += _token_spans(view, look)
    passages = view.copies.passages if view.copies else ()
    spans += [Span(after + begin, after + end, "underline") for begin, end, _, _ in passages]
    text = full_text(view)
    if look.needle:
        width = len(look.needle)
        for at in occurrences(text, look.needle.casefold()):
            here = at == look.hit
            spans.append(Span(at, at + width, "bold reverse $warning" if here else "bold reverse"))
    shown = printable(text)
    if look.caret:
        spans.append(Span(len(shown), len(shown) + 1, "bold $accent"))
        shown += CARET
    return Content(shown, spans)


def _token_spans(view: SampleView, look: Look) -> list[Span]:
    start, spans = len(view.start.prompt), []
    targets = look.probabilities or len(view.tokens) <= MOST_CLICKABLE
    for index, token in enumerate(view.tokens):
        end = start + len(token.text)
        if look.probabilities and end > start:
            spans.append(Span(start, end, style_of(token.probability)))
        if targets and end > start:
            spans.append(Span(start, end, Style.from_meta({"token": index})))
        if index == look.token and end > start:
            spans.append(Span(start, end, "reverse"))
        start = end
    return spans


def token_offset(view: SampleView, index: int) -> int:
    """Where token `index` begins in the full text."""
    return len(view.start.prompt) + sum(len(token.text) for token in view.tokens[:index])


def legend() -> Content:
    """What the probability styles mean."""
    return Content(" ").join(Content.styled(name, style) for _, name, style in LEVELS)
