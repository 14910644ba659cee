"""The shape of slides/data/run.json: what the deck takes from a run, typed.

Every number is there twice, as its value and as the text that a slide shows, so that the deck
formats nothing and a test can hold any slide against the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from shakegpt_figures.excerpt import Line
from shakegpt_figures.numbers import digits
from shakegpt_figures.story import Outcome, Story

SCHEMA = 3
"""Version of the shape of run.json; slides/composables/useRun.ts names the same one."""


class Number(msgspec.Struct, frozen=True):
    """A value, and how a slide shows it."""

    value: float
    text: str


def whole(value: int) -> Number:
    """An integer, shown with every digit."""
    return Number(value, digits(value))


def optional(value: float | None, text: Callable[[Any], str]) -> Number | None:
    """A value with its text; None for None."""
    return None if value is None else Number(value, text(value))


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this is, and how far it got."""

    id: str
    log_sha256: str
    """Of the log's bytes when this was written; each figure carries the same one."""
    log_short: str
    status: str
    """ "" for a finished run, else how far it is."""
    stale: str = ""
    """Which run is being waited for, while this one's numbers and figures still stand."""
    outcome: Outcome
    iterations: Number
    iterations_noun: Number
    """As in `20 iterations`."""
    tokens: Number
    """Tokens trained on, all micro-batches together."""
    wall: Number
    """Seconds, loading and evaluations included."""
    place: str
    commit: str | None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The model, its size short (774M) and whole."""

    name: str
    about: str
    """What is special about it, as `, small enough for a CPU`; "" for most."""
    on: str
    """What a known checkpoint was trained on, as ` on English`; "" for others."""
    n_params: Number
    n_params_exact: Number
    n_layer: Number
    n_head: Number
    n_embd: Number
    block_size: Number
    vocab_size: Number


class DatasetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The text."""

    title: str
    short: str
    """The text's name in a sentence, such as Shakespeare."""
    characters: Number
    train_tokens: Number
    val_tokens: Number
    eval_tokens: Number
    speakers: Number


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of trainer and sampler that a slide shows."""

    pretrained: bool
    """Whether the model had learned anything before."""
    learning_rate: Number
    constant: bool
    """Whether the learning rate stayed what it was."""
    sequences: Number
    """Sequences an iteration reads, as `32 × 4`: micro-batch size × micro-batches."""
    window: Number
    """Tokens of a sequence."""
    tokens_per_iteration: Number
    sampling: str
    """Such as `temperature 0.8 and top-k 200`."""


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """What the losses did (`shakegpt.runlog.metrics`), in nats a token unless said otherwise."""

    first: Number
    best: Number
    last: Number
    drop: Number
    """Percent that the best lies below the first; 0 when none does."""
    improved: bool
    best_iteration: Number
    best_iteration_noun: Number
    last_iteration_noun: Number
    not_finite: Number | None
    """The first iteration whose loss was not finite."""
    evaluations: Number
    first_perplexity: Number
    """Among how many equally likely tokens the model was choosing."""
    best_perplexity: Number
    last_perplexity: Number
    first_bits: Number
    """Bits per character: loss over ln 2, times tokens per character of the whole text."""
    best_bits: Number
    bits_change: str
    """As `; 2.1 → 1.8 bits per character`."""
    noise: Number | None
    """Spread of a micro-batch's train loss around its trend."""
    train_upward: Number | None
    """Percent of the train loss's way that leads up: about 50 is pure noise, 0 a pure fall."""
    val_upward: Number | None
    largest_rise: Number | None
    """The most that val loss rose from one evaluation to the next."""
    val: tuple[tuple[int, float], ...]
    """(iteration, val loss), for the line on the first slide."""
    train: tuple[tuple[int, float], ...]
    """(iterations done, mean train loss of the next one), evenly thinned out where many: at the
    weights that the losses belong to, as in training.svg."""


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the two files that the talk is about, counted."""

    model: Number
    finetune: Number


class SampleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded sample. All text in it is data."""

    prompt: str
    lines: tuple[Line, ...]
    """The prompt and what the model made of it, as much as a slide holds."""
    cut: bool
    """Whether the sample went on."""
    iteration: Number
    tokens: Number
    speakers: Number
    invented: str
    """The speakers in `lines` that the text never names, as a sentence lists them; "" for none."""
    invented_names: tuple[str, ...]
    """The same, as they stand in `lines`."""
    invented_count: Number
    known: str
    """The speakers in `lines` that the text has, as a sentence lists them; "" for none."""
    longest_copy: Number | None
    """The longest passage of the training text in the whole sample, as `6 words`, 0 for none of at
    least 4; None where the log does not say."""


class DrawInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded draw, for the slide's temperature."""

    context: str
    candidates: tuple[tuple[str, float], ...]
    """(text, probability by the model's own softmax) of the likeliest tokens."""
    drawn: int | None
    """Which of them was drawn; None for another token."""
    temperature: float


class Alt(msgspec.Struct, frozen=True, kw_only=True):
    """The figures in words, for who cannot see them."""

    training: str
    architecture: str
    generation: str
    samples: str
    inside: str
    """"" where the log has no inspection record: the deck then has no such slide."""


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    """All that the deck takes from a run."""

    schema: int = SCHEMA
    run: RunInfo
    model: ModelInfo
    dataset: DatasetInfo
    settings: Settings
    curves: Curves
    code: Code
    sample: SampleInfo
    """The one that the deck shows first: the last complete one."""
    samples: tuple[SampleInfo, ...]
    """All of the same prompt, by iteration."""
    draw: DrawInfo | None
    story: Story
    alt: Alt
