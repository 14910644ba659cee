"""The talk's claims, checked against a run's log.

A claim has one of four verdicts. `holds`: the run shows what the talk says. `differs`: a run with
the talk's settings shows something else. `other settings`: the run shows something else, but with
another model, text or configuration (named in the row), about which the talk claims nothing. `not
measured`: the log has no record of it, or not yet. Every row names the lines of the log it is
based on.

Two rows answer questions that the talk leaves open, from the `inspection` record of the featured
sample, or the last one that has it. They are `measured` or `not recorded`, and no claim.

The talk's run made 20 iterations. A run that made more is judged by its first 20.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from shakegpt.claims.evidence import N_PARAMS, Evidence, Row, Verdict
from shakegpt.data.speakers import invented, speakers
from shakegpt.format import counted, listing, rate
from shakegpt.inspection.measures import mean_decision, share_of_last
from shakegpt.runlog.metrics import (
    Fall,
    featured_sample,
    finite_evals,
    largest_rise,
    loss_of,
    micro_losses,
    noise,
    upward_share,
    wall_seconds,
)

ITERATIONS = 20
"""Iterations of the talk's run."""
ENOUGH = 10.0
"""Fall of val loss in percent for `enough`: about half the talk's 22."""
START, BEST, PERCENT = 3.66, 2.86, 22.0
"""Val loss of the talk's run at the start, at its best, and how far that lies below, percent."""
LOSS_TOLERANCE, PERCENT_TOLERANCE = 0.05, 2.0
"""Differences that another seed, device or split of the same text makes."""
NOISY, SMOOTH = 0.25, 0.05
"""Upward share of a curve's movement from which it is noisy, and up to which it is smooth. It is
one half for pure noise, and zero for a curve that only falls."""
LINES, LINES_TOLERANCE = 300, 100
"""`About 300 lines`: at most 400."""
HALF_HOUR = 30 * 60
RECENT = 5
"""Tokens that count as the last ones."""


def check(seen: Evidence) -> list[Row]:
    """A row for every claim of the talk, in the order of the slides."""
    return [
        _model(seen),
        _steps(seen),
        *_code(),
        _text(seen),
        _learning_rate(seen),
        _batch_size(seen),
        _start(seen),
        *_fall(seen),
        _noisy(seen),
        _smooth(seen),
        _loop(seen),
        _invents(seen),
        _laptop(seen),
        *_inside(seen),
    ]


def _row(slide: int, claim: str, shows: str, records: str, holds: bool, others: list[str]) -> Row:
    """A measured claim, in a run with the talk's settings except `others`."""
    if holds:
        return Row("holds", slide, claim, shows, records)
    verdict: Verdict = "other settings" if others else "differs"
    return Row(verdict, slide, claim, shows, records, tuple(dict.fromkeys(others)))


def _unmeasured(slide: int, claim: str, why: str, records: str = "") -> Row:
    return Row("not measured", slide, claim, why, records)


def _model(seen: Evidence) -> Row:
    model = seen.run.model
    shows = f"{model.name}, {model.n_params:,} parameters"
    holds = model.n_params == N_PARAMS
    return _row(2, "GPT-2 Large, 774M parameters", shows, seen.at("run", 0), holds, ["model"])


def _code() -> Iterator[Row]:
    for what, name in (("model", "model.py"), ("training loop", "finetune.py")):
        claim = f"The {what} is about {LINES} lines, or fewer"
        source = resources.files("shakegpt").joinpath(name)
        if not source.is_file():
            yield _unmeasured(4, claim, f"shakegpt/{name} is not installed")
            continue
        count = len(source.read_text("utf-8").splitlines())
        holds = count <= LINES + LINES_TOLERANCE
        shows = f"{count} lines, comments and blank ones included"
        yield _row(4, claim, shows, f"shakegpt/{name}", holds, [])


def _text(seen: Evidence) -> Row:
    text = seen.run.dataset
    shows = f"{text.name}, {text.characters / 1e6:.2f} million characters"
    others = seen.others("text")
    return _row(5, "About 1 MB of Shakespeare", shows, seen.at("run", 0), not others, others)


def _learning_rate(seen: Evidence) -> Row:
    claim, value = "Learning rate 3e-5, constant", seen.config.get("learning_rate")
    if not isinstance(value, int | float):
        return _unmeasured(5, claim, "not in the log", seen.at("run", 0))
    shows = rate(value) + (", decaying" if seen.config.get("decay_lr") else ", constant")
    others = seen.others("learning_rate", "decay_lr")
    return _row(5, claim, shows, seen.at("run", 0), not others, others)


def _batch_size(seen: Evidence) -> Row:
    claim, value = "Batch size 1", seen.config.get("batch_size")
    if not isinstance(value, int):
        return _unmeasured(5, claim, "not in the log", seen.at("run", 0))
    steps = seen.config.get("gradient_accumulation_steps")
    shows = f"{value:,}" + (
        f", in {steps:,} micro-batches per iteration" if isinstance(steps, int) else ""
    )
    others = seen.others("batch_size")
    return _row(5, claim, shows, seen.at("run", 0), not others, others)


def _steps(seen: Evidence) -> Row:
    claim = f"{ITERATIONS} iterations are enough to learn"
    change = _early(seen)
    if change is None:
        return _unmeasured(2, claim, _why_not(seen))
    at = change.best.iteration
    shows = f"val loss {change.percent:.1f}% lower after {counted(at, 'iteration')}"
    if not change.improved:
        shows = f"{_worse(change)} after {counted(change.last.iteration, 'iteration')}"
    records = seen.at("eval", *dict.fromkeys((change.start.iteration, at)))
    holds = change.percent >= ENOUGH
    if not holds and change.last.iteration < ITERATIONS:
        return _unmeasured(2, claim, f"{shows}, so far", records)
    others = seen.others("learning_rate", "decay_lr", "batch_size", "gradient_accumulation_steps")
    return _row(2, claim, shows, records, holds, others)


def _early(seen: Evidence) -> Fall | None:
    """From the initial model to the evaluations of the first iterations; None without both."""
    evals = [e for e in finite_evals(seen.history) if e.iteration <= ITERATIONS]
    if len(evals) < 2 or evals[0].iteration != 0:
        return None
    return Fall(evals[0], min(evals, key=loss_of), evals[-1])


def _worse(change: Fall) -> str:
    """The rise of val loss from its start, where no evaluation is below it."""
    ratio = loss_of(change.last) / loss_of(change.start)
    if ratio >= 10:
        return f"val loss is {ratio:,.0f} times its start"
    return f"val loss is {100 * (ratio - 1):.1f}% higher"


def _why_not(seen: Evidence) -> str:
    evals = finite_evals(seen.history)
    if not evals:
        return "no finite evaluation"
    if evals[0].iteration != 0:
        return f"no finite evaluation of the untouched model, the first is {evals[0].iteration:,}"
    return f"no finite evaluation after 1 to {ITERATIONS} iterations"


def _start(seen: Evidence) -> Row:
    claim, evals = f"Val loss starts at {START}", finite_evals(seen.history)
    if not evals or evals[0].iteration != 0:
        return _unmeasured(7, claim, _why_not(seen))
    loss = loss_of(evals[0])
    others = seen.others("model", "text", "block_size")
    holds = abs(loss - START) <= LOSS_TOLERANCE and not others  # else it is by chance
    return _row(7, claim, f"{loss:.4f}", seen.at("eval", 0), holds, others)


def _fall(seen: Evidence) -> Iterator[Row]:
    claims = (f"It drops to {BEST}", f"{PERCENT:.0f}% better")
    change = _early(seen)
    if change is None:
        yield from (_unmeasured(7, claim, _why_not(seen)) for claim in claims)
        return
    best, at = loss_of(change.best), change.best.iteration
    shows = (
        f"{best:.4f} after {counted(at, 'iteration')}",
        f"{change.percent:.1f}%" if change.improved else _worse(change),
    )
    close = (
        abs(best - BEST) <= LOSS_TOLERANCE,
        abs(change.percent - PERCENT) <= PERCENT_TOLERANCE and change.improved,
    )
    others = seen.others("model", "text", "block_size", "learning_rate", "decay_lr")
    others += seen.others("batch_size", "gradient_accumulation_steps")
    records = seen.at("eval", *dict.fromkeys((0, at)))
    for claim, what, near in zip(claims, shows, close, strict=True):
        if not near and not others and change.last.iteration < ITERATIONS:
            yield _unmeasured(7, claim, f"{what}, so far", records)
        else:
            yield _row(7, claim, what, records, near and not others, others)


def _noisy(seen: Evidence) -> Row:
    claim, losses = "Train loss is noisy", micro_losses(seen.history)
    share, spread = upward_share(losses), noise(losses)
    if share is None or spread is None:
        return _unmeasured(7, claim, f"{len(losses)} micro-batches with a finite loss, needs 3")
    shows = (
        f"{100 * share:.0f}% of its movement is upward, a micro-batch is off by {spread:.3f} nats"
    )
    records = f"{len(losses):,} progress records"
    missing = len(seen.history.progress) - len(losses)
    shows += f"; {missing:,} losses are not finite" if missing else ""
    holds = NOISY <= share <= 1 - NOISY and not missing  # a steady rise is not noise either
    return _row(7, claim, shows, records, holds, seen.others("batch_size"))


def _smooth(seen: Evidence) -> Row:
    claim, evals = "Val loss is smooth", finite_evals(seen.history)
    losses = [loss_of(e) for e in evals]
    share, rise = upward_share(losses), largest_rise(losses)
    if share is None or rise is None:
        return _unmeasured(7, claim, f"{len(evals)} finite evaluations, needs 3")
    shows = f"{100 * share:.0f}% of its movement is upward in {len(evals)} evaluations"
    shows += f", largest rise {rise:.3f} nats" if rise else ""
    if missing := len(seen.history.evals) - len(evals):
        shows += f", {missing} more not finite"
    records = f"{len(evals):,} eval records"
    if len(evals) < 6:
        records = seen.at("eval", *(e.iteration for e in evals))
    others = seen.others("model", "text", "learning_rate", "decay_lr", "batch_size")
    return _row(7, claim, shows, records, share <= SMOOTH and not missing, others)


def _loop(seen: Evidence) -> Row:
    claim = "Generation: predict, sample, append, repeat"
    sample = featured_sample(seen.history)
    if sample is None or sample.end is None:
        return _unmeasured(10, claim, "no complete sample")
    tokens = sample.tokens
    failed = {
        "without candidates": not all(t.candidates for t in tokens),
        "that could not be drawn": not all(t.probability > 0 for t in tokens),
        "out of order": [t.index for t in tokens] != list(range(len(tokens))),
        "that do not join to the sample": sample.text != sample.end.text,
    }
    problems = [problem for problem, present in failed.items() if present]
    shows = f"{len(tokens):,} tokens, each drawn from candidates, their texts join to the sample"
    if problems:
        shows = f"{len(tokens):,} tokens, some {', '.join(problems)}"
    return _row(10, claim, shows, seen.at("sample", sample.start.sample), not problems, [])


def _invents(seen: Evidence) -> Row:
    claim, sample = "It invents speakers that no play has", featured_sample(seen.history)
    if sample is None:
        return _unmeasured(11, claim, "no sample")
    known = seen.run.dataset.speakers
    if not known:
        return _unmeasured(11, claim, "the text names no speakers", seen.at("run", 0))
    names = speakers(sample.start.prompt + sample.text)
    new = invented(names, known)
    shows = f"{len(new)} of {len(names)} speakers are not in the text"
    shows += f": {listing(new, 4)}" if new else ""
    records = seen.at("sample", sample.start.sample)
    return _row(11, claim, shows, records, bool(new), seen.others("model", "text"))


def _inside(seen: Evidence) -> Iterator[Row]:
    decided, recent = "Where does the final guess begin to lead?", "How far back does it look?"
    inspected = [s for s in seen.history.samples if s.inspection and s.inspection.guesses]
    sample = next((s for s in inspected if s is featured_sample(seen.history)), None)
    sample = sample or next(reversed(inspected), None)
    if sample is None or (record := sample.inspection) is None:
        for question in (decided, recent):
            yield Row("not recorded", None, question, "no inspection record", "")
        return
    last, records = len(record.guesses[0]) - 1, seen.at("inspection", record.sample)
    shows = f"from block {mean_decision(record):.1f} of {last} on, mean of {len(record.guesses)} "
    yield Row("measured", None, decided, shows + "tokens", records)
    blocks = sorted({attention.block for attention in record.attention})
    shares = [f"{100 * share_of_last(record, block, RECENT):.0f}%" for block in blocks]
    shares = shares if len(shares) <= 6 else [*shares[:3], "…", *shares[-2:]]
    shows = f"the last {RECENT} tokens get {', '.join(shares)} of attention in block 1 to {last}"
    yield Row("measured", None, recent, shows, records)


def _laptop(seen: Evidence) -> Row:
    claim, end = "In 30 minutes, on a laptop’s kind of device", seen.history.end
    shows = f"{wall_seconds(seen.history) / 60:.1f} minutes on {seen.run.device}"
    shows += f", {counted(seen.run.threads, 'thread')}" if seen.run.device == "cpu" else ""
    if end is None:
        return _unmeasured(13, claim, f"{shows}, without an end")
    records = seen.at("end", 0)
    if end.status != "finished":
        return _unmeasured(13, claim, f"{shows}, then {end.status}", records)
    others = seen.others("model", "device")
    holds = wall_seconds(seen.history) <= HALF_HOUR and not others
    shows += "; the log does not say whether it is a laptop" if holds else ""
    return _row(13, claim, shows, records, holds, others)
