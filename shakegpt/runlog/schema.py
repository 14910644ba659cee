"""The records of a run log, with the meaning and unit of each field: the schema of all parts.

A run log is JSON Lines in UTF-8: one record per line, appended in one write, never changed. The
field `event` is the kind of the record. Conventions that every reader may rely on:

- an *iteration* is one optimizer step. `iteration` counts updates: evaluation 0 is of the initial
  checkpoint, step 1 is the first update, evaluation 5 is after 5 updates. A `progress` record has
  the iteration in progress, so its loss is of the weights after `iteration - 1` updates;
- `time` is seconds since 1970 (UTC) by the trainer's clock; durations are of a monotonic one;
- a loss is in nats per token; JSON has no NaN, so a loss that is not finite is `null` (None);
- after a `resume` record with iteration k, earlier records of iterations after k are void: readers
  key by iteration, so that a resumed run overwrites its own tail (as `history.History` does).
"""

from __future__ import annotations

import time as clock
from typing import Any, Literal

import msgspec

SCHEMA = 1
"""Version of this schema, in every `run` record; readers refuse a newer one."""

Phase = Literal["starting", "training", "evaluating", "sampling", "saving", "paused"]
Status = Literal["finished", "stopped", "failed"]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Common fields of all records."""

    time: float = msgspec.field(default_factory=clock.time)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of the model. `n_params` counts a tied embedding once, positions included."""

    name: str
    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    vocab_size: int
    n_params: int
    tied: bool = True
    """Whether the head shares the matrix of the token embedding."""
    sha256: str | None = None
    """Of the initial weights: of their file, or of the shards' sha256s, one per line."""
    revision: str | None = None
    """Commit on the hub of the initial weights."""


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """The text: its name, the sha256 of its UTF-8 bytes, its size, and its split in tokens."""

    name: str
    sha256: str
    characters: int
    train_tokens: int
    val_tokens: int
    eval_tokens: int
    """Number of `val_tokens` that each evaluation predicts; all of them if `eval_whole`."""
    eval_whole: bool
    speakers: tuple[str, ...] = ()
    """Speakers in a text laid out as a play; empty for prose."""
    documents: int = 1
    """Number of files and records of the text."""
    train_characters: int | None = None
    val_characters: int | None = None
    """Characters of each part of the split, for bits per character; None in old logs."""
    val_name: str | None = None
    val_sha256: str | None = None
    """Of a separate validation text; None if the last part of the text is used."""
    notes: tuple[str, ...] = ()
    """Assumptions made while reading the text, such as its encoding: sentences for the user."""


class Git(msgspec.Struct, frozen=True, kw_only=True):
    """The git checkout that the code ran from."""

    commit: str
    dirty: bool


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Estimated memory of a run, in bytes, part by part."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    process: int
    row: str = "normal"
    """The mode of --memory: normal; low, which recomputes and keeps the moments in a file; or
    lowest, with weights, gradients and activations in files as well."""
    traffic: int = 0
    """Bytes read and written on disk in each iteration with low and lowest memory."""
    disk: int = 0
    """Peak disk space of the run, bytes; 0 in older logs."""

    @property
    def total(self) -> int:
        """The sum of the parts, bytes."""
        parts = (self.weights, self.gradients, self.optimizer, self.activations, self.logits)
        return sum(parts) + self.process


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a run started by a launcher such as torchrun."""

    processes: int
    job: str | None
    """The launcher's name of the job, by which a restarted job finds its run."""


class Run(Record, frozen=True, kw_only=True, tag="run"):
    """The header, the first record of every log."""

    schema: int = SCHEMA
    run_id: str
    config: dict[str, Any]
    model: Model
    dataset: Dataset
    device: str
    device_reason: str
    dtype: str
    dtype_reason: str
    compiled: bool | None = None
    """Whether the blocks were compiled; None in old logs."""
    compile_reason: str = ""
    memory: Memory
    seconds: float | None = None
    """Estimated duration; None where nothing could be measured beforehand."""
    versions: dict[str, str]
    git: Git | None
    seed: int
    host: str
    machine: str = ""
    """`status.machine`, which tells a later process whether `pid` is of the same machine."""
    pid: int
    threads: int
    world: World | None = None
    """None for a single process."""


class Progress(Record, frozen=True, kw_only=True, tag="progress"):
    """Forward and backward pass of micro-batch `micro_step`, from 1 to `micro_steps`, are done."""

    iteration: int
    micro_step: int
    micro_steps: int
    loss: float | None
    tokens: int
    """Tokens trained on so far in the whole run, this micro-batch included."""


class Step(Record, frozen=True, kw_only=True, tag="step"):
    """One update, with the mean loss over its micro-batches, before the update."""

    iteration: int
    loss: float | None
    learning_rate: float
    grad_norm: float | None
    """Norm of the gradient before clipping."""
    seconds: float
    tokens_per_second: float
    memory: int
    """Resident memory of the trainer, bytes."""
    gpu_memory: int | None = None
    """Peak memory allocated on the accelerator, bytes; None without one."""


class Eval(Record, frozen=True, kw_only=True, tag="eval"):
    """Mean loss over the fixed validation windows (see `Dataset.eval_tokens`)."""

    iteration: int
    val_loss: float | None
    train_loss: float | None = None
    """The same over as many fixed windows of the training text; None if not measured."""
    tokens: int
    seconds: float
    best: bool
    """Whether this is the lowest val loss of the run so far."""
    standard_error: float | None = None
    """Standard error of the mean, from the spread between windows; None with one window."""
    characters: int | None = None
    """Characters of the predicted tokens, see `metrics.bits_per_character`; None in old logs."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling settings."""

    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int


class Candidate(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A candidate for the next token, written as an array [id, text, probability, raw]."""

    id: int
    text: str
    probability: float
    """After temperature, top-k and top-p, as used for drawing."""
    raw: float
    """Softmax of the model's logits, before any of these."""


class Sample(Record, frozen=True, kw_only=True, tag="sample"):
    """A sample begins. `sample` numbers the samples of a run from 0, in order."""

    iteration: int
    sample: int
    prompt: str
    prompt_tokens: tuple[tuple[int, str], ...]
    settings: Settings
    requested: bool = msgspec.field(default=False, name="asked")
    """True for a sample requested by a command; False for that of an evaluation."""


class Token(Record, frozen=True, kw_only=True, tag="token"):
    """One token was drawn. The texts of a sample's tokens join to its text."""

    iteration: int
    sample: int
    index: int
    id: int
    text: str
    """The characters that this token completes; may be empty."""
    probability: float
    """As `Candidate.probability`."""
    raw: float
    """As `Candidate.raw`."""
    rank: int
    """Rank among all tokens by the model's logits, from 1."""
    candidates: tuple[Candidate, ...]
    """The likeliest tokens, best first; the drawn one may not be among them."""
    u: float | None = None
    """The random number in [0, 1) that selected it from the candidates in descending probability;
    None where none was drawn, and in old logs."""


class BlockGuess(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The prediction that the head makes from the residual stream after one block, written as an
    array [rank, probability, [[id, probability], ...]]; probabilities have 4 digits.
    """

    rank: int
    """Rank of the drawn token among all tokens, from 1."""
    probability: float
    """Of the drawn token, softmax of the logits without temperature."""
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens, (id, probability), best first."""


class AttentionMap(msgspec.Struct, frozen=True, kw_only=True):
    """Attention of one head, or the mean of a block, in thousandths."""

    block: int
    """From 0."""
    head: int | None
    """From 0; None for the mean over the heads of the block."""
    rows: tuple[tuple[int, ...], ...]
    """A row for each drawn token: the attention from the position that predicts it to each token of
    `Inspection.context` up to itself. The rest to 1000 is attention to earlier tokens."""


class Inspection(Record, frozen=True, kw_only=True, tag="inspection"):
    """The inside of the model when it predicted the first n tokens of a sample, at most 16
    (`shakegpt.inspection`). Not in old logs.
    """

    iteration: int
    sample: int
    context: tuple[tuple[int, str], ...]
    """(id, text) of the tokens that attention refers to: the end of the prompt, then all drawn
    tokens but the last, which no prediction attends to."""
    drawn: tuple[tuple[int, str], ...]
    """(id, text) of the n drawn tokens."""
    guesses: tuple[tuple[BlockGuess, ...], ...] = msgspec.field(name="ladder")
    """For each drawn token, n_layer + 1 guesses: before the first block, then after each block
    (logit lens). The last guess is the model's own prediction."""
    texts: dict[int, str]
    """Text of every token id in `guesses`, which is named `ladder` in the log."""
    attention: tuple[AttentionMap, ...]
    """All heads of all blocks if that takes at most about 200 kB; else the mean of each block and
    its two heads with the lowest entropy."""
    initial: tuple[float, ...] | None = None
    """Probability of each drawn token under the model of iteration 0, 6 digits; None when that
    model was not available."""


class SampleEnd(Record, frozen=True, kw_only=True, tag="sample_end"):
    """A sample is complete, or was interrupted."""

    iteration: int
    sample: int
    text: str
    tokens: int
    seconds: float
    complete: bool


class Copies(Record, frozen=True, kw_only=True, tag="copies"):
    """Passages that a sample copied from the training part of the text.

    Each has at least 4 words, white space aside, and none is inside another; two Chinese or
    Japanese characters count as a word, signs without letters or digits as none. Written after each
    complete sample if the training part has at most 20 million bytes in UTF-8.
    """

    iteration: int
    sample: int
    passages: tuple[tuple[int, int, int, int], ...]
    """(begin, end, words, source): offsets in the sample's text without its prompt, number of
    words, first offset in the training part; offsets in characters."""

    @property
    def longest(self) -> int:
        """Words of the longest passage; 0 without any."""
        return max((words for _, _, words, _ in self.passages), default=0)


class Advice(Record, frozen=True, kw_only=True, tag="advice"):
    """How the run is going after an evaluation, by the rules of `runlog.advice`."""

    iteration: int
    rule: Literal["diverging", "memorizing", "rising", "gap", "learning", "level"]
    sentence: str


class Checkpoint(Record, frozen=True, kw_only=True, tag="checkpoint"):
    """The best model or the last state is on disk. `path` is relative to the run directory."""

    iteration: int
    kind: Literal["best", "last"]
    path: str
    bytes: int
    seconds: float


class Command(Record, frozen=True, kw_only=True, tag="command"):
    """The outcome of a command in control.jsonl (`control.Request`), by its id."""

    id: str
    verb: str
    status: Literal["accepted", "done", "refused"]
    message: str = ""
    iteration: int


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """The trainer is alive: at least every 5 seconds, and whenever the phase changes."""

    phase: Phase
    iteration: int
    max_iters: int
    """The current limit, which a command may have changed."""
    memory: int


class Resume(Record, frozen=True, kw_only=True, tag="resume"):
    """A run continues after `iteration`; earlier records of later iterations are void."""

    iteration: int
    config: dict[str, Any]
    device: str
    device_reason: str
    dtype: str
    dtype_reason: str
    compiled: bool | None = None
    compile_reason: str = ""
    versions: dict[str, str]
    git: Git | None
    host: str
    machine: str = ""
    pid: int
    threads: int
    world: World | None = None


class RunWarning(Record, frozen=True, kw_only=True, tag="warning"):
    """A warning for the user; the run continues."""

    iteration: int
    message: str


class End(Record, frozen=True, kw_only=True, tag="end"):
    """The trainer ends. Only a resume may follow."""

    status: Status
    reason: str
    iteration: int
    best_val_loss: float | None
    wall_seconds: float
    """Duration of this process, loading and evaluations included."""


Event = (
    Run
    | Progress
    | Step
    | Eval
    | Sample
    | Token
    | SampleEnd
    | Inspection
    | Copies
    | Advice
    | Checkpoint
    | Command
    | Heartbeat
    | Resume
    | RunWarning
    | End
)
