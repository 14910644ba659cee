"""The verb `shakegpt figures`: read a log, draw what was asked for, write the deck's data.

matplotlib is imported when something is drawn, not before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from shakegpt.config import FiguresConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.default_run import named, newest
from shakegpt.runlog.history import History
from shakegpt.runlog.status import standing_now
from shakegpt.sanitize import printable
from shakegpt_figures import data, words
from shakegpt_figures.source import Source
from shakegpt_figures.whole import replace

Content = tuple[Path, bytes]
"""A file to be: where, and what is in it."""
FIGURES = ("training", "architecture", "generation")
DECK = Path("slides")
"""The deck, from the top of a checkout."""


def run(config: FiguresConfig) -> int:
    """Draw once, or with `watch` again after each evaluation and sample until the run ends."""
    pictures, numbers = places(config.out)
    runs = [named(name) for name in config.runs] or [newest(live=config.watch)]
    sources = [Source(path) for path in runs]
    if config.watch:
        from shakegpt_figures.watch import watch

        return watch(sources, config, pictures, numbers)
    histories = [source.checked() for source in sources]
    ready = rendered(config.only, histories, pictures, config.format)
    written = put([*ready, *_numbers(config, sources[0], numbers)])
    for source in sources:
        now = standing_now(source.log.parent, source.history)
        print(printable(f"from {source.log.parent}" + (f" ({now})" if now else "")))
    print("\n".join(printable(str(path)) for path in written))
    return 0


def _numbers(config: FiguresConfig, source: Source, path: Path) -> list[Content]:
    """The deck's data; none beside some figures in a folder of their own, when the log lacks any.

    Raises ShakegptError where a deck would be left with the numbers of another run.
    """
    try:
        return [(path, data.encoded(data.run_data(source.history, source.log)))]
    except ShakegptError as error:
        if config.out is None or set(config.only) == set(FIGURES):
            raise
        print(printable(f"without {path}: {error}"), file=sys.stderr)
        return []


def places(out: str | None) -> tuple[Path, Path]:
    """Where the figures and the deck's data go.

    Raises ShakegptError when neither `out` nor a deck says so.
    """
    if out is not None:
        return Path(out), Path(out) / "run.json"
    if not DECK.is_dir():
        raise ShakegptError(
            f"there is no deck in {Path.cwd()} (no {DECK}/): give a directory with --out, or work "
            "from the top of a checkout"
        )
    return DECK / "public", DECK / "data" / "run.json"


def draw(
    names: Sequence[str], histories: Sequence[History], out: Path, formats: Sequence[str]
) -> list[Path]:
    """Draw all that was named, then write it: a log that lacks something leaves no file behind.

    Raises ShakegptError when a log lacks what a figure needs, or a file cannot be written.
    """
    return put(rendered(names, histories, out, formats))


def rendered(
    names: Sequence[str], histories: Sequence[History], out: Path, formats: Sequence[str]
) -> list[Content]:
    """The figures as files to be. Raises ShakegptError when a log lacks what one needs."""
    from shakegpt_figures.save import render

    ready = []
    for name in names:
        figure = import_module(f"shakegpt_figures.{name}").draw(histories)
        title, desc = said(name, histories)
        for format in formats:
            ready.append((out / f"{name}.{format}", render(figure, format, title, desc)))
    return ready


def put(ready: Sequence[Content]) -> list[Path]:
    """Write what is ready, each file whole. Raises ShakegptError for a place that cannot be."""
    for path, content in ready:
        replace(path, content)
    return [path for path, _ in ready]


def said(name: str, histories: Sequence[History]) -> tuple[str, str]:
    """Title and description of a figure."""
    first = histories[0]
    if name == "architecture":
        model = words.header(first).model
        return words.architecture_title(model), words.architecture_alt(model)
    if name == "generation":
        return words.generation_title(first), words.generation_alt(first, 0, 3)
    if len(histories) == 1:
        return words.training_title(first), words.training_alt(first)
    from shakegpt_figures import comparison

    runs = [f"{words.header(h).run_id}: {words.training_alt(h)}" for h in histories]
    return comparison.title(histories), " ".join(runs)
