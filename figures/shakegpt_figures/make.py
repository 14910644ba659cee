"""The command `shakegpt figures`: read a log, draw the figures, write the deck's data.

Figures and data in one folder are always those of one run: what another run left there is drawn
again. matplotlib is imported when something is drawn, not before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from shakegpt.config import FiguresConfig
from shakegpt.config.commands import Figure
from shakegpt.errors import ShakegptError
from shakegpt.runlog.default_run import named, newest, recorded
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import featured_sample, finite_evals, loss_of
from shakegpt.runlog.status import current_state_text
from shakegpt.sanitize import printable
from shakegpt_figures import data, inside_words, words
from shakegpt_figures.numbers import count
from shakegpt_figures.source import Source
from shakegpt_figures.whole import replace

Content = tuple[Path, bytes]
"""A file to write: its path and its bytes."""


class Look(NamedTuple):
    """How figures are painted."""

    theme: Literal["dark", "light"] = "dark"
    transparent: bool = False


DECK_LOOK = Look()
FIGURES = get_args(Figure)
OPTIONAL: dict[str, Callable[[History], object]] = {
    "samples": words.samples,
    "inside": inside_words.inspected,
}
"""Figures that a log may have no records for: a deck is whole without them. What each needs."""
DECKS = (Path("slides"), Path())
"""Where a deck may be: in a checkout's folder, or in the one that `shakegpt deck` laid out."""


def run(config: FiguresConfig) -> int:
    """Draw once what `config` names. Returns the exit code; `watch.watch` draws again and again."""
    runs = [named(name) for name in config.runs] or [newest()]
    sources = [Source(path) for path in runs]
    for source in sources:
        source.checked()
    sources = best_first(sources)
    out, numbers = places(config, sources[0])
    written = put(files(config, sources, out, numbers))
    for source in sources:
        now = current_state_text(source.log.parent, source.history)
        print(printable(f"from {source.log.parent}" + (f" ({now})" if now else "")))
    print("\n".join(printable(str(path)) for path in written))
    if lack := lacking_glyphs(sources[0].history):
        print(
            printable(
                f"no installed font has {count(len(lack), 'character')} of this run's samples "
                f"({lack[:20]}): they are drawn as escapes; install a font for that script, such "
                "as Noto Sans CJK"
            ),
            file=sys.stderr,
        )
    return 0


def files(
    config: FiguresConfig, sources: Sequence[Source], out: Path, numbers: Path | None
) -> list[Content]:
    """All that is to be written, those figures included that another run left in `out`.

    Raises ShakegptError when a log lacks what one of them needs.
    """
    histories = [source.history for source in sources]
    digests = [data.sha256(source.log) for source in sources]
    look = Look(config.theme, config.transparent)
    names: list[str] = list(config.only)
    if set(names) == set(FIGURES):  # not named one by one: what the log lacks is no error
        names = [name for name in names if possible(name, histories[0])]
    ready = rendered(names, histories, out, config.format, digests, look)
    if numbers is None:
        return ready
    drawn = {path for path, _ in ready}
    stale = [name for name in stale_figures(out, digests[0]) if out / f"{name}.svg" not in drawn]
    for name in [name for name in stale if not possible(name, histories[0])]:
        stale.remove(name)
        (out / f"{name}.svg").unlink()
    if stale:
        ready += rendered(stale, histories, out, ["svg"], digests)
        print(printable(f"drawn again in {out}, from another log: {', '.join(stale)}"))
    try:
        deck_data = data.run_data(histories[0], sources[0].log, digests[0])
    except ShakegptError as error:
        complete = set(config.only) == set(FIGURES)
        if complete or numbers.exists() or is_deck(numbers.parent.parent):
            raise
        print(printable(f"without {numbers}: {error}"), file=sys.stderr)
        return ready
    return [*ready, (numbers, data.encoded(deck_data))]


def lacking_glyphs(history: History) -> str:
    """The characters of what the figures show of the samples that no installed font has."""
    from shakegpt_figures.glyphs import lacking

    said = [words.header(history).dataset.name]
    for sample in filter(None, [featured_sample(history), *(words.samples(history) or ())]):
        said += [sample.start.prompt, sample.text]
        said += [c.text for token in sample.tokens for c in token.candidates]
    return lacking("".join(said).replace("\ufffd", ""))


def possible(name: str, history: History) -> bool:
    """Whether the log has the records that an optional figure needs; True for the others."""
    return name not in OPTIONAL or OPTIONAL[name](history) is not None


def stale_figures(out: Path, digest: str) -> list[str]:
    """The figures in `out` that were not drawn from the log with this sha256."""
    from shakegpt_figures.save import digests_of

    there = [name for name in FIGURES if (out / f"{name}.svg").exists()]
    return [name for name in there if digests_of(out / f"{name}.svg")[:1] != [digest]]


def is_deck(folder: Path) -> bool:
    """Whether a deck's slides are in `folder`."""
    return (folder / "slides.md").is_file()


def places(config: FiguresConfig, source: Source | None) -> tuple[Path, Path | None]:
    """Where the figures and the deck's data go: --out, the deck, or beside the run.

    What is not for the deck's slides, such as a PDF or light figures, never goes into a deck.
    """
    if config.out is not None:
        return Path(config.out), Path(config.out) / "run.json"
    deck = next(filter(is_deck, DECKS), None)
    fits = "svg" in config.format and Look(config.theme, config.transparent) == DECK_LOOK
    if deck is not None and fits:
        return deck / "public", deck / "data" / "run.json"
    run = source.log.parent if source else recorded()
    beside = (Path("runs") / "recorded" if run == recorded() else run) / "figures"
    return beside, beside / "run.json"


def best_first(sources: Sequence[Source]) -> list[Source]:
    """The run with the lowest val loss first: the deck is about it.

    Raises ShakegptError for runs that do not compare.
    """
    if len(sources) > 1:
        from shakegpt_figures.compare import unit

        unit([source.history for source in sources])

    def lowest(source: Source) -> float:
        losses = map(loss_of, finite_evals(source.history))
        return min((data.bits(source.history, loss) for loss in losses), default=1e400)

    return sorted(sources, key=lowest)


def rendered(
    names: Sequence[str],
    histories: Sequence[History],
    out: Path,
    formats: Sequence[str],
    digests: Sequence[str],
    look: Look = DECK_LOOK,
) -> list[Content]:
    """The figures as files to be. Raises ShakegptError when a log lacks what one needs."""
    from shakegpt_figures.save import render

    ready = []
    for name in names:
        logs = digests if name == "training" else digests[:1]
        for format in formats:
            figure = import_module(f"shakegpt_figures.{name}").draw(histories)
            title, desc = description(name, histories)
            content = render(figure, format, title, desc, logs, *look)
            ready.append((out / f"{name}.{format}", content))
    return ready


def put(ready: Sequence[Content]) -> list[Path]:
    """Write what is ready, each file whole. Raises ShakegptError for a place that cannot be."""
    for path, content in ready:
        replace(path, content)
    return [path for path, _ in ready]


def description(name: str, histories: Sequence[History]) -> tuple[str, str]:
    """Title and description of a figure, in words."""
    first = histories[0]
    if name == "architecture":
        model = words.header(first).model
        return words.architecture_title(model), words.architecture_alt(model)
    if name == "samples":
        pair = words.samples(first)
        return words.samples_title(pair) if pair else "Samples", words.samples_alt(first)
    if name == "inside":
        return inside_words.title(inside_words.record_of(first)), inside_words.alt(first)
    if name == "generation":
        return words.GENERATION_TITLE, words.generation_alt(first)
    if len(histories) == 1:
        return words.training_title(first), words.training_alt(first)
    from shakegpt_figures import compare

    runs = [f"{words.header(h).run_id}: {words.training_alt(h)}" for h in histories]
    return compare.title(histories), " ".join(runs)
