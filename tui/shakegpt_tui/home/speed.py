"""How long a run will take on this machine, by the runs that it has trained before.

The newest run of the same model is the measure; without one, the newest of any model, scaled by
the number of operations. What the estimate rests on is named with it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shakegpt import format
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.errors import ShakegptError
from shakegpt.hardware.memory import flops
from shakegpt.runlog.log import LOG_NAME, Follower
from shakegpt.runlog.schema import Event, Run, SampleEnd, Step
from shakegpt.sanitize import one_line

KINDS = (Run, Step, SampleEnd)
LEAST_STEPS = 3
"""Iterations that a run must have for a measure: the first one is slow."""
MOST_RUNS = 12
"""Runs that are looked at, the newest first."""
MOST_BYTES = 32 << 20
"""Size of a log that is still read for this."""


@dataclass(frozen=True)
class Measure:
    """The speed of one run on this machine."""

    run: str
    model: str
    on_gpu: bool
    n_params: int
    rate: float
    """Floating-point operations a second while it trained."""
    per_token: float
    """Seconds to sample one token; 0 where none was sampled."""

    def seconds(self, shape: GPTConfig, config: FinetuneConfig) -> float:
        """Estimated duration of a run of `config` on a model of this shape."""
        size = shape.n_params
        block = config.block_size or shape.block_size
        work = flops(shape, block, config.eval_tokens, config)
        evaluations = 1 + -(-config.max_iters // config.eval_interval)
        sampling = config.max_new_tokens * self.per_token * size / self.n_params
        return work / self.rate + evaluations * sampling


def measures(base: Path) -> list[Measure]:
    """What the newest runs in `base` say of this machine. Reads their logs: for a thread."""
    logs, measured = [], []
    for log in base.glob(f"*/{LOG_NAME}"):
        with suppress(OSError):
            stat = log.stat()
            if stat.st_size <= MOST_BYTES:
                logs.append((stat.st_mtime, log))
    for _, log in sorted(logs, reverse=True)[:MOST_RUNS]:
        with suppress(OSError, ShakegptError):
            measured.append(measure(log.parent.name, Follower(log, KINDS).poll()))
    return [each for each in measured if each is not None]


def measure(name: str, records: Iterable[Event]) -> Measure | None:
    """The speed of the run `name`; None for one of another machine, or a short one."""
    header, steps, tokens, seconds, per_token = None, 0, 0.0, 0.0, 0.0
    for record in records:
        match record:
            case Run():
                header = record
            case Step():
                steps += 1
                tokens += record.tokens_per_second * record.seconds
                seconds += record.seconds
            case SampleEnd(tokens=drawn) if drawn:
                per_token = record.seconds / drawn
    enough = steps >= LEAST_STEPS and tokens > 0 and seconds > 0
    if header is None or header.host != socket.gethostname() or not enough:
        return None
    model, config = header.model, header.config
    given = config.get("block_size")
    block = given if isinstance(given, int) else model.block_size
    rank = config.get("lora_rank")
    once = FinetuneConfig(
        max_iters=1,
        batch_size=1,
        gradient_accumulation_steps=1,
        lora_rank=rank if isinstance(rank, int) else None,
    )
    work = flops(model, block, 0, once) / block
    on_gpu = not header.device.startswith("cpu")
    rate = work * tokens / seconds
    return Measure(name, model.name, on_gpu, model.n_params, rate, per_token)


@dataclass(frozen=True)
class Estimate:
    """How long a run takes, seconds, and the measure that this rests on."""

    seconds: float
    by: Measure
    scaled: bool
    """Whether the measure is of another model."""

    @property
    def text(self) -> str:
        """In a sentence: About 56 s, as in 2026-11-28-pocket."""
        time, run = format.duration(self.seconds), one_line(self.by.run, 34)
        if not self.scaled:
            return f"About {time}, as in {run}."
        return f"Roughly {time}, scaled from {one_line(self.by.model, 16)} in {run}."

    @property
    def brief(self) -> str:
        """In at most 6 characters: 56 s, 17 min, 20 h, 3 d."""
        units = ((172_800, 86_400, "d"), (5400, 3600, "h"), (90, 60, "min"), (0, 1, "s"))
        length, unit = next((u, name) for least, u, name in units if self.seconds >= least)
        return f"{min(self.seconds / length, 999):.0f} {unit}"


UNKNOWN = "Time unknown yet: no run was trained here."


def estimate(
    known: Sequence[Measure], name: str, shape: GPTConfig, config: FinetuneConfig, *, on_gpu: bool
) -> Estimate | None:
    """By the newest run of the model `name` or, scaled, of another; None when there is none."""
    suitable = [each for each in known if each.on_gpu == on_gpu and each.rate > 0]
    if not suitable or min(shape.n_layer, shape.n_embd, shape.vocab_size) < 1:
        return None
    same = (m for m in suitable if m.model == name and m.n_params == shape.n_params)
    base = next(same, None)
    by = base or suitable[0]
    return Estimate(by.seconds(shape, config), by, scaled=base is None)
