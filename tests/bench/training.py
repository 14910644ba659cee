"""One micro-batch of 1,024 tokens and a step of AdamW: ours, nanoGPT's, transformers'.

Each in a process of its own, which waits while the others take their turn: how a process keeps its
memory is part of its speed. The losses of the first updates, on the same weights and windows, are
held against each other.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shakegpt.config import FinetuneConfig
from shakegpt.hardware import memory
from shakegpt.hardware.allocator import keep_freed_memory
from shakegpt.nn.chunked_loss import ChunkedCrossEntropy
from shakegpt.nn.matmul import can_use_onednn, matmul_nt
from tests.bench.peers import (
    SHAPE,
    copy_weights,
    load_nanogpt,
    nanogpt_model,
    our_model,
    transformers_model,
)
from tests.bench.report import Row
from tests.bench.turns import OURS, Seconds, faster, rate, table, turns
from tests.tiny import adamw

TOKENS = 1024
WHAT = "124M, float32, a micro-batch of 1,024"
PRODUCTS = "products alone"
AIMS = {"nanoGPT": 1.4, "transformers": 1.0}
"""How many times as fast as each the project means to be."""
Maker = Callable[[Path | None], Callable[[Tensor, Tensor], float]]


def bench_training(asked: argparse.Namespace) -> list[Row]:
    """One micro-batch of 1,024 tokens and a step of AdamW; ours beside one peer at a time.

    Two such processes take 6 GB; more of them at once would not fit many a machine.
    """
    peers: dict[str, Maker] = {"transformers": transformers_step, PRODUCTS: products_alone}
    if asked.nanogpt is not None:
        peers = {"nanoGPT": nanogpt_step, **peers}
    rows = []
    for name, make in peers.items():
        workers = {OURS: Worker(our_step, asked.nanogpt), name: Worker(make, asked.nanogpt)}
        seconds = turns({name: worker.step for name, worker in workers.items()}, asked.rounds)
        table(f"training, {WHAT}, and a step, beside {name}", seconds, TOKENS, "tokens/s")
        rows += _rows(seconds, name, workers)
    return rows


def _rows(seconds: Seconds, peer: str, workers: dict[str, Worker]) -> list[Row]:
    losses = [worker.losses for worker in workers.values()]
    peaks = [f"{name} {worker.leave() / 2**20:,.0f}" for name, worker in workers.items()]
    ratio, told = faster(seconds, peer)
    if peer == PRODUCTS:
        return [Row(f"training {WHAT}, share in products alone", f"{100 * ratio:.0f} %")]
    apart = max(abs(ours - theirs) for ours, theirs in zip(*losses, strict=True))
    aim = AIMS[peer]
    return [
        Row(f"training {WHAT}: tokens/s beside {peer}", f"{rate(seconds, OURS, TOKENS):.0f}"),
        Row(f"training {WHAT}, beside {peer}", told, f"{aim:g} ×", ratio >= aim),
        Row(
            f"losses on the same windows, beside {peer}",
            f"{apart:.0e} apart",
            "1e-5",
            apart <= 1e-5,
        ),
        Row(f"peak memory of those processes, MiB, beside {peer}", ", ".join(peaks)),
    ]


class Worker:
    """A process that makes one contender's model and takes a step when asked."""

    def __init__(self, make: Maker, nanogpt: Path | None) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        how = multiprocessing.get_context("spawn")
        self._process = how.Process(target=_work, args=(make, nanogpt, theirs), daemon=True)
        self._process.start()
        self.losses: list[float] = []

    def step(self) -> None:
        """Take one step; its loss is kept."""
        self._ours.send(len(self.losses))
        self.losses.append(self._ours.recv())

    def leave(self) -> int:
        """End the process; returns the most memory that it had, bytes."""
        self._ours.send(None)
        peak = int(self._ours.recv())
        self._process.join()
        return peak


def _work(make: Maker, nanogpt: Path | None, asked: Connection) -> None:
    step = make(nanogpt)
    while (number := asked.recv()) is not None:
        draw = torch.Generator().manual_seed(number)
        ids = torch.randint(SHAPE.vocab_size, (1, TOKENS + 1), generator=draw)
        asked.send(step(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()))
    unit = 1 if sys.platform == "darwin" else 1024
    asked.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def our_step(_: Path | None) -> Callable[[Tensor, Tensor], float]:
    """Our training step on one micro-batch, as `Finetuning.update` takes it."""
    keep_freed_memory(memory.estimate(SHAPE, config := _config()).total)
    model = our_model().train()
    optimizer, forward = (
        adamw(dict(model.named_parameters()), config),
        ChunkedCrossEntropy(model, 1.0),
    )
    return stepping(forward, model, optimizer)


def _config() -> FinetuneConfig:
    return FinetuneConfig(
        learning_rate=3e-5, beta1=0.9, beta2=0.95, batch_size=1, block_size=TOKENS
    )


def nanogpt_step(checkout: Path | None) -> Callable[[Tensor, Tensor], float]:
    """Its training step, as its train.py takes it on a CPU, from our weights."""
    assert checkout is not None
    model = nanogpt_model(load_nanogpt(checkout)).train()
    copy_weights(our_model(), model.state_dict())
    optimizer = model.configure_optimizers(0.1, 3e-5, (0.9, 0.95), "cpu")  # type: ignore[operator]
    return stepping(lambda x, y: model(x, y)[1], model, optimizer)


def transformers_step(_: Path | None) -> Callable[[Tensor, Tensor], float]:
    """A plain loop around it, with PyTorch's default AdamW."""
    model = transformers_model(our_model()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.1, betas=(0.9, 0.95))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(model(x).logits[0], y[0])

    return stepping(loss, model, optimizer)


def products_alone(_: Path | None) -> Callable[[Tensor, Tensor], float]:
    """The matrix products of a step and nothing else: what no trainer can be faster than."""
    keep_freed_memory(memory.estimate(SHAPE, _config()).total)
    C, V = SHAPE.n_embd, SHAPE.vocab_size
    widths = [(C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)] * SHAPE.n_layer + [(C, V)]
    layers = [
        (torch.randn(TOKENS, i), torch.randn(i, o), torch.randn(TOKENS, o), torch.empty(i, o))
        for i, o in widths
    ]

    def step(_x: Tensor, _y: Tensor) -> float:
        for x, weight, dy, dw in layers:
            _by_rows(x, weight.t())
            _by_rows(dy, weight)
            torch.mm(x.t(), dy, out=dw)
        return math.nan

    return step


def _by_rows(x: Tensor, rows: Tensor) -> Tensor:
    """The faster of the libraries, as a step takes it."""
    return matmul_nt(x, rows) if can_use_onednn(x, rows) else x @ rows.t()


def stepping(
    forward: Callable[[Tensor, Tensor], Any], model: torch.nn.Module, optimizer: Any
) -> Callable[[Tensor, Tensor], float]:
    """A whole update of one micro-batch: forward, backward, clipping, AdamW."""

    def step(x: Tensor, y: Tensor) -> float:
        loss = forward(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step
