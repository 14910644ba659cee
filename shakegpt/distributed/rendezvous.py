"""Joining the processes that a launcher started, and telling that one of them was lost."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from shakegpt.distributed import env
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError

POLL_SECONDS = 0.05
"""Seconds between two checks of the store for the other processes."""
WAITING_SECONDS = 10.0
"""Seconds until a process prints that it waits for the others."""


@contextmanager
def join() -> Iterator[Team]:
    """Join the other processes of the launcher; without one, a team of a single process."""
    env.require_launcher()
    if env.processes() == 1:
        yield Team()
        return
    try:
        with _process_group() as team:
            yield team
    except Exception as error:
        if not is_peer_lost(error):
            raise
        raise ShakegptError(  # while training, the supervisor raises its own
            "another process of this training was lost before the first iteration: start all of "
            "them again, with `shakegpt finetune --resume` if the run directory exists",
            exit_code=1,
        ) from error


@contextmanager
def _process_group() -> Iterator[Team]:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(env.local_rank() % torch.cuda.device_count())
    # decisions use gloo, without synchronizing a GPU
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    rank, size = env.rank(), env.processes()
    message = partial(print, f"shakegpt: {env.waiting()}", file=sys.stderr)
    timer = threading.Timer(WAITING_SECONDS, message)
    timer.daemon = True
    timer.start()
    try:
        dist.init_process_group(backend, store=_rendezvous(rank, size), rank=rank, world_size=size)
    finally:
        timer.cancel()
    team = Team(rank, size)
    team.token = team.broadcast(os.urandom(8).hex())
    yield team
    dist.destroy_process_group()  # not after a failure: it could wait for lost processes


def store() -> Any:
    """A connection to the store through which the launcher's processes find each other."""
    hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and env.rank() == 0
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    master = hosts and not dist.is_initialized()
    return TCPStore(*address, is_master=master, wait_for_workers=False)


def _rendezvous(rank: int, size: int) -> Any:
    """A part of the store for this start of the processes only.

    A launcher that restarts its processes keeps the store, with the addresses of dead ones, and the
    launchers of several nodes count restarts separately. So each process registers under a new
    random name, and rank 0 invites the registered names until all of them have accepted.
    """
    common, name = store(), os.urandom(8).hex()
    token = _invite(common, size, name) if rank == 0 else _accept(common, rank, name)
    return PrefixStore(f"shakegpt/{token}", common)


def _invite(common: Any, size: int, token: str) -> str:
    while True:
        names = [common.get(f"name/{rank}").decode() for rank in range(1, size)]
        common.set("invited", " ".join((token, *names)))
        if common.check([f"accepted/{token}/{name}" for name in names]):
            return token
        time.sleep(POLL_SECONDS)


def _accept(common: Any, rank: int, name: str) -> str:
    common.set(f"name/{rank}", name)
    while name not in (invited := common.get("invited").decode().split()):
        time.sleep(POLL_SECONDS)
    common.set(f"accepted/{invited[0]}/{name}", "yes")
    return str(invited[0])


def is_peer_lost(error: BaseException) -> bool:
    """Whether `error` means that another process died.

    Errors of NCCL and of the store have a type. Those of gloo are plain RuntimeErrors, recognizable
    only by the source file of gloo in the message.
    """
    return isinstance(error, dist.DistError) or (
        type(error) is RuntimeError and "gloo/" in str(error)
    )
