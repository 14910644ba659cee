"""Settings of each command: frozen dataclasses whose fields carry their bounds and their help.

Names are nanoGPT's where nanoGPT has the field. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from shakegpt import bounds
from shakegpt.bounds import Choice, Several, Switch, Text, integer, real, setting
from shakegpt.errors import ShakegptError

Device = Literal["auto", "cpu", "cuda", "mps"]
Matrix = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Memory = Literal["auto", "normal", "low", "lowest"]
Compile = Literal["auto", "on", "off"]
Optimizer = Literal["adamw", "muon"]
SaveSignal = Literal["SIGUSR1", "SIGUSR2", "SIGXCPU"]
Weights = Literal["float32", "bf16", "int8"]

WHAT, TRAINING, SCRATCH = "what", "training", "model from scratch"
LORA, SAMPLING, MACHINE = "LoRA", "sampling", "machine"
TOPICS = (WHAT, TRAINING, SCRATCH, LORA, SAMPLING, MACHINE, "options")
"""The topics of the settings, in the order of the help."""

_TEXTS = Several(Text("TEXT", path=True, known=("plays", "tinyshakespeare", "-")))
_THREADS = integer(1, 4096, "threads")


@dataclass(frozen=True)
class Checked:
    """A configuration that is validated when it is created."""

    def __post_init__(self) -> None:
        """Raise ShakegptError, with each field and value, for invalid settings."""
        bounds.check(self)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Checked):
    """Finetune a GPT-2 on a text. The defaults fit the pocket GPT-2 and two CPU cores."""

    # fmt: off
    init_from: str = setting("pocket",
        Text("MODEL", path=True, known=("pocket", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl",
        "distilgpt2", "scratch")),
        "Model to start from: pocket (ships with shakegpt), gpt2, gpt2-medium, gpt2-large, "
        "gpt2-xl, distilgpt2, owner/name on the Hugging Face Hub, a checkpoint directory, a "
        "run, or scratch.", WHAT)
    dataset: tuple[str, ...] = setting(("plays",), _TEXTS,
        "Text to learn: plays (all of Shakespeare's, offline), tinyshakespeare (downloaded "
        "once), text files, record files (JSON Lines, JSON, CSV, TSV, Parquet), directories, or "
        "- for standard input.", WHAT)
    text_field: str | None = setting(None, Text("FIELD"),
        "Field or column of the record files that holds the text.",
        WHAT, none="the one named text, or the only one that holds prose")
    separate_documents: bool = setting(True, Switch(),
        "Put the end-of-text token after each document where there are several files or "
        "records, so that a sample ends by itself; --no-separate-documents joins them by a "
        "blank line.", WHAT)
    val_dataset: tuple[str, ...] | None = setting(None, _TEXTS,
        "Text to validate on, named as in --dataset; all of --dataset is then trained on.",
        WHAT, none="the last part of --dataset")
    val_fraction: float | None = setting(None, real(0, 0.9, "fraction", above=True),
        "Fraction of the characters of --dataset held out from its end for validation.",
        WHAT, none="0.1")
    out_dir: str | None = setting(None, Text("DIR", path=True),
        "Directory of the run; must not hold a run yet.", WHAT, none="runs/<time>-<model>")

    max_iters: int = setting(20, integer(0, unit="steps"),
        "Optimizer steps. 20 is enough for the talk's story; raise it while val loss still "
        "falls.", TRAINING)
    eval_interval: int = setting(5, integer(1, unit="steps"),
        "Optimizer steps between evaluations, each with a sample and a saved state. Lower it to "
        "see more, raise it for long runs.", TRAINING)
    keep: int = setting(2, integer(1, unit="states"),
        "Saved states that stay on disk, 12 bytes a parameter each. With 1 there is none to "
        "fall back to if a disk error spoils it.", TRAINING)
    patience: int | None = setting(None, integer(1, unit="evaluations"),
        "Stop after this many evaluations in a row without a lower val loss.",
        TRAINING, none="train to --max-iters")
    max_minutes: float | None = setting(None, real(0, unit="minutes", above=True),
        "Stop after the iteration in which this much training time has passed.",
        TRAINING, none="no limit")
    eval_tokens: int = setting(40_000, integer(1, unit="tokens"),
        "Validation tokens that each evaluation predicts, evenly spread and always the same; a "
        "smaller split is used whole. Raise it for a more exact val loss, lower it for a faster "
        "run.", TRAINING)
    batch_size: int = setting(32, integer(1, unit="sequences"),
        "Sequences per micro-batch. Lower it when memory is short, with more accumulation "
        "instead.", TRAINING)
    gradient_accumulation_steps: int = setting(4, integer(1, unit="steps"),
        "Micro-batches per optimizer step: a step sees batch_size x this x block_size tokens.",
        TRAINING)
    block_size: int | None = setting(128, integer(2, unit="tokens"),
        "Sequence length. Short sequences spread an optimizer step over more of the text; lower "
        "it to save memory and time.", TRAINING, none="what the model was made for")
    learning_rate: float = setting(1.4e-3, real(0, 10, "rate", above=True),
        "Learning rate of AdamW. Small models take 1e-3; GPT-2 from 124M on about 3e-5.", TRAINING)
    optimizer: Optimizer = setting("adamw", Choice(*get_args(Optimizer)),
        "What updates the weights. muon: Muon for the matrices of the blocks, AdamW for the "
        "rest; for models that Muon pretrained, as the pocket. OpenAI's were pretrained with "
        "Adam. LoRA, --shard and --memory lowest need adamw.", TRAINING)
    muon_learning_rate: float = setting(0.03, real(0, 10, "rate", above=True),
        "Learning rate of Muon, with --optimizer muon. With --decay-lr it follows the same "
        "curve.", TRAINING)
    decay_lr: bool = setting(False, Switch(),
        "Warm up and decay the learning rate along a cosine instead of keeping it constant. For "
        "long runs.", TRAINING)
    warmup_iters: int = setting(0, integer(0, unit="steps"),
        "Optimizer steps of linear warm-up, with --decay-lr. From scratch, about 1 % of "
        "max_iters.", TRAINING)
    lr_decay_iters: int | None = setting(None, integer(1, unit="steps"),
        "Optimizer step at which the cosine ends, with --decay-lr; lower it to stay at min_lr "
        "for a while.", TRAINING, none="max_iters")
    min_lr: float = setting(0.0, real(0, 10, "rate"),
        "Learning rate at the end of the cosine, with --decay-lr. A tenth of learning_rate is "
        "usual.", TRAINING)
    weight_decay: float = setting(0.1, real(0, 10, "rate"),
        "Weight decay, on matrices only. Raise it against overfitting.", TRAINING)
    beta1: float = setting(0.8, real(0, 0.999999, "decay"),
        "AdamW's decay of the mean gradient. 0.9 is usual; lower it when optimizer steps are "
        "few.", TRAINING)
    beta2: float = setting(0.9, real(0, 0.999999, "decay"),
        "AdamW's decay of the mean squared gradient. 0.95 is usual; 0.99 or more for small "
        "batches.", TRAINING)
    grad_clip: float | None = setting(1.0, real(0, unit="norm", above=True),
        "Largest gradient norm; larger gradients are scaled down to it.",
        TRAINING, none="no clipping")
    dropout: float = setting(0.0, real(0, 0.99, "share"),
        "Share of activations dropped while training. Try 0.1 against overfitting in long runs.",
        TRAINING)

    n_layer: int = setting(6, integer(1, 1000, "blocks"),
        "Transformer blocks, with --init-from scratch only. More learn more from a long text, "
        "in more time.", SCRATCH)
    n_head: int = setting(6, integer(1, 1000, "heads"),
        "Attention heads per block, with --init-from scratch only. One for each 64 of width is "
        "usual.", SCRATCH)
    n_embd: int = setting(384, integer(1, 100_000, "width"),
        "Embedding width, with --init-from scratch only; a multiple of n_head. Time and memory "
        "grow with its square.", SCRATCH)
    tokenizer: str = setting("pocket", Text("NAME", path=True, known=("pocket", "gpt2", "char")),
        "Vocabulary, with --init-from scratch only: pocket, gpt2, char (a token for each "
        "character of the text), bpe:N (N tokens learned from the text, as bpe:4096), or a "
        "checkpoint directory. char for small models of short texts.", SCRATCH)

    lora_rank: int | None = setting(None, integer(1, 4096, "rank"),
        "Train only a low-rank change of some matrices (LoRA) and leave the model as it is: "
        "less memory, another curve; 8 is usual, at a ten times higher learning rate.",
        LORA, none="train all weights")
    lora_alpha: float = setting(16.0, real(0, 100_000, "scale", above=True),
        "With --lora-rank: the change is scaled by alpha / rank. Raise it to learn faster.", LORA)
    lora_dropout: float = setting(0.0, real(0, 0.99, "share"),
        "With --lora-rank: share of the change's inputs dropped while training; 0.05 to 0.1 "
        "against overfitting.", LORA)
    lora_targets: tuple[Matrix, ...] = setting(("attn.c_attn",), Several(Choice(*get_args(Matrix))),
        "With --lora-rank: the matrices of each block that are changed. All four learn most.", LORA)

    prompt: str = setting("ROMEO:", Text(empty=True),
        "Prompt of the sample that each evaluation draws. Use a beginning that suits your text.",
        SAMPLING)
    max_new_tokens: int = setting(200, integer(0, 1_000_000, "tokens"),
        "Length of that sample; 0 draws none, which saves seconds an evaluation.", SAMPLING)
    temperature: float = setting(0.8, real(0, 100, "t"),
        "Of that sample: 0 always takes the likeliest token, 1 draws as the model predicts. "
        "Lower it for safer words, raise it for wilder ones.", SAMPLING)
    top_k: int | None = setting(200, integer(1, unit="k"),
        "Of that sample: draw from the k likeliest tokens only. Lower it against nonsense.",
        SAMPLING, none="from all tokens")
    top_p: float | None = setting(None, real(0, 1, "p", above=True),
        "Of that sample: draw from the likeliest tokens that make up probability p together; "
        "0.9 is usual where top_k is too blunt.", SAMPLING, none="from all tokens")

    seed: int = setting(1337, integer(0, 2**63 - 1, "seed"),
        "Decides sequences, dropout, samples and, from scratch, the weights. Change it to see "
        "how much of a result is chance.", MACHINE)
    device: Device = setting("auto", Choice(*get_args(Device)),
        "Where to train. auto: cuda, else mps, else cpu.", MACHINE)
    dtype: Dtype = setting("auto", Choice(*get_args(Dtype)),
        "Arithmetic of the matrix products; weights stay float32. auto: bfloat16 where the "
        "device is fast at it, float16 with loss scaling where only that works, else float32.",
        MACHINE)
    memory: Memory = setting("auto", Choice(*get_args(Memory)),
        "low: recompute activations and keep AdamW's moments in a file on the run's disk, for "
        "the same numbers in about half the memory and a third more time. lowest: the weights "
        "and gradients as well, a block in memory at a time; for a model larger than the "
        "memory. auto: the first of normal, low and lowest that fits. With --shard or "
        "--optimizer muon the moments stay in memory.", MACHINE)
    compile: Compile = setting("auto", Choice(*get_args(Compile)),
        "Compile the model's blocks first: half a minute of waiting, then faster steps on a "
        "GPU. auto: when the whole run ends sooner for it, which on a CPU it seldom does.", MACHINE)
    shard: bool = setting(False, Switch(),
        "Under torchrun: each process holds only its shard of weights, gradients and moments. "
        "For what does not fit one device; it sends more than plain torchrun, which copies the "
        "model.", MACHINE)
    save_signal: SaveSignal | None = setting(None, Choice(*get_args(SaveSignal)),
        "Signal of a batch system at which the state is saved and the run ends, as with "
        "SIGTERM. Unless named here, SIGUSR1 and SIGUSR2 save and training goes on.",
        MACHINE, none="SIGXCPU")
    threads: int | None = setting(None, _THREADS,
        "CPU threads of the arithmetic; lower it to leave cores to other work.",
        MACHINE, none="PyTorch's choice, the physical cores")
    # fmt: on

    def __post_init__(self) -> None:
        """Raise ShakegptError, with each field and value, for invalid settings."""
        for name in ("dataset", "val_dataset"):
            texts = getattr(self, name)
            if isinstance(texts, str | list):
                names = (texts,) if isinstance(texts, str) else tuple(texts)
                object.__setattr__(self, name, names)
        super().__post_init__()
        # not vars(self): a configuration from an older log has class defaults for newer fields
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if conflicting := conflicts(values):
            raise ShakegptError("; ".join(sentence for _, sentence in conflicting))


NOT_LOWEST: dict[str, tuple[tuple[Any, ...], str]] = {
    "optimizer": (("muon",), "--optimizer muon, which orthogonalizes whole matrices"),
    "lora_rank": ((), "--lora-rank, which leaves few gradients and moments"),
    "shard": ((True,), "--shard, which divides the model among processes"),
    "compile": (("on",), "--compile on"),
    "dtype": (("float16",), "--dtype float16, whose loss is scaled"),
    "device": (("cuda", "mps"), "a GPU"),
}
"""Field -> the values that `--memory lowest` does not support, and how messages call them."""


def conflicts(values: Mapping[str, Any]) -> list[tuple[tuple[str, str], str]]:
    """Settings of `FinetuneConfig` that exclude each other: both fields, and an error message."""
    found = list[tuple[tuple[str, str], str]]()
    if values["val_dataset"] is not None and values["val_fraction"] is not None:
        message = (
            "--val-dataset and --val-fraction exclude each other: a validation text leaves all of "
            "--dataset to training; give one of them"
        )
        found.append((("val_fraction", "val_dataset"), message))
    if values["optimizer"] == "muon" and values["lora_rank"] is not None:
        message = "--optimizer muon trains whole matrices and --lora-rank none: give one of them"
        found.append((("optimizer", "lora_rank"), message))
    if values["memory"] == "lowest":
        for name, (unsupported, option) in NOT_LOWEST.items():
            if values[name] in unsupported or (name == "lora_rank" and values[name] is not None):
                message = f"--memory lowest cannot be combined with {option}: give --memory low"
                found.append((("memory", name), message))
    width, heads = values["n_embd"], values["n_head"]
    if values["init_from"] == "scratch" and width % heads:
        message = f"--n-embd must be a multiple of --n-head {heads}, got {width}"
        found.append((("n_embd", "n_head"), message))
    return found


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
    threads: int | None = setting(None, _THREADS,
        "CPU threads of the arithmetic.", MACHINE, none="PyTorch's choice")
    # fmt: on


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Checked):
    """Measure a model on a text: val loss and perplexity."""

    # fmt: off
    dataset: tuple[str, ...] | None = setting(None, _TEXTS,
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
    threads: int | None = setting(None, _THREADS,
        "CPU threads of the arithmetic.", MACHINE, none="PyTorch's choice")
    # fmt: on


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a GPT-2. The defaults are the smallest one that OpenAI released, 124M."""

    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    block_size: int = 1024
    vocab_size: int = 50257
    layer_norm_epsilon: float = 1e-5
    dropout: float = 0.0
    activation_function: Literal["gelu_new", "gelu"] = "gelu_new"
    """GELU in its tanh form, as OpenAI's, or exact, as nanoGPT's."""
    tie_word_embeddings: bool = True
    """Whether the head shares the matrix of the token embedding."""

    @property
    def block_params(self) -> int:
        """Parameters of a block: 12 C² weights (3 and 1 of attention, 4 and 4 of the MLP), 9 C
        biases, 4 C of its LayerNorms.
        """
        return 12 * self.n_embd**2 + 13 * self.n_embd

    @property
    def n_params(self) -> int:
        """Number of parameters, a tied embedding counted once; the last LayerNorm has 2 C."""
        rows = self.vocab_size if self.tie_word_embeddings else 2 * self.vocab_size
        return (rows + self.block_size + 2) * self.n_embd + self.n_layer * self.block_params


def block_size_fault(block_size: int | None, shape: GPTConfig, name: str) -> str | None:
    """An error message when the model `name` has too few positions for `block_size`; else None."""
    if block_size is None or block_size <= shape.block_size:
        return None
    return f"--block-size {block_size} is over the {shape.block_size} that {name} was made for"


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
