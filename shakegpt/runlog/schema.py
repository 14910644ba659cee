"""The records of a run log: what each carries, in which unit. The one schema that all parts share.

A run log is JSON Lines in UTF-8: one record a line, appended in one write, never changed. The field
`event` names the record's kind. Conventions that every reader may rely on:

- an *iteration* is one optimizer step. `iteration` counts updates: evaluation 0 is the untouched
  checkpoint, step 1 is the first update, evaluation 5 has seen 5 updates. A `progress` record
  carries the iteration that is being worked on, so its losses belong to weights of `iteration - 1`;
- `time` is seconds since 1970 (UTC) by the trainer's clock; durations come from a monotonic one;
- a loss is nats a token; JSON has no NaN, so a loss that is not finite is `null` (None);
- after a `resume` record with iteration k, whatever the log holds of iterations after k is void:
  readers key by iteration, so the resumed run overwrites its own tail (`history.History` does).
"""

from __future__ import annotations

import time as clock
from typing import Any, Literal

import msgspec

SCHEMA = 1
"""Version of this schema, in every `run` record; a reader refuses a newer one with a sentence."""

Phase = Literal["starting", "training", "evaluating", "sampling", "saving", "paused"]
Status = Literal["finished", "stopped", "failed"]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """What every record carries."""

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
    """Whether the head is the token embedding again."""
    sha256: str | None = None
    """Of the weights it starts from: of their file, or of the lines of the shards' sha256s."""
    revision: str | None = None
    """Their commit on the hub."""


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """The text: its name, the sha256 of its UTF-8 bytes, its size, and the split in tokens."""

    name: str
    sha256: str
    characters: int
    train_tokens: int
    val_tokens: int
    eval_tokens: int
    """How many of `val_tokens` each evaluation predicts; all of them when `eval_whole`."""
    eval_whole: bool
    speakers: tuple[str, ...] = ()
    """Who speaks in the text, when it is laid out as a play; empty for prose."""
    documents: int = 1
    """Files and records that the text is made of."""
    train_characters: int | None = None
    val_characters: int | None = None
    """Characters that each part of the split spells, for bits per character; None in old logs."""
    val_name: str | None = None
    val_sha256: str | None = None
    """Of the text given for validation; None where it is the last part of the text."""
    notes: tuple[str, ...] = ()
    """What was assumed while reading the text, such as its encoding: sentences for the user."""


class Git(msgspec.Struct, frozen=True, kw_only=True):
    """Where the code stood, when it ran from a git checkout."""

    commit: str
    dirty: bool


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs in memory by estimate, in bytes, part by part."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    process: int
    row: str = "normal"
    """Of the ladder: normal; low, which recomputes and keeps the moments in a file; or lowest, with
    weights, gradients and activations in files as well."""
    traffic: int = 0
    """Bytes read and written on the disk each iteration, when memory is short."""
    disk: int = 0
    """Bytes that the run takes on disk at its peak; 0 in older logs."""

    @property
    def total(self) -> int:
        """The sum of the parts, bytes."""
        parts = (self.weights, self.gradients, self.optimizer, self.activations, self.logits)
        return sum(parts) + self.process


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Who trained together, when a launcher such as torchrun started the processes."""

    processes: int
    job: str | None
    """The launcher's name for it, by which a restarted job finds its run."""


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
    """Whether the blocks were compiled; None in logs from before that was decided."""
    compile_reason: str = ""
    memory: Memory
    seconds: float | None = None
    """What the run will take by estimate; None where nothing could be measured beforehand."""
    versions: dict[str, str]
    git: Git | None
    seed: int
    host: str
    machine: str = ""
    """`status.machine`, by which a later process knows whether `pid` is one of its own machine."""
    pid: int
    threads: int
    world: World | None = None
    """None for a process alone."""


class Progress(Record, frozen=True, kw_only=True, tag="progress"):
    """One micro-batch went forward and backward. `micro_step` counts from 1 to `micro_steps`."""

    iteration: int
    micro_step: int
    micro_steps: int
    loss: float | None
    tokens: int
    """Tokens trained on so far in the whole run, this micro-batch included."""


class Step(Record, frozen=True, kw_only=True, tag="step"):
    """One update was made: the mean loss over its micro-batches, before the update."""

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
    """The same over as many fixed windows of the training text; None if it was not measured."""
    tokens: int
    seconds: float
    best: bool
    """Whether this is the lowest val loss of the run so far."""
    standard_error: float | None = None
    """Standard error of the mean, from the spread between windows; None with one window."""
    characters: int | None = None
    """Characters of the predicted tokens' text, see `metrics.bits_per_character`; None in logs from
    before they were counted."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a sample is drawn."""

    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int


class Candidate(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A token that could have come next, written as an array [id, text, probability, raw]."""

    id: int
    text: str
    probability: float
    """After temperature, top-k and top-p: what the draw used."""
    raw: float
    """Softmax of the model's own logits, before any of these."""


class Sample(Record, frozen=True, kw_only=True, tag="sample"):
    """A sample begins. `sample` numbers the samples of a run from 0, in the order they began."""

    iteration: int
    sample: int
    prompt: str
    prompt_tokens: tuple[tuple[int, str], ...]
    settings: Settings
    requested: bool = msgspec.field(default=False, name="asked")
    """True for a sample by a command; False for the fixed sample of an evaluation."""


class Token(Record, frozen=True, kw_only=True, tag="token"):
    """One token was drawn. Texts of a sample's tokens join to its text: no half characters."""

    iteration: int
    sample: int
    index: int
    id: int
    text: str
    """What this token adds to the text; empty while a character is not complete yet."""
    probability: float
    """As `Candidate.probability`."""
    raw: float
    """As `Candidate.raw`."""
    rank: int
    """Place among all tokens by the model's logits, from 1."""
    candidates: tuple[Candidate, ...]
    """The most likely few, best first; the drawn token may not be among them."""
    u: float | None = None
    """The random number in [0, 1) that chose it, among the choices in descending probability; None
    where none was drawn, or in logs from before it was recorded."""


class Rung(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the head reads from the residual stream after one block, written as an array
    [rank, probability, [[id, probability], ...]]; probabilities are rounded to 4 digits.
    """

    rank: int
    """Place of the drawn token among all tokens, from 1."""
    probability: float
    """Of the drawn token, softmax of the logits without temperature."""
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens, (id, probability), best first."""


class AttentionMap(msgspec.Struct, frozen=True, kw_only=True):
    """Attention of one head, or of a block's mean, in thousandths."""

    block: int
    """From 0."""
    head: int | None
    """From 0; None for the mean over the heads of the block."""
    rows: tuple[tuple[int, ...], ...]
    """A row for each drawn token: what the position that predicts it pays to each token of
    `Inspection.context` up to itself. What is missing to 1000 went to tokens before the context."""


class Inspection(Record, frozen=True, kw_only=True, tag="inspection"):
    """Inside the model while the first tokens of a sample were predicted (`shakegpt.inspection`).

    There are n drawn tokens, at most 16. Old logs have no such record.
    """

    iteration: int
    sample: int
    context: tuple[tuple[int, str], ...]
    """(id, text) of the tokens that attention refers to: the end of the prompt, then the drawn
    tokens but the last, which no prediction looks at."""
    drawn: tuple[tuple[int, str], ...]
    """(id, text) of the n drawn tokens."""
    ladder: tuple[tuple[Rung, ...], ...]
    """For each drawn token, n_layer + 1 rungs: before the first block, then after each block
    (logit lens). The last rung is the model's own prediction."""
    texts: dict[int, str]
    """Text of every token id in `ladder`."""
    attention: tuple[AttentionMap, ...]
    """Every head of every block where that takes at most about 200 kB; else the mean of each block
    and its two heads of lowest entropy."""
    initial: tuple[float, ...] | None = None
    """Probability of each drawn token under the model of iteration 0, 6 digits; None when that
    model was not at hand."""


class SampleEnd(Record, frozen=True, kw_only=True, tag="sample_end"):
    """A sample is complete, or was cut short by a stop."""

    iteration: int
    sample: int
    text: str
    tokens: int
    seconds: float
    complete: bool


class Copies(Record, frozen=True, kw_only=True, tag="copies"):
    """What a sample copied word for word from the training part of the text.

    Passages of at least 4 words, white space aside, none inside another. Written after each
    complete sample where the text has at most 20 million characters.
    """

    iteration: int
    sample: int
    passages: tuple[tuple[int, int, int, int], ...]
    """(begin, end, words, source): where each stands in the sample's text without its prompt, how
    many words it has, and where it first stands in the training part; offsets in characters."""

    @property
    def longest(self) -> int:
        """Words of the longest passage; 0 when there is none."""
        return max((words for _, _, words, _ in self.passages), default=0)


class Advice(Record, frozen=True, kw_only=True, tag="advice"):
    """How the run is going, judged after an evaluation by the rules of `runlog.advice`."""

    iteration: int
    rule: Literal["diverging", "memorizing", "rising", "gap", "learning", "level"]
    sentence: str


class Checkpoint(Record, frozen=True, kw_only=True, tag="checkpoint"):
    """Weights, or all that resuming needs, are safely on disk. `path` is relative to the run."""

    iteration: int
    kind: Literal["best", "last"]
    path: str
    bytes: int
    seconds: float


class Command(Record, frozen=True, kw_only=True, tag="command"):
    """What became of a command of control.jsonl (`control.Request`), by its id."""

    id: str
    verb: str
    status: Literal["accepted", "done", "refused"]
    message: str = ""
    iteration: int


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """The trainer lives: at least every 5 seconds, and at once when the phase changes."""

    phase: Phase
    iteration: int
    max_iters: int
    """The limit as it stands now: a command may have changed it."""
    memory: int


class Resume(Record, frozen=True, kw_only=True, tag="resume"):
    """A run goes on after `iteration`; earlier records of later iterations are void."""

    iteration: int
    config: dict[str, Any]
    device: str
    device_reason: str
    dtype: str
    dtype_reason: str
    compiled: bool | None = None
    """Whether the blocks were compiled; None in logs from before that was decided."""
    compile_reason: str = ""
    versions: dict[str, str]
    git: Git | None
    host: str
    machine: str = ""
    """`status.machine`, by which a later process knows whether `pid` is one of its own machine."""
    pid: int
    threads: int
    world: World | None = None


class RunWarning(Record, frozen=True, kw_only=True, tag="warning"):
    """Something a person should know; the run goes on."""

    iteration: int
    message: str


class End(Record, frozen=True, kw_only=True, tag="end"):
    """The trainer leaves. Only a resume may follow."""

    status: Status
    reason: str
    iteration: int
    best_val_loss: float | None
    wall_seconds: float
    """Time this process trained, loading and evaluations included; a run's parts add up."""


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
