"""Several processes that train one model together: who does what, and how they agree.

Each process holds the whole model (or its share of it, see `sharding`) and works on its part of the
micro-steps of every iteration, so that the update is the one a single process makes: PyTorch's DDP
or FSDP averages the gradients. The first process alone writes the log, the states and the model;
all others do the same steps in silence, and everything that is decided is decided for all.
"""

from __future__ import annotations

import os
import time
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
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

from shakegpt.config import FinetuneConfig
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.model import GPT
from shakegpt.runlog import schema

T = TypeVar("T")
MOMENT = 0.05
"""Seconds between two looks for the others of a team."""


@dataclass(frozen=True)
class Share:
    """What one process does of an iteration: every `groups`-th micro-step, `part` of its windows.

    Processes of one group share the windows of one micro-step; the groups of a round work on
    micro-steps that follow each other, so that a round's losses come in the order of the log.
    """

    group: int
    groups: int
    rounds: int
    """Micro-steps of this process an iteration."""
    part: int
    parts: int

    def micro_steps(self) -> Iterator[int]:
        """The micro-steps of this process, counted from 1 as in the log."""
        return (n * self.groups + self.group + 1 for n in range(self.rounds))

    def of(self, windows: list[T]) -> list[T]:
        """Of a micro-batch, the part that is this process's."""
        size = len(windows) // self.parts
        return windows[self.part * size : (self.part + 1) * size]


def share(micro_steps: int, batch_size: int, rank: int, processes: int) -> Share:
    """Divide an iteration so that no window is seen twice or left out.

    Whole micro-steps first: then nothing at all differs from a single process but who computes.
    Raises ShakegptError when neither they nor the windows of each can be shared evenly.
    """
    groups = gcd(micro_steps, processes)
    parts = processes // groups
    if batch_size % parts:
        raise ShakegptError(
            f"{processes} processes cannot share --gradient-accumulation-steps {micro_steps} x "
            f"--batch-size {batch_size} evenly: give a batch size or accumulation that {parts} "
            "divides, or start another number of processes"
        )
    group, part = divmod(rank, parts)
    return Share(group, groups, micro_steps // groups, part, parts)


class Team:
    """One process and those it trains with; by default none, when each method costs nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.token = ""
        """Names this start of the team: what an earlier one told does not count."""
        self.in_shares = False
        """Whether each process has a part of the weights only: then all do whatever needs them."""
        self._replica: DistributedDataParallel | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes, samples and listens for all."""
        return self.rank == 0

    @property
    def needed(self) -> bool:
        """Whether this process has a part in what is sampled and saved."""
        return self.first or self.in_shares

    def world(self) -> schema.World | None:
        """What the log says of the team; None for a process alone."""
        name = env.job()
        return schema.World(processes=self.size, job=name) if name or self.size > 1 else None

    def share(self, config: FinetuneConfig) -> Share:
        """What this process does of each iteration. Raises ShakegptError."""
        if self.size > 1 and "-" in config.dataset:
            raise ShakegptError(
                f"standard input cannot be read by {self.size} processes: give --dataset a file"
            )
        return share(config.gradient_accumulation_steps, config.batch_size, self.rank, self.size)

    def hold(self, model: GPT, config: FinetuneConfig, device: str) -> GPT:
        """The model on the device: whole, or with --shard this process's share of it."""
        self.in_shares = config.shard and self.size > 1
        if self.in_shares:
            from shakegpt.distributed import fsdp  # what it imports takes a second

            fsdp.shard(model, device, self.size)
        return model.to(device)

    @contextmanager
    def at_hand(self, model: GPT) -> Iterator[None]:
        """The model as evaluations and samples want it, all of them at the same time."""
        if not self.in_shares:
            yield
            return
        from shakegpt.distributed import fsdp

        with fsdp.gathered(model):
            yield

    def norm(self, found: Any) -> float:
        """A gradient's norm, of which each process may have its part only."""
        return float(found.full_tensor() if self.in_shares else found)

    def replicate(self, forward: Any) -> Any:
        """Have the gradients of the model averaged over all processes after `micro_steps`' last.

        All begin with the weights of the first one.
        """
        if self.size == 1:
            return forward
        self._replica = DistributedDataParallel(forward, gradient_as_bucket_view=True)
        return self._replica

    def micro_steps(self, mine: Share) -> Iterator[int]:
        """The micro-steps of an iteration; only the last one's backward pass talks to the others.

        (What DDP's `no_sync` does, without a second loop around it.)
        """
        for number, micro_step in enumerate(mine.micro_steps(), 1):
            if self._replica is not None:
                self._replica.require_backward_grad_sync = number == mine.rounds
            yield micro_step

    def losses(self, loss: float, mine: Share) -> list[float]:
        """The losses of a round's micro-steps, in order; a micro-step's parts count alike."""
        every = self.gather(loss)
        n = mine.parts
        return [sum(every[k : k + n]) / n for k in range(0, len(every), n)]

    def gather(self, value: float) -> list[float]:
        """The value of each process, by rank, float64."""
        if self.size == 1:
            return [value]
        every = torch.zeros(self.size, dtype=torch.float64)
        every[self.rank] = value
        return self.sum(every).tolist()

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values`, a tensor on the CPU, over all processes; in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def flags(self, *mine: bool) -> list[bool]:
        """For each flag, whether any process raised it."""
        if self.size == 1:
            return list(mine)
        raised = torch.tensor(mine, dtype=torch.int32)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def told(self, value: T) -> T:
        """The first process's `value`, which JSON can carry, in all of them."""
        if self.size == 1:
            return value
        data = msgspec.json.encode(value) if self.first else b""
        size = torch.tensor([len(data)])
        dist.broadcast(size, 0)
        content = torch.zeros(int(size), dtype=torch.uint8)
        if self.first:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(content, 0)
        found: T = msgspec.json.decode(content.numpy().tobytes())
        return found

    def each(self, job: Callable[[], T]) -> T:
        """Call `job` in every process. When it fails in one, all leave, and that one tells why."""
        error: Exception | None = None
        try:
            found = job()
        except Exception as failure:
            error = failure
        code = float(getattr(error, "exit_code", 1)) if error is not None else 0.0
        codes = self.gather(code)
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if error is not None and failed == self.rank:
            raise error
        if failed is not None:
            raise Stopped(f"process {failed} could not go on", int(codes[failed]))
        return found

    def begun(self, out_dir: str | None) -> Path | None:
        """The run that an earlier attempt of this job began, if there is one."""
        found = self.lead(lambda: None if (run := env.begun(out_dir)) is None else str(run))
        return None if found is None else Path(found)

    def lead(self, job: Callable[[], T]) -> T:
        """Call `job` in the first process only; its result, which JSON can carry, in all."""
        found = self.each(lambda: job() if self.first else None)
        return self.told(found)  # type: ignore[return-value]


@contextmanager
def join() -> Iterator[Team]:
    """Meet the other processes that a launcher started; alone without one."""
    if env.processes() == 1:
        yield Team()
        return
    try:
        with _meeting() as team:
            yield team
    except Exception as error:
        if not lost(error):
            raise
        raise ShakegptError(  # while training, the driver has told more
            "another process of this training was lost before the first iteration: start all of "
            "them again, with `shakegpt finetune --resume` if the run has begun",
            exit_code=1,
        ) from error


@contextmanager
def _meeting() -> Iterator[Team]:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(env.local_rank() % torch.cuda.device_count())
    # what is decided goes over gloo, so that no GPU has to wait for it
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    rank, size = env.rank(), env.processes()
    dist.init_process_group(backend, store=_meeting_place(rank, size), rank=rank, world_size=size)
    team = Team(rank, size)
    team.token = team.told(os.urandom(8).hex())
    yield team
    dist.destroy_process_group()  # not after a failure: it could wait for those who are lost


def store() -> Any:
    """A connection to what the launcher keeps for its processes to find each other."""
    hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and env.rank() == 0
    where = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    return TCPStore(*where, is_master=hosts and not dist.is_initialized(), wait_for_workers=False)


def _meeting_place(rank: int, size: int) -> Any:
    """A corner of the store of this start's own.

    A launcher that restarts its processes keeps the store, and in it the addresses of the dead; and
    the launchers of several nodes count restarts each for itself. So each process says under a new
    name that it has come, and the first one calls all by name until the living have answered.
    """
    common, me = store(), os.urandom(8).hex()
    token = _call(common, size, me) if rank == 0 else _answer(common, rank, me)
    return PrefixStore(f"shakegpt/{token}", common)


def _call(common: Any, size: int, token: str) -> str:
    while True:
        came = [common.get(f"came/{rank}").decode() for rank in range(1, size)]
        common.set("called", " ".join((token, *came)))
        if common.check([f"answered/{token}/{name}" for name in came]):
            return token
        time.sleep(MOMENT)


def _answer(common: Any, rank: int, me: str) -> str:
    common.set(f"came/{rank}", me)
    while me not in (called := common.get("called").decode().split()):
        time.sleep(MOMENT)
    common.set(f"answered/{called[0]}/{me}", "yes")
    return str(called[0])


def lost(error: BaseException) -> bool:
    """Whether `error` says that another process is no more."""
    words = ("Connection closed", "Connection reset", "gloo", "NCCL", "peer")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
