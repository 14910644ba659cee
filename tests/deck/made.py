"""Runs made up for the deck's tests: pocket-sized and Large-shaped, and one that is hostile.

The numbers are synthetic, and so are the verses; only the layout is that of a real run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME
from tests.figures import logs

VERSES = """
Thou hast the morning in thy sleeve, good friend,
And I the evening; let us trade them soon.

MARGOLIUS:
What says the duke?

JULIET:
He says that all the clocks of Mantua
Are set by guesses, and the guesses fail.

FENWICK:
Then let us go by candle and by bell,
And count the hours on the watchman's teeth.
I never knew a man so
"""
COPIED = "I the evening; let us trade"
"""Words of `VERSES` that stand in the text, as the run has it."""
HOSTILE = (
    """
<script>document.title = 'taken'</script>{{ 7 * 6 }} <b>bold</b> ${x} </p>

SIGNOR <IMG SRC=x onerror=alert(1)>:
שלום \u202egnp.exe 漢字仮名交じり文のとても長い行がここにあります {{ run.value }}

ANTHROPOPHAGUS OF THE FAR SIDE OF THE SEA:
"""
    + "Supercalifragilistic" * 30
)


@dataclass(frozen=True)
class Made:
    """A run directory, and what its log says."""

    run: Path
    history: History

    @property
    def log(self) -> Path:
        return self.run / LOG_NAME


def records(
    name: str = "pocket", text: str = VERSES, prompt: str = "ROMEO:", wall: float = 66.0
) -> list[ev.Event]:
    """A finished run that ends with a sample of this text."""
    run, *body = logs.talk_like(name)
    curves = [r for r in body if isinstance(r, ev.Progress | ev.Step | ev.Eval)]
    texts = re.findall(r"\s?\S+|\s", text)
    sample = [*logs.sample(texts, prompt=prompt), logs.inspection(texts=texts), copies(text)]
    return [run, *curves, *sample, logs.end(20, wall)]


def copies(text: str) -> ev.Copies:
    """The record that finds `COPIED` in a sample's text."""
    begin = text.find(COPIED)
    passage = (begin, begin + len(COPIED), len(COPIED.split()), 1000)
    return ev.Copies(iteration=20, sample=0, passages=(passage,) if begin >= 0 else ())


def make(where: Path, events: Sequence[ev.Event]) -> Made:
    """The records as a run directory, written by the real writer."""
    return Made(logs.write(events, where), logs.history(events))


def pocket(where: Path) -> Made:
    """As the run that ships: a small model, a minute on a CPU."""
    return make(where, records())


def large(where: Path) -> Made:
    """As the talk's own run: GPT-2 Large, half an hour."""
    return make(where, records("gpt2-large", wall=1860.0))


def running(where: Path) -> Made:
    """Half way: two samples recorded, no end."""
    done = [e for e in records() if not isinstance(e, ev.End)]
    begun = [e for e in done if getattr(e, "iteration", 0) <= 10]
    return make(where, [*begun, *logs.sample(iteration=10, number=1)])


def begun(where: Path) -> Made:
    """One evaluation and a sample, no update: the least that the deck can show."""
    return make(where, [logs.header(), *logs.curve([], {0: 4.2}), *logs.sample(iteration=0)])


def worse(where: Path) -> Made:
    """A run that forgot instead of learning."""
    body = logs.curve([[3.0, 3.1]] * 2, {0: 3.0, 1: 3.2, 2: 3.3})
    return make(where, [logs.header(), *body, *logs.sample(iteration=2), logs.end(2)])


def brimful(where: Path) -> Made:
    """As many and as wide lines as fit, under long names."""
    wide = "LOUD MUMMERS SWARM WHOLESOME MAMMON WEST"
    names = ("BARTHOLOMEO OF UPPER MANTUA", "FERDINANDO OF LOWER PADUA")
    speeches = "".join(f"\n\n{name}:\n{wide}" for name in names)
    return make(where, records(text=f"\n{wide}\n{wide}{speeches}"))


def hostile(where: Path) -> Made:
    """Markup, mustaches, wide and right-to-left characters, and a word without an end."""
    return make(where, records(text=HOSTILE, prompt="{{ 6 * 7 }}<i>"))
