"""What the deck takes from recorded samples: lines, speakers, copies, one draw."""

from __future__ import annotations

from shakegpt.data.speakers import invented
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt_figures import words
from shakegpt_figures.excerpt import clean, columns, excerpt, speakers
from shakegpt_figures.numbers import count, listing
from shakegpt_figures.rundata import DrawInfo, Number, SampleInfo, whole

MOST_SAMPLES, MOST_BARS = 9, 5
"""Of samples to choose from, and of candidates of a draw."""
BAR_COLUMNS = 8
END_OF_TEXT = "<|endoftext|>"


def shown_text(sample: SampleView) -> str:
    """Prompt and sample up to the end of the text, without the bytes of an unfinished character."""
    return (sample.start.prompt + sample.text).partition(END_OF_TEXT)[0].rstrip("\ufffd")


def copied(sample: SampleView) -> tuple[tuple[int, int], ...]:
    """Begin and end of each recorded passage of the training text, in `shown_text`."""
    before = len(sample.start.prompt)
    passages = sample.copies.passages if sample.copies is not None else ()
    return tuple((before + begin, before + end) for begin, end, _, _ in passages)


def longest_copy(copies: ev.Copies) -> Number:
    """Words of the longest passage, as `6 words`."""
    return Number(copies.longest, count(copies.longest, "word"))


def info(sample: SampleView, dataset: ev.Dataset) -> SampleInfo:
    """A sample as the deck shows it."""
    lines, cut = excerpt(shown_text(sample), marks=copied(sample))
    shown = speakers(lines)
    new = invented(shown, dataset.speakers) if dataset.speakers else []
    return SampleInfo(
        prompt=clean(sample.start.prompt),
        lines=lines,
        cut=cut,
        iteration=whole(sample.start.iteration),
        tokens=whole(len(sample.tokens)),
        speakers=whole(len(shown)),
        invented=listing(new),
        invented_names=tuple(new),
        invented_count=whole(len(new)),
        known=listing([name for name in shown if name not in new]),
        longest_copy=None if sample.copies is None else longest_copy(sample.copies),
    )


def same_prompt(history: History, shown: SampleView, dataset: ev.Dataset) -> tuple[SampleInfo, ...]:
    """The samples of the run's own prompt that can be set beside the shown one, by iteration."""
    same = {
        s.start.iteration: s
        for s in history.samples
        if s.tokens and s.start.prompt == shown.start.prompt and (s.complete or s is shown)
    }
    kept = sorted(same)
    step = -(-len(kept) // MOST_SAMPLES) or 1
    return tuple(info(same[iteration], dataset) for iteration in kept[::-step][::-1])


def draw(sample: SampleView) -> DrawInfo | None:
    """The first draw at which the model was unsure; None without candidates."""
    first = words.first_unsure(sample)
    token = sample.tokens[first]
    if not token.candidates:
        return None
    before = sample.start.prompt + "".join(t.text for t in sample.tokens[:first])
    bytewise = words.bytewise(sample)
    ids = [candidate.id for candidate in token.candidates[:MOST_BARS]]
    return DrawInfo(
        context=clean(before)[-40:],
        candidates=tuple(
            (_short(words.named(c.id, c.text, bytewise)), c.raw)
            for c in token.candidates[:MOST_BARS]
        ),
        drawn=ids.index(token.id) if token.id in ids else None,
        temperature=sample.start.settings.temperature,
    )


def _short(text: str) -> str:
    """A token as fits before a bar of the slide: quoted, cut to `BAR_COLUMNS` letters' width."""
    fits = [end for end in range(len(text) + 1) if columns(text[:end]) <= BAR_COLUMNS]
    return words.visible(text if len(text) == fits[-1] else text[: fits[-1]] + "…")
