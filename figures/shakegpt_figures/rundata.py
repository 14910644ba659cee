"""The shape of slides/data/run.json: what the deck takes from a run, typed.

Every number is there twice, as its value and as the text that a slide shows, so that the deck
formats nothing and a test can hold any slide against the file.
"""

from __future__ import annotations

import msgspec

from shakegpt_figures.excerpt import Line

SCHEMA = 1
"""Version of the shape of run.json; slides/composables/useRun.ts names the same one."""


class Number(msgspec.Struct, frozen=True):
    """A value, and how a slide shows it."""

    value: float
    text: str


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this is, and how far it got."""

    id: str
    log_sha256: str
    """Of the log's bytes when this was written."""
    log_short: str
    status: str
    """ "" for a finished run, else how far it is."""
    iterations: Number
    tokens: Number
    """Tokens trained on, all micro-batches together."""
    wall: Number
    """Seconds, loading and evaluations included."""
    place: str
    commit: str | None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The model, its size short (774M) and whole."""

    name: str
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
    characters: Number
    train_tokens: Number
    val_tokens: Number
    eval_tokens: Number
    speakers: Number


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the trainer and the sampler were told."""

    pretrained: bool
    """Whether the model had learned anything before."""
    learning_rate: Number
    constant: bool
    """Whether the learning rate stayed what it was."""
    batch_size: Number
    accumulation: Number
    window: Number
    tokens_per_update: Number
    temperature: Number


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """What the losses did (`shakegpt.runlog.metrics`), in nats a token unless said otherwise."""

    first: Number
    best: Number
    last: Number
    drop: Number
    """Percent that the best lies below the first; 0 when none does."""
    improved: bool
    best_iteration: Number
    evaluations: Number
    first_perplexity: Number
    best_perplexity: Number
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
    """(iteration, mean train loss), evenly thinned out where they are many."""


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the two files that the talk is about, counted."""

    model: Number
    finetune: Number


class SampleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The sample that the deck shows. All text in it is data."""

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
    invented_count: Number
    known: str
    """The speakers in `lines` that the text has, as a sentence lists them; "" for none."""


class Alt(msgspec.Struct, frozen=True, kw_only=True):
    """The figures in words, for who cannot see them."""

    training: str
    architecture: str
    generation: str


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
    alt: Alt
