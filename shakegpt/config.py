"""What each verb can be told: frozen dataclasses, a docstring line a field, presets as instances.

The docstrings are the command line's help. Names are nanoGPT's where nanoGPT has the field.
Nothing here imports torch or the command-line library.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Literal

from shakegpt import bounds
from shakegpt.errors import ShakegptError

Device = Literal["auto", "cpu", "cuda", "mps"]
Matrix = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Memory = Literal["auto", "normal", "low"]
Compile = Literal["auto", "on", "off"]
Optimizer = Literal["adamw", "muon"]
Weights = Literal["float32", "bf16", "int8"]


def help_lines(kind: type[Any]) -> dict[str, str]:
    """Field name -> the string under it in the source of the dataclass `kind`, on one line."""
    found = {}
    for owner in reversed([c for c in kind.__mro__ if is_dataclass(c)]):
        tree = ast.parse(inspect.getsource(owner)).body[0]
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Finetune a GPT-2 on a text. The defaults fit the pocket GPT-2 and two CPU cores."""

    init_from: str = "pocket"
    """Model to start from: pocket (ships with shakegpt), gpt2, gpt2-medium, gpt2-large, gpt2-xl,
    distilgpt2, any GPT-2 on the Hugging Face hub, a checkpoint directory, a run, or scratch."""
    dataset: tuple[str, ...] = ("plays",)
    """Text to learn: plays (all of Shakespeare's, offline), tinyshakespeare (fetched once), text
    files, record files (JSON Lines, JSON, CSV, TSV, Parquet), directories, or - for stdin."""
    text_field: str | None = None
    """Field or column of the record files that holds the text. None: the one named text, or the
    only one that holds prose."""
    separate_documents: bool = True
    """Put the end-of-text token after each document where there are several files or records, so
    that a sample ends by itself; --no-separate-documents joins them with a blank line instead."""
    val_dataset: tuple[str, ...] | None = None
    """Text to validate on, named as in --dataset; all of --dataset is then trained on. None: the
    last part of --dataset."""
    val_fraction: float | None = None
    """Fraction of the characters of --dataset held out from its end for validation. None: 0.1."""
    out_dir: str | None = None
    """Directory of the run, which must not hold one yet. Give one to choose its name or disk.
    None: runs/<time>-<model>."""

    max_iters: int = 20
    """Optimizer steps. 20 is enough for the talk's story; raise it while val loss still falls."""
    eval_interval: int = 5
    """Iterations between evaluations, each with a sample and a saved state. Lower it to see more,
    raise it for long runs."""
    eval_tokens: int = 40_000
    """Validation tokens each evaluation predicts, evenly spread and always the same; a smaller
    split is used whole. Raise it for a more exact val loss, lower it for a faster run."""

    batch_size: int = 32
    """Windows a micro-batch. Lower it when memory is short, with more accumulation instead."""
    gradient_accumulation_steps: int = 4
    """Micro-batches an iteration: batch_size x this x block_size tokens make one update."""
    block_size: int | None = 128
    """Tokens a window. None: what the model was made for. Short windows show more of the text in
    one update; lower it to save memory and time."""

    learning_rate: float = 1.4e-3
    """Step size of AdamW. Small models take 1e-3; GPT-2 from 124M on about 3e-5."""
    optimizer: Optimizer = "adamw"
    """What updates the weights. muon: Muon for the matrices of the blocks, AdamW for the rest; for
    models that Muon pretrained, and for few updates. OpenAI's models were pretrained with Adam."""
    muon_learning_rate: float = 0.03
    """Step size of Muon, with --optimizer muon. With --decay-lr it rises and falls as the other."""
    decay_lr: bool = False
    """Warm up and decay the rate along a cosine instead of keeping it constant. For long runs."""
    warmup_iters: int = 0
    """Iterations of linear warm-up, with --decay-lr. From scratch, about 1 % of max_iters."""
    lr_decay_iters: int | None = None
    """Iteration at which the cosine ends, with --decay-lr; lower it to end at min_lr for a while.
    None: max_iters."""
    min_lr: float = 0.0
    """Rate at the cosine's end, with --decay-lr. A tenth of learning_rate is usual."""

    weight_decay: float = 0.1
    """Weight decay, on matrices only. Raise it against overfitting."""
    beta1: float = 0.8
    """AdamW's decay of the mean gradient. 0.9 is usual; lower it when updates are very few."""
    beta2: float = 0.9
    """AdamW's decay of the mean squared gradient. 0.95 is usual; 0.99 or more for small batches."""
    grad_clip: float | None = 1.0
    """Largest gradient norm; larger ones are scaled down to it. None: no clipping."""
    dropout: float = 0.0
    """Share of activations dropped while training. Try 0.1 against overfitting in long runs."""

    lora_rank: int | None = None
    """Learn only a change of this rank beside some matrices (LoRA) and leave the model as it is:
    less memory, another curve; 8 is usual, at a ten times higher rate. None: learn all weights."""
    lora_alpha: float = 16.0
    """With --lora-rank: the change counts alpha / rank times. Raise it to learn faster."""
    lora_dropout: float = 0.0
    """With --lora-rank: share of the change's inputs dropped while training; 0.05 to 0.1 against
    overfitting."""
    lora_targets: tuple[Matrix, ...] = ("attn.c_attn",)
    """With --lora-rank: the matrices of each block that get a change. All four learn most."""

    n_layer: int = 6
    """Blocks, with --init-from scratch only. More learn more from a long text, in more time."""
    n_head: int = 6
    """Attention heads of a block, with --init-from scratch only. One for each 64 of width is
    usual."""
    n_embd: int = 384
    """Width, numbers a token, with --init-from scratch only; a multiple of n_head. Time and memory
    grow with its square."""
    tokenizer: str = "pocket"
    """Vocabulary, with --init-from scratch only: pocket, gpt2, char (a token for each character of
    the text), bpe:N (N tokens learned from the text, as bpe:4096), or a checkpoint directory. char
    for small models of short texts."""

    prompt: str = "ROMEO:"
    """Prompt of the sample that each evaluation draws. Give a beginning that suits your text."""
    max_new_tokens: int = 200
    """Tokens of that sample; 0 draws none, which saves seconds an evaluation."""
    temperature: float = 0.8
    """Of that sample: 0 takes the likeliest token always, 1 draws as the model predicts. Lower it
    for safer words, raise it for wilder ones."""
    top_k: int | None = 200
    """Of that sample: draw from the k likeliest tokens only; lower it against nonsense. None: from
    all."""
    top_p: float | None = None
    """Of that sample: draw from the likeliest tokens that make up p together; 0.9 is usual where
    top_k is too blunt. None: from all."""

    seed: int = 1337
    """Decides windows, dropout, samples and, from scratch, the weights. Change it to see how much
    of a result is chance."""
    device: Device = "auto"
    """Where to train. auto: cuda, else mps, else cpu; name one to leave a GPU to others."""
    dtype: Dtype = "auto"
    """Arithmetic of the matrix products; weights stay float32. auto: bfloat16 where the device
    is fast at it, float16 with loss scaling where only that works, else float32."""
    memory: Memory = "auto"
    """low: recompute activations and keep AdamW's moments in a file of the run's disk, for the same
    numbers in about half the memory and a third more time. auto: normal where that fits. With
    --shard the moments stay in the processes, with --optimizer muon in memory."""
    compile: Compile = "auto"
    """Compile the model's blocks first: half a minute of waiting, then faster steps on a GPU. auto:
    when the whole job ends sooner for it, which on a CPU it seldom does."""
    shard: bool = False
    """Under torchrun: each process keeps only its share of weights, gradients and moments. For what
    does not fit one device; it sends more than plain torchrun, which copies the model to each."""
    threads: int | None = None
    """CPU threads of the arithmetic; lower it to leave cores to other work. None: PyTorch's choice,
    the physical cores."""

    def __post_init__(self) -> None:
        """Raise ShakegptError, naming field and value, for what can never work."""
        if isinstance(self.dataset, str | list):
            names = (self.dataset,) if isinstance(self.dataset, str) else tuple(self.dataset)
            object.__setattr__(self, "dataset", names)
        if isinstance(self.val_dataset, str | list):
            names = (
                (self.val_dataset,)
                if isinstance(self.val_dataset, str)
                else tuple(self.val_dataset)
            )
            object.__setattr__(self, "val_dataset", names)
        bounds.check(self)
        if self.val_dataset is not None and self.val_fraction is not None:
            raise ShakegptError(
                "--val-dataset and --val-fraction exclude each other: a validation text leaves all "
                "of --dataset to training; give one of them"
            )
        if self.optimizer == "muon" and self.lora_rank is not None:
            raise ShakegptError(
                "--optimizer muon trains whole matrices and --lora-rank none: leave one of them out"
            )


_DEFAULT = FinetuneConfig()
_OPENAI = replace(
    _DEFAULT,
    batch_size=1,
    gradient_accumulation_steps=32,
    block_size=None,
    learning_rate=3e-5,
    beta1=0.9,
    beta2=0.95,
)
_TINY = replace(_OPENAI, dataset=("tinyshakespeare",), block_size=1024)

PRESETS: dict[str, tuple[str, FinetuneConfig]] = {
    "pocket": ("the pocket GPT-2 on the plays: about a minute on two cores, no network", _DEFAULT),
    "gpt2": (
        "GPT-2 124M on the plays; also what --init-from another of OpenAI's models begins with",
        replace(_OPENAI, init_from="gpt2"),
    ),
    "talk": (
        "the talk: GPT-2 Large on tinyshakespeare, 20 iterations, val loss 3.66 to 2.86",
        replace(_TINY, init_from="gpt2-large"),
    ),
    "nanogpt": (
        "nanoGPT's config/finetune_shakespeare.py: GPT-2 XL on tinyshakespeare",
        replace(_TINY, init_from="gpt2-xl"),
    ),
    "char": (
        "nanoGPT's config/train_shakespeare_char.py on a CPU: characters, from scratch",
        replace(
            _DEFAULT,
            init_from="scratch",
            tokenizer="char",
            dataset=("tinyshakespeare",),
            n_layer=4,
            n_head=4,
            n_embd=128,
            block_size=64,
            batch_size=12,
            gradient_accumulation_steps=1,
            max_iters=2000,
            eval_interval=250,
            learning_rate=1e-3,
            decay_lr=True,
            warmup_iters=100,
            min_lr=1e-4,
            beta1=0.9,
            beta2=0.99,
        ),
    ),
}
"""name -> (what it is, its configuration). The first is the default."""


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How to draw a text from a model."""

    prompt: str = "ROMEO:"
    """What the model continues; - reads it from standard input."""
    max_new_tokens: int = 200
    """Tokens to draw."""
    num_samples: int = 1
    """How many texts; the k-th uses seed + k."""
    temperature: float = 0.8
    """0 takes the likeliest token always, 1 draws as the model predicts, more is wilder."""
    top_k: int | None = 200
    """Draw from the k likeliest tokens only. None: from all."""
    top_p: float | None = None
    """Draw from the likeliest tokens that make up p together. None: from all."""
    seed: int = 1337
    """Same seed, same text (on the same kind of device)."""
    dtype: Weights = "float32"
    """Bits of the weights. float32 is exact; int8 is fastest on any CPU, bf16 gains where the CPU
    computes in it. What the fewer bits cost in loss is measured and said first."""
    device: Device = "auto"
    """Where to compute. auto: cuda, else mps, else cpu."""
    threads: int | None = None
    """CPU threads of the arithmetic. None: PyTorch's choice."""

    def __post_init__(self) -> None:
        """Raise ShakegptError, naming field and value, for what can never work."""
        bounds.check(self, dtype=bounds.WEIGHTS)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How to measure a model on a text."""

    dataset: tuple[str, ...] | None = None
    """Text to measure on, named as in `finetune`: files as a whole; of plays, tinyshakespeare and
    the run's own text the validation part. None: the run's own text, else plays."""
    text_field: str | None = None
    """Field or column of the record files that holds the text, as in `finetune`."""
    val_fraction: float | None = None
    """Fraction of the text to measure on, from its end; 1 for all of it. None: as --dataset
    says."""
    eval_tokens: int | None = None
    """Tokens to predict, evenly spread; a smaller text is used whole. None: all of a file, else as
    many as the run's own evaluations, else 40,000."""
    block_size: int | None = None
    """Tokens a window. None: what the run was trained with, else what the model was made for."""
    batch_size: int = 8
    """Windows at a time. Lower it when memory is short."""
    device: Device = "auto"
    """Where to compute. auto: cuda, else mps, else cpu."""
    dtype: Dtype = "auto"
    """Arithmetic of the matrix products. auto: what the run was trained in, else as `finetune`."""
    threads: int | None = None
    """CPU threads of the arithmetic. None: PyTorch's choice."""

    def __post_init__(self) -> None:
        """Raise ShakegptError, naming field and value, for what can never work."""
        named = self if self.dataset is not None else replace(self, dataset=("plays",))
        own = {"eval_tokens": bounds.COUNT_OR_NONE, "val_fraction": bounds.FRACTION_OR_NONE}
        bounds.check(named, **own)


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

    @property
    def n_params(self) -> int:
        """Parameters in all."""
        return count_parameters(self.n_layer, self.n_embd, self.vocab_size, self.block_size)


def count_parameters(n_layer: int, n_embd: int, vocab_size: int, block_size: int) -> int:
    """Parameters of a GPT-2 of this shape, the tied embedding counted once.

    A block has 12 C² weights (3 and 1 of attention, 4 and 4 of the MLP), 9 C biases, 4 C of its
    LayerNorms; the last LayerNorm has 2 C.
    """
    block = 12 * n_embd**2 + 13 * n_embd
    return (vocab_size + block_size) * n_embd + n_layer * block + 2 * n_embd


Figure = Literal["training", "architecture", "generation", "samples"]


@dataclass(frozen=True, kw_only=True)
class FiguresConfig:
    """What to draw of which run, and where to put it."""

    runs: tuple[str, ...] = ()
    """Run directories; several are compared in training.svg. None given: the newest finished run,
    or the recorded one that ships."""
    out: str | None = None
    """Directory for the figures and run.json. None: the deck's; without a deck, and for png and
    pdf, figures/ in the run's directory."""
    only: tuple[Figure, ...] = ("training", "architecture", "generation", "samples")
    """Figures to draw."""
    theme: Literal["dark", "light"] = "dark"
    """Colours: dark as the slides, light for paper."""
    transparent: bool = False
    """Leave the background out."""
    format: tuple[Literal["svg", "png", "pdf"], ...] = ("svg",)
    """File formats to write; the deck shows svg."""
    watch: bool = False
    """Follow a run, by default the newest that trains, and redraw until it ends; one that has not
    begun is waited for."""


@dataclass(frozen=True, kw_only=True)
class ClaimsConfig:
    """How to hold the talk's claims against a run."""

    run: str | None = None
    """Run directory. None: the newest finished run, or the recorded one that ships."""
    strict: bool = False
    """Leave with 1 when a claim differs or could not be measured."""
    deck: bool = False
    """Also check the deck in this directory: its numbers, sentences, figures and code."""
    json: bool = False
    """Print the rows as JSON instead of a table."""
    markdown: bool = False
    """Print the rows as a Markdown table."""
