"""The sentences of the figures: their claims, what they were measured on, and their alt texts.

Plain strings from a log, without matplotlib, so that the deck's data can carry the same words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shakegpt.errors import ShakegptError
from shakegpt.format import rate
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView
from shakegpt.runlog.metrics import (
    fall,
    featured_sample,
    finite_evals,
    loss_of,
    micro_losses,
    noise,
    parameters,
)
from shakegpt.runlog.status import state_text
from shakegpt.sanitize import one_line
from shakegpt_figures.numbers import count, listing, loss, perplexity, place
from shakegpt_figures.story import first_not_finite, outcome

LONGEST = 200
"""Characters of a name that are shown."""


PUBLISHED = {
    "pocket": "the pocket GPT-2",
    "gpt2": "GPT-2 124M",
    "gpt2-medium": "GPT-2 Medium",
    "gpt2-large": "GPT-2 Large",
    "gpt2-xl": "GPT-2 XL",
    "distilgpt2": "DistilGPT-2",
}
"""Models that were trained on English text before."""


def is_published(model: ev.Model) -> bool:
    """Whether it is one of `PUBLISHED`."""
    return model.name.rpartition("/")[2] in PUBLISHED


def model_name(model: ev.Model) -> str:
    """A model's name as a person says it."""
    if model.name == "scratch":
        return "a GPT-2 from scratch"
    name = one_line(model.name, LONGEST) or "a GPT-2"
    return PUBLISHED.get(model.name.rpartition("/")[2], name)


def text_name(dataset: ev.Dataset) -> str:
    """A text's name in a sentence: Shakespeare, or its file's name without the suffix."""
    if dataset.name in ("plays", "tinyshakespeare"):
        return "Shakespeare"
    stem = re.sub(r"\.\w{1,5}$", "", dataset.name.rpartition("/")[2])
    return one_line(re.sub(r"[-_]+", " ", stem), 60) or "a text"


def named(id: int, text: str, bytewise: bool) -> str:
    """A token's text; that of a single byte of a longer character by its value: 0xE4."""
    if text != "\ufffd" or not bytewise or id > 255:
        return text
    return f"0x{_BYTES[id]:02X}"


_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256), *range(33), *range(127, 161), 173]
"""The byte of each of the first 256 tokens in GPT-2's order."""


def bytewise(sample: SampleView) -> bool:
    """Whether the vocabulary begins with the bytes in GPT-2's order, by the sample's own tokens."""
    seen = {(c.id, c.text) for token in sample.tokens for c in token.candidates}
    ascii = [(id, text) for id, text in seen if len(text) == 1 and " " <= text <= "~"]
    known = [id < 256 and _BYTES[id] == ord(text) for id, text in ascii]
    return len(known) > 2 and all(known)


def sampling(settings: ev.Settings) -> str:
    """How tokens were drawn: temperature 0.8 and top-k 200."""
    parts = [f"temperature {settings.temperature:g}"]
    parts += [f"top-k {settings.top_k}"] if settings.top_k else []
    parts += [f"top-p {settings.top_p:g}"] if settings.top_p else []
    return listing(parts)


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
    run, settings = header(history), config(history)
    named = one_line(run.dataset.name, LONGEST)
    parts = [state_text(history), f"{capital(model_name(run.model))} on {named}"]
    batch, steps = settings.get("batch_size"), settings.get("gradient_accumulation_steps")
    window = settings.get("block_size") or run.model.block_size
    if isinstance(batch, int) and isinstance(steps, int):
        parts.append(f"{batch:,} × {steps:,} sequences of {window:,} tokens per iteration")
    if isinstance(learning_rate := settings.get("learning_rate"), int | float):
        parts.append(f"learning rate {rate(learning_rate)}")
    parts.append(place(one_line(run.device, 20), run.threads))
    return " · ".join(part for part in parts if part)


def training_title(history: History) -> str:
    """What val loss did, as `shakegpt_figures.story.outcome` has it."""
    change, kind = fall(history), outcome(history)
    if change is None:
        done = count(history.iteration, "iteration")
        lost = "val loss is not finite" if history.evals else "not evaluated yet"
        return f"Training, {done} in: {lost}"
    start, best, last = loss_of(change.start), loss_of(change.best), loss_of(change.last)
    after = count(change.last.iteration - change.start.iteration, "iteration")
    if kind == "diverged":
        bad = first_not_finite(history)
        if bad is not None:
            return f"Training diverges: the loss is not finite at iteration {bad:,}"
        return f"Training diverges: val loss rises from {loss(start)} to {loss(last)}"
    if kind == "unmeasured":
        return f"Val loss is {loss(start)} {when_done(change.start.iteration)}"
    if kind == "overfitted":
        return f"Val loss falls from {loss(start)} to {loss(best)}, then rises to {loss(last)}"
    if kind == "learned":
        after = count(change.best.iteration - change.start.iteration, "iteration")
        return f"Val loss falls from {loss(start)} to {loss(best)} in {after}"
    if kind == "unchanged":
        return f"Val loss stays at {loss(start)} over {after}"
    return f"Val loss rises from {loss(start)} to {loss(last)} in {after}"


def training_alt(history: History) -> str:
    """The curves in words, with every evaluation's number."""
    parts = [f"{training_title(history)} ({setting(history)})."]
    if evals := finite_evals(history):
        listed = ", ".join(f"{e.iteration}: {loss_of(e):.4f}" for e in evals)
        parts.append(f"Val loss by iteration, nats per token: {listed}.")
    if (change := fall(history)) is not None and change.improved:
        start, best = (perplexity(loss_of(e)) for e in (change.start, change.best))
        parts.append(f"As equally likely tokens: {start} at the start, {best} at the best.")
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
    blocks = count(model.n_layer, "identical block")
    return f"{capital(model_name(model))}: {model.n_params:,} parameters, {blocks}"


def architecture_alt(model: ev.Model) -> str:
    """The model in words, with the count of every part."""
    part = parameters(model)
    head = "the token embedding once more as the head, which adds none"
    if not model.tied:
        head = f"a head of its own ({part.head:,})"
    return (
        f"{architecture_title(model)}. Tokens become vectors of {model.n_embd:,} numbers through "
        f"the token embedding ({model.vocab_size:,} × {model.n_embd:,} = {part.wte:,}) plus the "
        f"position embedding ({model.block_size:,} × {model.n_embd:,} = {part.wpe:,}). They run "
        f"through {model.n_layer} blocks of {part.block:,} parameters each: layer norm "
        f"({part.ln_1:,}), attention with {model.n_head} heads ({part.c_attn:,} + "
        f"{part.attn_proj:,}), added to the residual stream; layer norm ({part.ln_2:,}), MLP "
        f"({part.c_fc:,} + {part.mlp_proj:,}), added again. A last layer norm ({part.ln_f:,}), "
        f"then {head}. Together {part.total:,}."
    )


def visible(text: str) -> str:
    """A token in a sentence: quoted, with its newline and other controls spelled out."""
    return "“" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + "”"


GENERATION_TITLE = "Predict → sample → append → repeat"
STEPS = 3
"""Draws that the figure of generation shows."""
UNSURE = 0.9
"""The likeliest token's probability below which a step shows a choice."""


def share(candidate: ev.Candidate | ev.Token, settings: ev.Settings) -> float:
    """The probability that the draw used; at temperature 0 the model's own."""
    return candidate.raw if settings.temperature == 0 else candidate.probability


def first_unsure(sample: SampleView) -> int:
    """Index of the first token at which the model was unsure and `STEPS` tokens with candidates
    follow; 0 when there is none.
    """
    last = len(sample.tokens) - STEPS
    for index in range(max(0, last) + 1):
        few = sample.tokens[index : index + STEPS]
        if not all(token.candidates and token.text for token in few):
            continue
        if share(few[0].candidates[0], sample.start.settings) < UNSURE:
            return index
    return 0


def generation_alt(history: History) -> str:
    """The loop in words: the tokens that the figure shows, with the probabilities of each."""
    sample = featured_sample(history)
    assert sample is not None
    settings, first = sample.start.settings, first_unsure(sample)
    parts = [f"Predict, sample, append, repeat, with the prompt {visible(sample.start.prompt)}."]
    for token in sample.tokens[first : first + STEPS]:
        likely = ", ".join(
            f"{visible(c.text)} {100 * share(c, settings):.1f}%" for c in token.candidates[:5]
        )
        parts.append(
            f"Token {token.index + 1}: the likeliest are {likely}; drawn is "
            f"{visible(token.text)} with {100 * share(token, settings):.1f}%, rank {token.rank}."
        )
    return " ".join(parts)


def samples(history: History) -> tuple[SampleView, SampleView] | None:
    """The first and the shown sample of the same prompt; None without two of them."""
    shown = featured_sample(history)
    if shown is None:
        return None
    prompt = shown.start.prompt
    for sample in history.samples:
        if sample.complete and sample.tokens and sample.start.prompt == prompt:
            return (sample, shown) if sample is not shown else None
    return None


def samples_title(pair: Sequence[SampleView]) -> str:
    """Which prompt, and after how many iterations."""
    before, after = (sample.start.iteration for sample in pair)
    return f"The same prompt, {when_done(before)} and after {count(after, 'iteration')}"


def when_done(iteration: int) -> str:
    """before training, after 20 iterations."""
    return f"after {count(iteration, 'iteration')}" if iteration else "before training"


def samples_alt(history: History) -> str:
    """Both samples in words."""
    pair = samples(history)
    if pair is None:
        return "Only one sample of this prompt is recorded."
    parts = [f"{samples_title(pair)}, with the prompt {visible(pair[0].start.prompt)}."]
    for sample in pair:
        text = one_line(sample.text, 300)
        parts.append(f"{capital(when_done(sample.start.iteration))}: {text}")
        if sample.copies is not None:
            parts.append(
                f"Its longest copy from the training text has {sample.copies.longest} words."
                if sample.copies.longest
                else "No four words in a row are copied from the training text."
            )
    return " ".join(parts)
