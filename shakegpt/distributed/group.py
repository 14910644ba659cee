"""Several processes that train one model together: their shares of the work, and collective calls.

Each process has the whole model (or its shard, see `fsdp`) and works on its share of the
micro-steps of every iteration, so that the update is that of a single process: PyTorch's DDP or
FSDP averages the gradients. Only rank 0 writes the log, the states and the model; all other
processes run the same steps without a log, and every decision is made once and broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from shakegpt.config import FinetuneConfig
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.model import GPT
from shakegpt.runlog import schema

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The work of one process in an iteration: every `groups`-th micro-step, `part` of its windows.

    Processes of one group share the windows of one micro-step; the groups of a round work on
    consecutive micro-steps, so that a round's losses are in the order of the log.
    """

    group: int
    groups: int
    rounds: int
    """Micro-steps of this process per iteration."""
    part: int
    parts: int

    def micro_steps(self) -> Iterator[int]:
        """The micro-steps of this process, counted from 1 as in the log."""
        return (n * self.groups + self.group + 1 for n in range(self.rounds))

    def of(self, windows: list[T]) -> list[T]:
        """The windows of a micro-batch for this process."""
        size = len(windows) // self.parts
        return windows[self.part * size : (self.part + 1) * size]


def share(micro_steps: int, batch_size: int, rank: int, processes: int) -> Share:
    """Divide an iteration so that each window is used exactly once.

    Whole micro-steps are divided first, since then the numbers are those of a single process.
    Raises ShakegptError when neither they nor the windows of each can be divided evenly.
    """
    groups = gcd(micro_steps, processes)
    parts = processes // groups
    if batch_size % parts:
        raise ShakegptError(
            f"{processes} processes cannot share --gradient-accumulation-steps {micro_steps} x "
            f"--batch-size {batch_size} evenly: make one of them a multiple of {parts}, or start "
            "another number of processes"
        )
    group, part = divmod(rank, parts)
    return Share(group, groups, micro_steps // groups, part, parts)


class Team:
    """The processes that train together; by default this one only, and methods do nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.token = ""
        """Identifies this start of the team, so that messages of an earlier one are ignored."""
        self.sharded = False
        """Whether each process has only a shard of the weights."""
        self._replica: DistributedDataParallel | None = None

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes, samples and receives commands."""
        return self.rank == 0

    @property
    def participates(self) -> bool:
        """Whether this process takes part in sampling and saving."""
        return self.first or self.sharded

    def world(self) -> schema.World | None:
        """The team's record in the log's header; None for a single process."""
        name = env.job()
        return schema.World(processes=self.size, job=name) if name or self.size > 1 else None

    def share(self, config: FinetuneConfig) -> Share:
        """The share of this process in each iteration. Raises ShakegptError if that is uneven."""
        if self.size > 1 and "-" in config.dataset:
            raise ShakegptError(
                f"{self.size} processes cannot read standard input: give --dataset a file"
            )
        return share(config.gradient_accumulation_steps, config.batch_size, self.rank, self.size)

    def to_device(self, model: GPT, config: FinetuneConfig, device: str) -> GPT:
        """Move the model, or with --shard this process's shard of it, to the device."""
        self.sharded = config.shard and self.size > 1
        if self.sharded:
            from shakegpt.distributed import fsdp  # its imports take a second

            fsdp.shard(model, device, self.size)
        return model.to(device)

    @contextmanager
    def unsharded(self, model: GPT) -> Iterator[None]:
        """Embeddings and last LayerNorm gathered in every process, for evaluations and samples."""
        if not self.sharded:
            yield
            return
        from shakegpt.distributed import fsdp

        with fsdp.unsharded(model):
            yield

    def norm(self, norm: Any) -> float:
        """A gradient norm over all shards, from that of this process."""
        return float(norm.full_tensor() if self.sharded else norm)

    def replicate(self, model: GPT) -> Any:
        """`model` in DDP, which starts from rank 0's weights and averages gradients in the last
        micro-step of an iteration; in a single process, `model` itself.
        """
        if self.size == 1:
            return model
        self._replica = DistributedDataParallel(model, gradient_as_bucket_view=True)
        return self._replica

    def micro_steps(self, mine: Share) -> Iterator[int]:
        """The micro-steps of an iteration; only the last one's backward pass communicates, as with
        DDP's `no_sync`.
        """
        for number, micro_step in enumerate(mine.micro_steps(), 1):
            if self._replica is not None:
                self._replica.require_backward_grad_sync = number == mine.rounds
            yield micro_step

    def losses(self, loss: float, mine: Share) -> list[float]:
        """The losses of a round's micro-steps, in order, each the mean over its processes."""
        losses, n = self.gather(loss), mine.parts
        return [sum(losses[k : k + n]) / n for k in range(0, len(losses), n)]

    def gather(self, value: float) -> list[float]:
        """The value of each process, by rank, float64."""
        if self.size == 1:
            return [value]
        values = torch.zeros(self.size, dtype=torch.float64)
        values[self.rank] = value
        return self.sum(values).tolist()

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values`, a tensor on the CPU, over all processes; in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def any_rank(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process."""
        if self.size == 1:
            return list(flags)
        reduced = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(reduced, dist.ReduceOp.MAX)
        return [bool(flag) for flag in reduced.tolist()]

    def broadcast(self, value: T) -> T:
        """Rank 0's `value`, which must be JSON-serializable, in all processes."""
        if self.size == 1:
            return value
        data = msgspec.json.encode(value) if self.first else b""
        size = torch.tensor([len(data)])
        dist.broadcast(size, 0)
        content = torch.zeros(int(size), dtype=torch.uint8)
        if self.first:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(content, 0)
        received: T = msgspec.json.decode(content.numpy().tobytes())
        return received

    def run_on_all(self, job: Callable[[], T]) -> T:
        """Call `job` in every process. If it fails in one, that one raises its error, the others
        raise Stopped.
        """
        error: Exception | None = None
        try:
            result = job()
        except Exception as failure:
            error = failure
        code = float(getattr(error, "exit_code", 1)) if error is not None else 0.0
        codes = self.gather(code)
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if error is not None and failed == self.rank:
            raise error
        if failed is not None:
            raise Stopped(f"process {failed} failed", int(codes[failed]))
        return result

    def earlier_attempt(self, out_dir: str | None) -> Path | None:
        """The run directory of an earlier attempt of this torchrun job, if there is one."""
        run = self.run_on_rank0(lambda: str(env.earlier_attempt(out_dir) or ""))
        return Path(run) if run else None

    def run_on_rank0(self, job: Callable[[], T]) -> T:
        """Call `job` in rank 0 only; returns its result, JSON-serializable, in all processes."""
        result = self.run_on_all(lambda: job() if self.first else None)
        return self.broadcast(result)  # type: ignore[return-value]
