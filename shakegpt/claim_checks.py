"""The talk's claims, checked against a run: what was said, what the log shows, does it hold?

A verdict is one of four. `holds`: the run shows what the talk says. `differs`: a run with the
talk's settings shows something else. `other settings`: so does this run, but with another model,
text or configuration, of which the talk says nothing. `not measured`: the log has no record to
tell by. Every row names the log lines that it rests on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from shakegpt.config import PRESETS
from shakegpt.history import History
from shakegpt.measures import (
    fall,
    finite_evals,
    largest_rise,
    loss_of,
    micro_losses,
    noise,
    shown_sample,
    upward_share,
    wall_seconds,
)

Verdict = Literal["holds", "differs", "not measured", "other settings"]

N_PARAMS = 774_030_080
"""GPT-2 Large."""
START, BEST, PERCENT = 3.66, 2.86, 22.0
"""Val loss of the talk's run at the start, at its best, and how far that lies below, percent."""
LOSS_TOLERANCE, PERCENT_TOLERANCE = 0.05, 2.0
"""Another seed, device or split of the same text moves the numbers by about so much."""
NOISY, SMOOTH = 0.25, 0.05
"""Part of a curve's movement that goes up: from NOISY on it is noise, up to SMOOTH it is smooth.
Pure noise has one half, a curve that only falls none."""
LINES, LINES_TOLERANCE = 300, 100
"""What `about 300 lines` may mean: a file of 200 to 400."""
CHARACTERS = (900_000, 1_300_000)
"""What `about 1 MB of text` may mean."""
HALF_HOUR = 30 * 60


@dataclass(frozen=True)
class Row:
    """One claim beside the run."""

    claim: str
    shows: str
    records: str
    verdict: Verdict


@dataclass(frozen=True)
class Evidence:
    """A run's history, and where its records stand in the log."""

    history: History
    lines: dict[tuple[str, int], int]
    """(kind of record, iteration or number of the sample) -> line of the log, from 1."""

    def at(self, kind: str, *keys: int) -> str:
        """The records of a kind, with their lines: `eval 0 (line 3), eval 20 (line 900)`."""
        named = [f"{kind} {key}" if kind not in ("run", "end") else kind for key in keys]
        where = [self.lines.get((kind, key)) for key in keys]
        found = zip(named, where, strict=True)
        return ", ".join(f"{name} (line {line})" if line else name for name, line in found)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the run ended with."""
        if self.history.resumes:
            return self.history.resumes[-1].config
        return self.history.run.config if self.history.run else {}

    def talks(self, *names: str) -> bool:
        """Whether these are the talk's: `model`, `text`, or fields of the configuration."""
        return all(self._talks(name) for name in names)

    def _talks(self, name: str) -> bool:
        run = self.history.run
        assert run is not None
        if name == "model":
            return run.model.n_params == N_PARAMS
        if name == "text":
            return CHARACTERS[0] <= run.dataset.characters <= CHARACTERS[1]
        talk = getattr(PRESETS["talk"][1], name)
        told = self.config.get(name)
        return bool(told == talk or (name == "block_size" and told is None))


def check(evidence: Evidence) -> list[Row]:
    """Every claim of the talk beside the run, in the order of the slides."""
    return [
        _model(evidence),
        *_code(),
        _steps(evidence),
        _text(evidence),
        _setting(evidence, "learning_rate", "Learning rate 3e-5", 3e-5),
        _setting(evidence, "batch_size", "Batch size 1", 1),
        *_curves(evidence),
        _noisy(evidence),
        _smooth(evidence),
        _loop(evidence),
        _invents(evidence),
        _laptop(evidence),
    ]


def _verdict(holds: bool, same: bool) -> Verdict:
    """Of a claim that was measured, in a run whose settings are the talk's or not."""
    if holds:
        return "holds"
    return "differs" if same else "other settings"


def _model(seen: Evidence) -> Row:
    run = seen.history.run
    assert run is not None
    shows = f"{run.model.name}, {run.model.n_params:,} parameters"
    # Another model is another setting, never a contradiction.
    verdict = _verdict(run.model.n_params == N_PARAMS, same=False)
    return Row("GPT-2 Large, 774M parameters", shows, seen.at("run", 0), verdict)


def _code() -> Iterator[Row]:
    for what, name in (("model", "model.py"), ("training loop", "finetune.py")):
        claim = f"The {what} is about {LINES} lines"
        source = resources.files("shakegpt").joinpath(name)
        if not source.is_file():
            yield Row(claim, f"shakegpt/{name} is not installed", "", "not measured")
            continue
        count = len(source.read_text("utf-8").splitlines())
        holds = abs(count - LINES) <= LINES_TOLERANCE
        yield Row(claim, f"{count} lines", f"shakegpt/{name}", _verdict(holds, same=True))


def _steps(seen: Evidence) -> Row:
    claim, made = "20 iterations are enough", seen.history.iteration
    told = fall(seen.history)
    if told is None or told.start is told.last:
        return Row(claim, f"{made:,} iterations, no later evaluation", "", "not measured")
    shows = f"val loss {told.percent:.1f}% lower after {told.best.iteration:,} iterations"
    holds = told.improved and told.best.iteration <= 20
    verdict = _verdict(holds, seen.talks("max_iters", "learning_rate", "batch_size"))
    return Row(claim, shows, seen.at("eval", told.start.iteration, told.best.iteration), verdict)


def _text(seen: Evidence) -> Row:
    run = seen.history.run
    assert run is not None
    shows = f"{run.dataset.name}, {run.dataset.characters / 1e6:.2f} million characters"
    verdict = _verdict(seen.talks("text"), same=False)
    return Row("About 1 MB of Shakespeare", shows, seen.at("run", 0), verdict)


def _setting(seen: Evidence, name: str, claim: str, value: float) -> Row:
    told = seen.config.get(name)
    if not isinstance(told, int | float):
        return Row(claim, "not in the log", seen.at("run", 0), "not measured")
    return Row(claim, f"{told:g}", seen.at("run", 0), _verdict(told == value, same=False))


def _curves(seen: Evidence) -> Iterator[Row]:
    claims = (f"Val loss starts at {START}", f"It drops to {BEST}", f"{PERCENT:.0f}% better")
    told = fall(seen.history)
    if told is None:
        for claim in claims:
            yield Row(claim, "no finite evaluation", "", "not measured")
        return
    untouched = told.start.iteration == 0
    start, best = loss_of(told.start), loss_of(told.best)
    at_start = seen.at("eval", told.start.iteration)
    both = seen.at("eval", told.start.iteration, told.best.iteration)
    first = seen.talks("model", "text", "block_size")
    every = first and seen.talks("learning_rate", "batch_size", "gradient_accumulation_steps")
    every = every and seen.talks("max_iters")
    close = abs(start - START) <= LOSS_TOLERANCE
    started = _verdict(close and first, first) if untouched else "not measured"
    yield Row(claims[0], f"{start:.4f}", at_start, started)
    if told.start is told.last:
        yield Row(claims[1], "only one evaluation", at_start, "not measured")
        yield Row(claims[2], "only one evaluation", at_start, "not measured")
        return
    dropped = abs(best - BEST) <= LOSS_TOLERANCE and every
    yield Row(claims[1], f"{best:.4f}", both, _verdict(dropped, every))
    better = abs(told.percent - PERCENT) <= PERCENT_TOLERANCE and told.improved
    yield Row(claims[2], f"{told.percent:.1f}%", both, _verdict(better and every, every))


def _noisy(seen: Evidence) -> Row:
    claim = "Train loss is noisy (batch size 1)"
    losses = micro_losses(seen.history)
    share, spread = upward_share(losses), noise(losses)
    if share is None or spread is None:
        return Row(claim, "too few micro-batches", "", "not measured")
    shows = f"{100 * share:.0f}% of its movement is upward, spread {spread:.3f} nats"
    records = f"{len(seen.history.progress):,} progress records"
    return Row(claim, shows, records, _verdict(share >= NOISY, seen.talks("batch_size")))


def _smooth(seen: Evidence) -> Row:
    claim = "Val loss is smooth"
    evals = finite_evals(seen.history)
    losses = [loss_of(e) for e in evals]
    share, rise = upward_share(losses), largest_rise(losses)
    if share is None or rise is None:
        return Row(claim, f"{len(evals)} evaluations, of 3 at least", "", "not measured")
    shows = f"{100 * share:.0f}% of its movement is upward, largest rise {rise:.3f} nats"
    same = seen.talks("model", "text", "learning_rate", "batch_size", "max_iters")
    records = seen.at("eval", *(e.iteration for e in evals)) if len(evals) < 6 else ""
    records = records or f"{len(evals)} eval records"
    return Row(claim, shows, records, _verdict(share <= SMOOTH, same))


def _loop(seen: Evidence) -> Row:
    claim = "Generation: predict, sample, append, repeat"
    sample = shown_sample(seen.history)
    if sample is None or sample.end is None:
        return Row(claim, "no complete sample", "", "not measured")
    tokens = sample.tokens
    drawn = all(token.probability > 0 and token.candidates for token in tokens)
    whole = sample.text == sample.end.text and len(tokens) == sample.end.tokens
    in_order = [token.index for token in tokens] == list(range(len(tokens)))
    joined = "their texts join to the sample" if whole else "their texts are not the sample"
    shows = f"{len(tokens)} tokens, each drawn from its candidates; {joined}"
    records = seen.at("sample", sample.start.sample)
    return Row(claim, shows, records, _verdict(drawn and whole and in_order, same=True))


_SPEAKER = re.compile(r"(?:\A|\n[ \t]*\n)([A-Z][A-Za-z' .,&-]{0,40}):(?=\s|\Z)([^\n]*)")


def speakers(text: str) -> list[str]:
    r"""Who speaks in a text, each once: a name that opens a speech, alone on its line with a
    colon, or in capitals before the words.

    >>> speakers("ROMEO: You're high.\\n\\nFirst Lord:\\nWhy: so.")
    ['ROMEO', 'First Lord']
    """
    found = _SPEAKER.findall(text)
    return list(dict.fromkeys(n for n, rest in found if not rest.strip() or n.isupper()))


def _invents(seen: Evidence) -> Row:
    claim = "It invents speakers that no play has"
    run, sample = seen.history.run, shown_sample(seen.history)
    assert run is not None
    if sample is None:
        return Row(claim, "no sample", "", "not measured")
    records = seen.at("sample", sample.start.sample)
    if not run.dataset.speakers:
        return Row(claim, "the text names no speakers", seen.at("run", 0), "not measured")
    known = {name.casefold() for name in run.dataset.speakers}
    spoke = speakers(sample.start.prompt + sample.text)
    invented = [name for name in spoke if name.casefold() not in known]
    shows = f"{len(invented)} of {len(spoke)} speakers are in no play of the text"
    if invented:
        shows += ": " + ", ".join(invented[:4]) + (", …" if len(invented) > 4 else "")
    return Row(claim, shows, records, _verdict(bool(invented), seen.talks("model", "text")))


def _laptop(seen: Evidence) -> Row:
    claim = "On a laptop, in 30 minutes"
    run, end = seen.history.run, seen.history.end
    assert run is not None
    seconds = wall_seconds(seen.history)
    spent = f"{seconds / 60:.1f} minutes on {run.device}"
    if end is None:
        return Row(claim, f"{spent} so far, not ended", "", "not measured")
    if end.status != "finished":
        return Row(claim, f"{spent}, then {end.status}", seen.at("end", 0), "not measured")
    own = run.device in ("cpu", "mps")
    holds = seconds <= HALF_HOUR and own
    return Row(claim, spent, seen.at("end", 0), _verdict(holds, seen.talks("model") and own))
