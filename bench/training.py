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
import statistics
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from peers import SHAPE, copy_weights, load_nanogpt, nanogpt_model, our_model, transformers_model
from report import Row
from torch import Tensor
from turns import OURS, Job, Seconds, faster, rate, table, turns

from shakegpt import plan
from shakegpt.config import FinetuneConfig
from shakegpt.device import settle_allocator
from shakegpt.head import LeanPass
from shakegpt.optimizer import AdamW
from shakegpt.products import ONEDNN, by_rows

TOKENS = 1024
Maker = Callable[[Path | None], Callable[[Tensor, Tensor], float]]


def bench_training(asked: argparse.Namespace) -> list[Row]:
    """One micro-batch of 1,024 tokens: forward, backward, one step of AdamW."""
    makers: dict[str, Maker] = {OURS: our_step, "transformers": transformers_step}
    if asked.nanogpt is not None:
        makers["nanoGPT"] = nanogpt_step
    makers["products alone"] = products_alone
    workers = {name: Worker(make, asked.nanogpt) for name, make in makers.items()}
    jobs: dict[str, Job] = {name: worker.step for name, worker in workers.items()}
    seconds = turns(jobs, asked.rounds)
    table("training, a micro-batch of 1,024 and a step", seconds, TOKENS, "tokens/s")
    apart = _apart({name: worker.losses for name, worker in workers.items()})
    print(f"  losses of {asked.rounds + 1} updates on the same windows: {apart:.1e} apart\n")
    memory = {name: worker.leave() for name, worker in workers.items()}
    return _rows(seconds, apart, memory)


def _apart(losses: dict[str, list[float]]) -> float:
    """How far the losses of any peer lie from ours, at most."""
    pairs = [pair for each in losses.values() for pair in zip(losses[OURS], each, strict=True)]
    return max(abs(ours - theirs) for ours, theirs in pairs if not math.isnan(theirs))


def _rows(seconds: Seconds, apart: float, memory: dict[str, int]) -> list[Row]:
    what = "training 124M, float32, a micro-batch of 1,024"
    rows = [Row(f"{what}: tokens/s", f"{rate(seconds, OURS, TOKENS):.0f}")]
    for peer, aim in (("nanoGPT", 1.4), ("transformers", 1.0)):
        if peer in seconds:
            ratio, told = faster(seconds, peer)
            rows.append(Row(f"{what}, beside {peer}", told, f"{aim} ×", ratio >= aim))
    share = statistics.median(seconds["products alone"]) / statistics.median(seconds[OURS])
    rows.append(Row("share of that step in products alone", f"{100 * share:.0f} %"))
    rows.append(Row("losses on the same windows apart", f"{apart:.0e}", "1e-5", apart <= 1e-5))
    peaks = ", ".join(f"{name} {peak / 2**20:,.0f}" for name, peak in memory.items() if peak)
    rows.append(Row("peak memory of those processes, MiB", peaks))
    return rows


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
    settle_allocator(plan.estimate(SHAPE, config := _config()).total)
    model = our_model().train()
    optimizer, forward = AdamW(dict(model.named_parameters()), config), LeanPass(model, 1.0)
    return _stepping(forward, model, optimizer)


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
    return _stepping(lambda x, y: model(x, y)[1], model, optimizer)


def transformers_step(_: Path | None) -> Callable[[Tensor, Tensor], float]:
    """A plain loop around it, with PyTorch's default AdamW."""
    model = transformers_model(our_model()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.1, betas=(0.9, 0.95))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(model(x).logits[0], y[0])

    return _stepping(loss, model, optimizer)


def products_alone(_: Path | None) -> Callable[[Tensor, Tensor], float]:
    """The matrix products of a step and nothing else: what no trainer can be faster than."""
    settle_allocator(plan.estimate(SHAPE, _config()).total)
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
    return by_rows(x, rows) if ONEDNN else x @ rows.t()


def _stepping(
    forward: Callable[[Tensor, Tensor], Any], model: torch.nn.Module, optimizer: Any
) -> Callable[[Tensor, Tensor], float]:
    def step(x: Tensor, y: Tensor) -> float:
        loss = forward(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step
