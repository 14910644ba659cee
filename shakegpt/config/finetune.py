"""Settings of `shakegpt finetune`. Names are nanoGPT's where nanoGPT has the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from shakegpt.config.bounds import Choice, Several, Switch, Text, integer, real, setting
from shakegpt.config.fields import (
    LORA,
    MACHINE,
    SAMPLING,
    SCRATCH,
    TEXTS,
    THREADS,
    TRAINING,
    WHAT,
    Checked,
    Compile,
    Device,
    Dtype,
    Matrix,
    Memory,
    Optimizer,
    SaveSignal,
)
from shakegpt.errors import ShakegptError


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
    dataset: tuple[str, ...] = setting(("plays",), TEXTS,
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
    val_dataset: tuple[str, ...] | None = setting(None, TEXTS,
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
    threads: int | None = setting(None, THREADS,
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
    conflicting = list[tuple[tuple[str, str], str]]()
    if values["val_dataset"] is not None and values["val_fraction"] is not None:
        message = (
            "--val-dataset and --val-fraction exclude each other: a validation text leaves all of "
            "--dataset to training; give one of them"
        )
        conflicting.append((("val_fraction", "val_dataset"), message))
    if values["optimizer"] == "muon" and values["lora_rank"] is not None:
        message = "--optimizer muon trains whole matrices and --lora-rank none: give one of them"
        conflicting.append((("optimizer", "lora_rank"), message))
    if values["memory"] == "lowest":
        for name, (unsupported, option) in NOT_LOWEST.items():
            if values[name] in unsupported or (name == "lora_rank" and values[name] is not None):
                message = f"--memory lowest cannot be combined with {option}: give --memory low"
                conflicting.append((("memory", name), message))
    width, heads = values["n_embd"], values["n_head"]
    if values["init_from"] == "scratch" and width % heads:
        message = f"--n-embd must be a multiple of --n-head {heads}, got {width}"
        conflicting.append((("n_embd", "n_head"), message))
    return conflicting
