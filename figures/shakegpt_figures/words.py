"""The sentences of the figures: their claims, what they were measured on, and their alt texts.

Plain strings from a log, without matplotlib, so that the deck's data can carry the same words.
"""

from __future__ import annotations

from typing import Any

from shakegpt.errors import ShakegptError
from shakegpt.format import rate
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import (
    Fall,
    fall,
    finite_evals,
    loss_of,
    micro_losses,
    noise,
    parameters,
    shown_sample,
)
from shakegpt.runlog.status import standing
from shakegpt.sanitize import one_line
from shakegpt_figures.numbers import loss, percent, place

LONGEST = 200
"""Characters of a name that are told."""


def count(number: int, noun: str) -> str:
    """1 iteration, 20 iterations, 2,000 iterations."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def model_name(model: ev.Model) -> str:
    """A model's name as a person says it."""
    known = {
        "pocket": "the pocket GPT-2",
        "gpt2": "GPT-2 124M",
        "gpt2-medium": "GPT-2 Medium",
        "gpt2-large": "GPT-2 Large",
        "gpt2-xl": "GPT-2 XL",
        "distilgpt2": "DistilGPT-2",
    }
    return known.get(model.name.rpartition("/")[2], one_line(model.name, LONGEST) or "a GPT-2")


def capital(text: str) -> str:
    """The first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def header(history: History) -> ev.Run:
    """The log's first record; ShakegptError when it has none."""
    if history.run is None:
        raise ShakegptError(
            "this log has no `run` record at its start, so nothing says what was trained: give the "
            "directory of a run that shakegpt wrote"
        )
    return history.run


def config(history: History) -> dict[str, Any]:
    """The configuration that the run ended with."""
    return history.resumes[-1].config if history.resumes else header(history).config


def setting(history: History) -> str:
    """On what the curves were measured, in one line."""
    run, told = header(history), config(history)
    named = one_line(run.dataset.name, LONGEST)
    parts = [standing(history), f"{capital(model_name(run.model))} on {named}"]
    batch, steps = told.get("batch_size"), told.get("gradient_accumulation_steps")
    window = told.get("block_size") or run.model.block_size
    if isinstance(batch, int) and isinstance(steps, int):
        parts.append(f"{batch:,} × {steps:,} windows of {window:,} tokens an iteration")
    if isinstance(learning_rate := told.get("learning_rate"), int | float):
        parts.append(f"learning rate {rate(learning_rate)}")
    parts.append(place(one_line(run.device, 20), run.threads))
    return " · ".join(part for part in parts if part)


def training_title(history: History) -> str:
    """The story of the curves."""
    told = fall(history)
    if told is None:
        done = count(history.iteration, "iteration")
        return f"Training, {done} in: not evaluated yet"
    start, best, last = loss_of(told.start), loss_of(told.best), loss_of(told.last)
    if told.improved:
        after = count(told.best.iteration - told.start.iteration, "iteration")
        return f"Val loss falls from {loss(start)} to {loss(best)} in {after}"
    if told.last.iteration == told.start.iteration:
        return f"Val loss is {loss(start)} {when(told.start)}"
    after = count(told.last.iteration - told.start.iteration, "iteration")
    if loss(last) == loss(start):
        return f"Val loss stays at {loss(start)} over {after}"
    return f"Val loss rises from {loss(start)} to {loss(last)} in {after}"


def when(evaluation: ev.Eval) -> str:
    """At which point of the run an evaluation stands."""
    if evaluation.iteration == 0:
        return "before the first update"
    return f"after {count(evaluation.iteration, 'iteration')}"


def change(told: Fall) -> tuple[str, bool]:
    """The percent from start to best, or to the last when none was better; is it good?"""
    if told.improved:
        return f"−{percent(told.percent)}", True
    rise = 100 * (loss_of(told.last) - loss_of(told.start)) / loss_of(told.start)
    if rise < 0.05:
        return "±0%", False
    if rise >= 1000:
        return f"×{rise / 100 + 1:,.0f}" if rise < 1e7 else "diverged", False
    return f"+{percent(rise)}", False


def training_alt(history: History) -> str:
    """The curves in words, with every evaluation's number."""
    parts = [f"{training_title(history)} ({setting(history)})."]
    if evals := finite_evals(history):
        listed = ", ".join(f"{e.iteration}: {loss_of(e):.4f}" for e in evals)
        parts.append(f"Val loss by iteration, nats a token: {listed}.")
    if (told := fall(history)) is not None and told.improved:
        parts.append(f"The best is {percent(told.percent)} below the start.")
    if lost := len(history.evals) - len(evals):
        parts.append(f"{count(lost, 'evaluation')} gave no finite loss.")
    losses = [step.loss for step in history.steps.values() if step.loss is not None]
    if losses:
        parts.append(f"Mean train loss of an iteration lies between {min(losses):.4f} and ")
        parts[-1] += f"{max(losses):.4f}."
    micro = micro_losses(history)
    if (spread := noise(micro)) is not None:
        parts.append(
            f"The losses of {len(micro):,} micro-batches spread by {spread:.4f} around it."
        )
    return " ".join(parts)


def architecture_title(model: ev.Model) -> str:
    """The size of the model."""
    blocks = count(model.n_layer, "equal block")
    return f"{capital(model_name(model))}: {model.n_params:,} parameters, {blocks}"


def architecture_alt(model: ev.Model) -> str:
    """The model in words, with the count of every part."""
    part = parameters(model)
    return (
        f"{architecture_title(model)}. Tokens become vectors of {model.n_embd:,} numbers through "
        f"the token embedding ({model.vocab_size:,} × {model.n_embd:,} = {part.wte:,}) plus the "
        f"position embedding ({model.block_size:,} × {model.n_embd:,} = {part.wpe:,}). They run "
        f"through {model.n_layer} blocks of {part.block:,} parameters each: layer norm "
        f"({part.ln_1:,}), attention with {model.n_head} heads ({part.c_attn:,} + "
        f"{part.attn_proj:,}), added to the residual stream; layer norm ({part.ln_2:,}), MLP "
        f"({part.c_fc:,} + {part.mlp_proj:,}), added again. A last layer norm ({part.ln_f:,}), "
        f"then the token embedding once more as the head, which adds none. Together {part.total:,}."
    )


def visible(text: str) -> str:
    """A token in a sentence: quoted, with its newline and other controls spelled out."""
    return "“" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + "”"


def generation_title(history: History) -> str:
    """The loop in four words."""
    return "Predict → sample → append → repeat"


def generation_alt(history: History, first: int, steps: int) -> str:
    """The loop in words: `steps` tokens from index `first`, with the probabilities of each."""
    sample = shown_sample(history)
    assert sample is not None
    parts = [f"Predict, sample, append, repeat, with the prompt {visible(sample.start.prompt)}."]
    for token in sample.tokens[first : first + steps]:
        likely = ", ".join(
            f"{visible(c.text)} {100 * c.probability:.1f}%" for c in token.candidates[:5]
        )
        parts.append(
            f"Token {token.index + 1}: the likeliest are {likely}; drawn is "
            f"{visible(token.text)} with {100 * token.probability:.1f}%, rank {token.rank}."
        )
    return " ".join(parts)
