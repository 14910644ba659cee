"""Runs made up for the deck's tests: pocket-sized and Large-shaped, and one that is hostile.

The numbers are synthetic, and so are the verses; only the layout is that of a real run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME
from shakegpt_figures import data
from shakegpt_figures.whole import replace
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

    def write_numbers(self, path: Path) -> None:
        """Write its run.json whole, as `shakegpt figures` does: a server may be reading it."""
        replace(path, data.encoded(data.run_data(self.history, self.log)))


def records(
    name: str = "pocket", text: str = VERSES, prompt: str = "ROMEO:", wall: float = 66.0
) -> list[ev.Event]:
    """A finished run that ends with a sample of this text."""
    run, *body = logs.talk_like(name)
    assert isinstance(run, ev.Run)
    curves = [r for r in body if isinstance(r, ev.Progress | ev.Step | ev.Eval)]
    texts = re.findall(r"\s?\S+|\s", text)
    leads = (0, 12, 18, 24, 30, 36) if name == "gpt2-large" else (2, 4, 6, 1, 0, 3)
    inside = logs.inspection(leads=leads, texts=texts, n_layer=run.model.n_layer)
    sample = [*logs.sample(texts, prompt=prompt), inside, copies(text)]
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


PROSE = """ The morning was grey, and the sea lay still.

"You have not slept," said the keeper of the light, and put his lamp on the sill.

I told him that I had counted ships until there were none, and that one had been late.
"""
EARLIER = " It was said of the king that he had a number of men and the rest of it was in a way of"


def own(where: Path, scratch: bool = False, **how: Any) -> Made:
    """A text of one's own, which is no play, with a sample before and one after training."""
    run, *body = logs.talk_like(run_id="novel", **how)
    assert isinstance(run, ev.Run)
    text = msgspec.structs.replace(
        run.dataset,
        name="my-novel.txt",
        sha256="1" * 64,
        characters=600_000,
        train_tokens=150_000,
        val_tokens=15_000,
        eval_tokens=15_000,
        speakers=(),
    )
    config = {**run.config, "dataset": ["my-novel.txt"]}
    model = run.model
    if scratch:
        config["init_from"] = "scratch"
        model = msgspec.structs.replace(model, name="scratch")
    run = msgspec.structs.replace(run, dataset=text, config=config, model=model)
    curves = [r for r in body if isinstance(r, ev.Progress | ev.Step | ev.Eval)]
    return make(where, [run, *curves, *_before_and_after(EARLIER, PROSE, "The sea"), logs.end(20)])


def _before_and_after(before: str, after: str, prompt: str) -> Iterator[ev.Event]:
    for number, text in enumerate((before, after)):
        texts = re.findall(r"\s?\S+|\s", text)
        yield from logs.sample(texts, prompt=prompt, iteration=20 * number, number=number)
    leads = (2, 3, 6, 1, 0, 3, 4, 5, 2, 1)
    yield logs.inspection(leads=leads, texts=texts, number=1, n_layer=6)
    begin = after.find(" and the ") + 1
    yield ev.Copies(iteration=20, sample=1, passages=((begin, begin + 22, 5, 0),))


def scratch(where: Path) -> Made:
    """As `own`, by a model that had learned nothing before."""
    return own(where, scratch=True, start=8.3, goal=5.1)


def diverged(where: Path) -> Made:
    """The plays at far too high a rate: losses that are no numbers from iteration 5 on."""
    run, *body = logs.talk_like(learning_rate=0.3)
    curves: list[ev.Event] = []
    for record in body:
        if isinstance(record, ev.Eval) and record.iteration >= 5:
            record = msgspec.structs.replace(record, val_loss=None)
        if isinstance(record, ev.Progress | ev.Step) and record.iteration > 4:
            record = msgspec.structs.replace(record, loss=None)
        if isinstance(record, ev.Progress | ev.Step | ev.Eval):
            curves.append(record)
    samples = _before_and_after(EARLIER, " the the the , , the" * 8, "ROMEO:")
    return make(where, [run, *curves, *samples, logs.end(20)])


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
