"""Settings of the commands beside finetune: sample, evaluate, figures, deck, claims; of advise
those that it shares with finetune.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from shakegpt.config.bounds import Choice, Several, Switch, Text, integer, real, setting
from shakegpt.config.fields import (
    MACHINE,
    SAMPLING,
    TEXTS,
    THREADS,
    WHAT,
    Checked,
    Device,
    Dtype,
    Weights,
)

PROBED = (
    *("init_from", "text_field", "separate_documents", "val_dataset", "val_fraction"),
    *("block_size", "seed", "device", "dtype", "threads"),
)
"""Settings of `FinetuneConfig` that `shakegpt advise` takes as well, beside the text."""


@dataclass(frozen=True, kw_only=True)
class SampleConfig(Checked):
    """Draw text from a model."""

    # fmt: off
    prompt: str = setting("ROMEO:", Text(empty=True),
        "What the model continues; - reads it from standard input.", SAMPLING)
    prompt_file: str | None = setting(None, Text("FILE", path=True),
        "Read the prompt from this file, as it is, in UTF-8.", SAMPLING, none="as --prompt says")
    prompt_echo: bool = setting(True, Switch(),
        "Write the prompt before what the model adds to it.", SAMPLING)
    until: str | None = setting(None, Text("STRING"),
        "End a text before this string, if the model writes it.",
        SAMPLING, none="at the end-of-text token or --max-new-tokens")
    repetition_penalty: float = setting(1.0, real(0.1, 100, "factor"),
        "Divide the scores of tokens that the text has already by this: 1.2 against loops, 1 "
        "for none.", SAMPLING)
    interactive: bool = setting(False, Switch(),
        "Keep the model loaded and continue each line that is typed; \\n in it stands for a "
        "line's end. The arrow keys edit it and bring earlier ones; Ctrl-C ends a text, Ctrl-D "
        "all.", SAMPLING)
    max_new_tokens: int = setting(200, integer(0, 1_000_000, "tokens"),
        "Tokens to draw.", SAMPLING)
    num_samples: int = setting(1, integer(1, unit="n"),
        "How many texts to draw; the k-th uses seed + k.", SAMPLING)
    temperature: float = setting(0.8, real(0, 100, "t"),
        "0 always takes the likeliest token, 1 draws as the model predicts, more is wilder.",
        SAMPLING)
    top_k: int | None = setting(200, integer(1, unit="k"),
        "Draw from the k likeliest tokens only.", SAMPLING, none="from all tokens")
    top_p: float | None = setting(None, real(0, 1, "p", above=True),
        "Draw from the likeliest tokens that make up probability p together.",
        SAMPLING, none="from all tokens")
    seed: int = setting(1337, integer(0, 2**63 - 1, "seed"),
        "Same seed, same text (on the same kind of device).", SAMPLING)
    dtype: Weights = setting("float32", Choice(*get_args(Weights)),
        "Bits of the weights. float32 is exact; int8 is fastest on any CPU, bf16 gains where "
        "the CPU computes in it. What fewer bits cost in loss is measured and printed first.",
        MACHINE)
    device: Device = setting("auto", Choice(*get_args(Device)),
        "Where to compute. auto: cuda, else mps, else cpu.", MACHINE)
    threads: int | None = setting(None, THREADS,
        "CPU threads of the arithmetic.", MACHINE, none="PyTorch's choice")
    # fmt: on


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Checked):
    """Measure a model on a text: val loss and perplexity."""

    # fmt: off
    dataset: tuple[str, ...] | None = setting(None, TEXTS,
        "Text to measure on, named as in `shakegpt finetune`: files as a whole; of plays, "
        "tinyshakespeare and the run's own text the validation part.",
        WHAT, none="the run's own text, else plays")
    text_field: str | None = setting(None, Text("FIELD"),
        "Field or column of the record files that holds the text.", WHAT, none="as in finetune")
    val_fraction: float | None = setting(None, real(0, 1, "fraction", above=True),
        "Fraction of the text to measure on, from its end; 1 for all of it.",
        WHAT, none="as --dataset says")
    eval_tokens: int | None = setting(None, integer(1, unit="tokens"),
        "Tokens to predict, evenly spread; a smaller text is used whole.",
        WHAT, none="all of a file, else as many as the run's own evaluations, else 40,000")
    block_size: int | None = setting(None, integer(2, unit="tokens"),
        "Sequence length.", WHAT, none="that of the run, else what the model was made for")
    batch_size: int = setting(8, integer(1, unit="sequences"),
        "Sequences at a time. Lower it when memory is short.", MACHINE)
    device: Device = setting("auto", Choice(*get_args(Device)),
        "Where to compute. auto: cuda, else mps, else cpu.", MACHINE)
    dtype: Dtype = setting("auto", Choice(*get_args(Dtype)),
        "Arithmetic of the matrix products. auto: that of the run, else as in finetune.", MACHINE)
    threads: int | None = setting(None, THREADS,
        "CPU threads of the arithmetic.", MACHINE, none="PyTorch's choice")
    # fmt: on


Figure = Literal["training", "architecture", "generation", "samples", "inside"]
Theme = Literal["dark", "light"]
Format = Literal["svg", "png", "pdf"]


@dataclass(frozen=True, kw_only=True)
class FiguresConfig(Checked):
    """Draw the figures of a run."""

    # fmt: off
    runs: tuple[str, ...] = setting((), Several(Text("RUN", path=True), least=0),
        "Run directories; several are compared in training.svg. Default: the newest finished "
        "run, or the recorded one that ships.", positional=True)
    out: str | None = setting(None, Text("DIR", path=True),
        "Directory for the figures and run.json.",
        none="the deck's; without a deck, and for png and pdf, figures/ in the run's directory")
    only: tuple[Figure, ...] = setting(get_args(Figure), Several(Choice(*get_args(Figure))),
        "Figures to draw; by default all that the log has records for.")
    theme: Theme = setting("dark", Choice(*get_args(Theme)),
        "Colors: dark as the slides, light for paper.")
    transparent: bool = setting(False, Switch(),
        "Leave the background out.")
    format: tuple[Format, ...] = setting(("svg",), Several(Choice(*get_args(Format))),
        "File formats to write; the deck shows svg.")
    watch: bool = setting(False, Switch(),
        "Follow a run, by default the newest that trains, and redraw until it ends; wait for "
        "one that has not begun.")
    # fmt: on


@dataclass(frozen=True, kw_only=True)
class DeckConfig(Checked):
    """Lay out the talk's slides, with the figures and numbers of a run."""

    # fmt: off
    directory: str = setting("talk", Text("DIR", path=True),
        "Directory of the deck, created when absent.", positional=True)
    run: str | None = setting(None, Text("RUN", path=True),
        "Run that the slides show.", none="the newest finished run, or the recorded one that ships")
    # fmt: on


@dataclass(frozen=True, kw_only=True)
class ClaimsConfig(Checked):
    """Check the talk's claims against a run."""

    # fmt: off
    run: str | None = setting(None, Text("RUN", path=True),
        "Run directory. Default: the newest finished run, or the recorded one that ships.",
        none="the newest finished run", positional=True)
    strict: bool = setting(False, Switch(),
        "Exit with 1 when a claim differs or could not be measured.")
    deck: bool = setting(False, Switch(),
        "Also check the deck in this directory: its numbers, sentences, figures and code.")
    json: bool = setting(False, Switch(),
        "Print the rows as JSON instead of a table.")
    markdown: bool = setting(False, Switch(),
        "Print the rows as a Markdown table.")
    # fmt: on
