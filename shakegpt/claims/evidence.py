"""The evidence for a claim: a run's history, the lines of its log, its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shakegpt.config.presets import PRESETS
from shakegpt.data.tinyshakespeare import SHA256 as TINYSHAKESPEARE_SHA256
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History

Verdict = Literal["holds", "differs", "not measured", "other settings", "measured", "not recorded"]
BEYOND = ("measured", "not recorded")
"""Verdicts of rows that are no claims of the talk."""

N_PARAMS = 774_030_080
"""GPT-2 Large."""
LAPTOP_DEVICES = ("cpu", "mps")
"""Devices of a laptop, though a log does not say whether it was one."""


@dataclass(frozen=True)
class Row:
    """One claim beside the run."""

    verdict: Verdict
    slide: int | None
    """Number in the talk; with the deck's rows, in the deck. None for rows that are no claims."""
    claim: str
    shows: str
    records: str
    others: tuple[str, ...] = ()
    """Settings that differ from the talk's, so that the run cannot contradict the claim."""


@dataclass(frozen=True)
class Evidence:
    """The history of a run that has a header, and the lines of its log."""

    history: History
    lines: dict[tuple[str, int], int]
    """(kind of record, iteration or number of the sample) -> line of the log, from 1."""

    @property
    def run(self) -> ev.Run:
        """The log's header."""
        assert self.history.run is not None
        return self.history.run

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the run ended with."""
        return self.history.resumes[-1].config if self.history.resumes else self.run.config

    def at(self, kind: str, *keys: int) -> str:
        """The records of a kind, with their lines: `eval 0 (line 3), eval 20 (line 900)`."""
        names = [f"{kind} {key}" if kind not in ("run", "end") else kind for key in keys]
        lines = [self.lines.get((kind, key)) for key in keys]
        records = zip(names, lines, strict=True)
        return ", ".join(f"{name} (line {line})" if line else name for name, line in records)

    def others(self, *names: str) -> list[str]:
        """Those of `model`, `text`, `device` and fields of the configuration that differ from the
        talk's, as words. A run that differs in one of them cannot contradict the talk.
        """
        return [name.replace("_", " ") for name in names if not self._equals_talk(name)]

    def _equals_talk(self, name: str) -> bool:
        if name == "model":
            pretrained = self.config.get("init_from") != "scratch"
            return self.run.model.n_params == N_PARAMS and pretrained
        if name == "text":
            return self.run.dataset.sha256 == TINYSHAKESPEARE_SHA256
        if name == "device":
            return self.run.device in LAPTOP_DEVICES
        talk, value = getattr(PRESETS["talk"].config, name), self.config.get(name)
        # None: the model's own block size, as in the talk
        return bool(value == talk or (name == "block_size" and value is None))
