"""`shakegpt claims --deck`: is what stands on the slides what the log gives?

Per slide: the numbers and sentences of run.json that it shows, its figure, its lines of code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shakegpt.errors import ShakegptError
from shakegpt.runlog.default_run import recorded
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.runs import RUNS, find_runs
from shakegpt_figures import data
from shakegpt_figures.make import DECKS, is_deck
from shakegpt_figures.save import digests_of

Finding = tuple[int, str, str, str, bool]
"""Slide, what it shows, how that compares with the log, its file, whether it is right."""
_MATTER = re.compile(r"(?m)^---\n((?:[a-zA-Z]+:.*\n(?:  .*\n)*)+)---$|^---$")
_WHEN = re.compile(r"(?m)^when: (\S+)$")
_KEYS = re.compile(r'(?m)\sk="([\w.]+)"|^alt: ([\w.]+)')
_CODE = re.compile(r"(?m)^<<< (\S+)#(\w+) \w+ \{([^}]*)\}")
_MENTIONED = 3
"""Wrong values of a slide that are named; more are counted."""
COMPONENTS = {
    "Headline": ["story.title"],
    "Subtitle": ["story.subtitle"],
    "Samples": ["samples", "sample.lines", "sample.longest_copy"],
    "Temperature": ["draw"],
    "Curve": ["curves.val", "curves.train"],
}
"""What components show without a key."""


@dataclass(frozen=True)
class Deck:
    """A folder with slides.md, data/run.json and public/*.svg."""

    folder: Path

    @classmethod
    def here(cls) -> Deck:
        """The deck of this directory. Raises ShakegptError when there is none."""
        folder = next(filter(is_deck, DECKS), None)
        if folder is None:
            raise ShakegptError(
                f"no deck in {Path.cwd()}: change to a directory that has slides/slides.md, "
                "or lay one out with `shakegpt deck DIR`"
            )
        return cls(folder)

    @property
    def numbers(self) -> Path:
        """The deck's data."""
        return self.folder / "data" / "run.json"

    def log(self) -> Path | None:
        """The log whose sha256 the deck's data name; None when no run here has it."""
        digest = data.read(self.numbers).run.log_sha256
        runs = [*(run.path for run in find_runs(RUNS)), recorded()]
        logs = [path / LOG_NAME for path in runs if (path / LOG_NAME).is_file()]
        return next((log for log in logs if data.sha256(log) == digest), None)

    def rows(self, history: History, log: Path) -> list[Finding]:
        """Each slide's contents against the log."""
        shown = msgspec.to_builtins(data.read(self.numbers))
        right = msgspec.to_builtins(data.run_data(history, log))
        digest = data.sha256(log)
        same = shown["run"]["log_sha256"] == digest
        source = f"run {shown['run']['id']}, log {shown['run']['log_short']}"
        source += "" if same else f"; this log is {digest[:8]}"
        rows: list[Finding] = [(1, "The slides’ run", source, str(self.numbers), same)]
        for number, (matter, text) in enumerate(self._slides(shown), 1):
            if finding := _values(number, _keys(matter + text), shown, right, str(self.numbers)):
                rows.append(finding)
            if image := re.search(r"(?m)^image: /(\S+)", matter):
                rows.append(self._figure(number, image[1], digest))
            rows += [self._code(number, *code) for code in _CODE.findall(text)]
        return rows

    def number(self, slide: int | None) -> int | None:
        """The deck's slide with what a slide of the talk says; None: the deck's slide about the
        inside of the model, None when it has none.
        """
        slides = self._slides(msgspec.to_builtins(data.read(self.numbers)))
        extra = [n for n, (matter, _) in enumerate(slides, 1) if _WHEN.search(matter)]
        if slide is None:
            return extra[0] if extra else None
        for number in extra:
            slide += number <= slide
        return slide

    def _slides(self, shown: dict[str, Any]) -> list[tuple[str, str]]:
        """Front matter and text of each slide that this run has."""
        deck = (self.folder / "slides.md").read_text("utf-8")
        parts = [(m.start(), m.end(), m[1] or "") for m in _MATTER.finditer(deck)]
        ends = [start for start, _, _ in parts[1:]] + [len(deck)]
        every = [
            (matter, deck[end:stop]) for (_, end, matter), stop in zip(parts, ends, strict=True)
        ]
        return [
            (matter, text)
            for matter, text in every
            if (when := _WHEN.search(matter)) is None or at(shown, when[1])
        ]

    def _figure(self, slide: int, name: str, digest: str) -> Finding:
        path = self.folder / "public" / name
        digests, what = digests_of(path), f"Figure {name}"
        if not digests:
            return slide, what, "missing, or names no log", str(path), False
        return slide, what, f"drawn from log {digests[0][:8]}", str(path), digests[0] == digest

    def _code(self, slide: int, file: str, region: str, steps: str) -> Finding:
        what, path = f"Code {Path(file).name}#{region}", self.folder / file
        source = path.read_text("utf-8") if path.is_file() else ""
        lines = re.search(rf"(?ms)^ *# region {region}\n(.*?)^ *# endregion {region}$", source)
        if lines is None:
            return slide, what, "no such lines in the file", str(path), False
        count = len(lines[1].splitlines())
        last = max((int(n) for n in re.findall(r"\d+", steps)), default=0)
        shows = f"{count} lines, cut out of the file when the deck is built"
        if last > count:
            shows = f"steps light line {last}, and there are {count}"
        return slide, what, shows, str(path), last <= count


def _keys(slide: str) -> list[str]:
    """The keys of run.json that a slide shows."""
    keys = [key or alt for key, alt in _KEYS.findall(slide)]
    for component, shown in COMPONENTS.items():
        keys += shown if f"<{component} " in slide else []
    return list(dict.fromkeys(keys))


def _values(
    slide: int, keys: list[str], shown: dict[str, Any], right: dict[str, Any], where: str
) -> Finding | None:
    """The values of a slide: those of a sentence's placeholders are its own."""
    every = keys[:]
    for key in keys:
        text = at(shown, key)
        if key.startswith("story.") and isinstance(text, str):
            every += re.findall(r"\{([\w.]+)\}", text)
    every = list(dict.fromkeys(every))
    if not every:
        return None
    wrong = [key for key in every if at(shown, key) != at(right, key)]
    what = f"{len(every)} numbers and sentences" if len(every) > 1 else "1 number or sentence"
    if not wrong:
        return slide, what, "as the log gives them", where, True
    named = [f"{key} is {_text(shown, key)}, the log gives {_text(right, key)}" for key in wrong]
    more = f"; {len(wrong) - _MENTIONED} more" if len(wrong) > _MENTIONED else ""
    return slide, what, "; ".join(named[:_MENTIONED]) + more, where, False


def at(run: dict[str, Any], key: str) -> Any:
    """What stands at a dotted path of run.json; None for nothing."""
    place: Any = run
    for name in key.split("."):
        if isinstance(place, list | tuple):
            place = place[int(name)] if name.isdigit() and int(name) < len(place) else None
        else:
            place = place.get(name) if isinstance(place, dict) else None
    return place


def _text(run: dict[str, Any], key: str) -> str:
    value = at(run, key)
    text = value.get("text") if isinstance(value, dict) else value
    return repr(text)[:80]
