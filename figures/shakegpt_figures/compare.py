"""Which runs compare, in which unit, and which of them is best. No matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from shakegpt.errors import ShakegptError
from shakegpt.format import rate
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import finite_evals, loss_of
from shakegpt_figures import data, numbers, words

Unit = Literal["nats per token", "bits per character"]

NAMES = {"learning_rate": "lr", "init_from": "", "dataset": "", "max_iters": "iterations"}
"""Shorter names of settings; an empty one is clear from its value."""
PLACES = ("out_dir", "threads", "device", "dtype")
"""Settings that say where a run was made, not what it was."""


def unit(histories: Sequence[History]) -> Unit:
    """Nats per token for runs with the same tokens, else bits per character.

    Raises ShakegptError for runs of different texts, or without a finite evaluation.
    """
    for history in histories:
        if not finite_evals(history):
            name = words.header(history).run_id
            raise ShakegptError(f"run {name} has no finite evaluation to compare: leave it out")
    texts = [words.header(history).dataset for history in histories]
    if len({text.sha256 for text in texts}) > 1:
        named = ", ".join(
            f"{words.header(h).run_id} ({words.text_name(t)})"
            for h, t in zip(histories, texts, strict=True)
        )
        raise ShakegptError(
            f"losses on different texts do not compare: {named}; give runs on one text"
        )
    split = {
        (h.run.model.vocab_size, t.train_tokens, t.val_tokens)
        for h, t in zip(histories, texts, strict=True)
        if h.run
    }
    return "nats per token" if len(split) == 1 else "bits per character"


def measure(history: History, nats: float, how: Unit) -> float:
    """A val loss in that unit."""
    return nats if how == "nats per token" else data.bits(history, nats)


def best(history: History, how: Unit) -> float:
    """The lowest val loss."""
    return min(measure(history, loss_of(e), how) for e in finite_evals(history))


def title(histories: Sequence[History]) -> str:
    """Which run did best."""
    how = unit(histories)
    bests = [best(history, how) for history in histories]
    first = min(range(len(bests)), key=lambda i: bests[i])
    name = names(histories)[first]
    what = "val loss" if how == "nats per token" else "bits per character"
    return f"Lowest of {len(histories)} runs: {name}, {what} {numbers.loss(bests[first])}"


def shared(histories: Sequence[History]) -> str:
    """What all the runs have in common."""
    facts = [words.setting(history).split(" · ") for history in histories]
    common = [fact for fact in dict.fromkeys(facts[0]) if all(fact in own for own in facts)]
    return "All: " + " · ".join(common) if common else "No setting in common"


def names(histories: Sequence[History]) -> list[str]:
    """How the runs differ: a name for each of the settings that differ, else the runs' ids."""
    configs = [words.config(history) for history in histories]
    keys = [
        key
        for key, value in configs[0].items()
        if key not in PLACES and any(config.get(key) != value for config in configs)
    ]
    names = [", ".join(_setting(key, config.get(key)) for key in keys[:3]) for config in configs]
    unique = len(set(names)) == len(names)
    return names if unique else [words.header(history).run_id for history in histories]


def _setting(key: str, value: Any) -> str:
    shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    if key.endswith("lr") or key == "learning_rate":
        shown = rate(value) if isinstance(value, int | float) else shown
    return f"{NAMES.get(key, key.replace('_', ' '))} {shown}".strip()
