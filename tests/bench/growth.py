"""How time and memory grow: over model size, block size, text size and log length.

`python -m tests.bench.growth docs/cost.json` measures all and writes the points; `--only text log`
measures some and replaces their points in the file. `python -m tests.bench.growth_figure docs`
draws them.

Each case is a process of its own, which warms up and then measures: a training pass by the clock,
the better of two; texts and logs, which one thread reads, in seconds of that processor. Where it is
allowed, a pass has the processors to itself, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from shakegpt.checkpoint.resolve import POCKET
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.hardware import memory
from tests.bench.memory import SHAPES
from tests.tiny import adamw
from tests.tui import logs

Case = dict[str, Any]
Point = dict[str, Any]
TOKENS = 128
"""Of the micro-batch that models of all sizes train on: few, for the sake of the largest."""
WITH_MOMENTS = ("pocket", "124M", "Medium", "Large")
"""Shapes whose moments fit beside weights and gradients in the 24 GB of most machines."""
CASES: dict[str, list[Case]] = {
    "model": [{"shape": shape, "block": TOKENS} for shape in SHAPES],
    "block": [
        *({"shape": "124M", "block": block} for block in (128, 256, 512, 1024)),
        *({"shape": "pocket", "block": block} for block in (256, 512, 1024, 2048, 4096, 8192)),
    ],
    "text": [{"megabytes": megabytes} for megabytes in (1, 5, 15, 50, 150)],
    "log": [{"records": records} for records in (10_000, 50_000, 200_000, 1_000_000)],
}


def main() -> None:
    """Measure what is asked for, or with --case one case, and print it as JSON."""
    parser = argparse.ArgumentParser(description="how time and memory grow")
    parser.add_argument("file", type=Path, help="the points, JSON")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case is not None:
        sweep, case = json.loads(asked.case)
        print(json.dumps(MEASURES[sweep](sweep, case)))
        return
    for sweep in asked.only:
        found = [point for case in CASES[sweep] for point in _in_process(sweep, case)]
        _keep(asked.file, sweep, found)


def _in_process(sweep: str, case: Case) -> list[Point]:
    command = [sys.executable, "-m", "tests.bench.growth", "-", "--case", json.dumps([sweep, case])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    points: list[Point] = json.loads(done.stdout.splitlines()[-1])
    for point in points:
        print(json.dumps(point), flush=True)
    return points


def _keep(file: Path, sweep: str, found: list[Point]) -> None:
    """Put the points of a sweep in the place of its old ones."""
    kept = json.loads(file.read_text("utf-8"))["points"] if file.exists() else []
    points = [point for point in kept if point["sweep"] != sweep] + found
    points.sort(key=lambda point: list(CASES).index(point["sweep"]))
    told = {"machine": machine(), "points": points}
    file.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def machine() -> str:
    """The processor, its threads, the memory and PyTorch's version."""
    from importlib.metadata import version

    names = [platform.machine()]
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    memory = psutil.virtual_memory().total / 2**30
    return f"{names[0]}, {os.cpu_count()} threads, {memory:.0f} GiB, torch {version('torch')}"


def _point(sweep: str, series: str, x: float, **found: Any) -> Point:
    """`work` and `planned` are what theory counts for `seconds` and `memory` (bytes)."""
    return {"sweep": sweep, "series": series, "x": x, **found}


def train(sweep: str, case: Case) -> list[Point]:
    """A forward and backward pass of one window, then a step of AdamW where it fits."""
    import torch

    from shakegpt.hardware.allocator import keep_freed_memory
    from shakegpt.model import GPT
    from shakegpt.nn.chunked_loss import ChunkedCrossEntropy

    shape = _shape(case)
    config = FinetuneConfig(batch_size=1, block_size=case["block"])
    planned = memory.estimate(shape, config)
    keep_freed_memory(planned.total)
    model = GPT(shape)
    model.initialize(torch.Generator().manual_seed(1))
    forward, optimizer = (
        ChunkedCrossEntropy(model, 1.0),
        adamw(dict(model.named_parameters()), config),
    )
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(shape.vocab_size, (1, case["block"] + 1), generator=draw)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step() -> None:
        forward(x, y).backward()  # type: ignore[no-untyped-call]

    seconds = _best(step, small := shape.n_layer < 36)
    n, told = sum(p.numel() for p in model.parameters()), {"label": case["shape"]}
    at = n if sweep == "model" else case["block"]
    passed = _point(
        sweep, "pass" if sweep == "model" else case["shape"], at, **told,
        seconds=seconds, work=_flops(shape, case["block"]),
        memory=_peak(), planned=planned.total - planned.optimizer,
    )  # fmt: skip
    if sweep != "model" or case["shape"] not in WITH_MOMENTS:
        return [passed]
    seconds = _best(optimizer.step, small)
    stepped = _point(sweep, "AdamW", at, **told, seconds=seconds, work=n, memory=_peak(),
                     planned=planned.total)  # fmt: skip
    return [passed, stepped]


def _shape(case: Case) -> GPTConfig:
    """As it is known, but with as many positions as the case needs."""
    known = SHAPES[case["shape"]]
    sizes = {name: getattr(known, name) for name in ("n_layer", "n_head", "n_embd", "vocab_size")}
    return GPTConfig(**sizes, block_size=max(known.block_size, case["block"]))


def _flops(shape: GPTConfig, block: int) -> float:
    once = FinetuneConfig(max_iters=1, batch_size=1, gradient_accumulation_steps=1)
    return memory.flops(shape, block, 0, once)


def _best(work: Callable[[], object], again: bool) -> float:
    """Seconds of `work` after a first time that does not count; of two, or of one if long."""
    work()
    taken = []
    for _ in range(2 if again else 1):
        with undisturbed():
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return min(taken)


@contextmanager
def undisturbed() -> Iterator[None]:
    """All threads of this process before all others, where the system allows it: Linux's root."""
    threads = [int(task.name) for task in Path("/proc/self/task").glob("*")]
    try:
        with suppress(OSError):
            for thread in threads:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(5))
        yield
    finally:
        with suppress(OSError):
            for thread in threads:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _apart(work: Callable[..., None], *given: object) -> None:
    """Do it in another process, whose memory does not count."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=given)
    process.start()
    process.join()


def _peak() -> int:
    """Most bytes that were ever resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def text(sweep: str, case: Case) -> list[Point]:
    """From a file to windows of token ids, and the same again with the ids in the cache."""
    from shakegpt.data.dataset import Dataset
    from shakegpt.data.sources import load_text
    from shakegpt.data.tokenizer import Tokenizer

    size = case["megabytes"] * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHAKEGPT_CACHE"], path = folder, Path(folder) / "text.txt"
        _apart(write_text, path, size)
        tokenizer, before, points = Tokenizer(POCKET), _peak(), []
        for series in ("tokenizing", "cached"):
            began = time.process_time()
            Dataset(load_text([str(path)]), tokenizer, 256, 1).train_window(0)
            seconds = time.process_time() - began
            points.append(_point(sweep, series, size, label=f"{case['megabytes']} MB",
                                 seconds=seconds, work=size))  # fmt: skip
            if series == "tokenizing":
                points[0] |= {"memory": _peak() - before, "planned": size}
    return points


def write_text(path: Path, size: int) -> None:
    """The plays again and again, their speeches in another order each time."""
    from shakegpt.data.plays import plays

    speeches, draw = plays().split("\n\n"), random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            draw.shuffle(speeches)
            file.write("\n\n".join(speeches)[: size - file.tell()] + "\n\n")


def log(sweep: str, case: Case) -> list[Point]:
    """From a run's log to its history, as the screen, figures and claims read it."""
    from shakegpt.runlog.history import load

    with tempfile.TemporaryDirectory() as folder:
        _apart(write_log, Path(folder), case["records"])
        before, began = _peak(), time.process_time()
        load(Path(folder))
        seconds = time.process_time() - began
    n = case["records"]
    return [
        _point(sweep, "reading", n, label=f"{n:,}", seconds=seconds, work=n,
               memory=_peak() - before, planned=n)
    ]  # fmt: skip


def write_log(folder: Path, records: int) -> None:
    """A log of that many records: a header, and iterations of four micro-batches."""
    from itertools import chain, count, islice

    from msgspec.json import encode

    from shakegpt.runlog.log import LOG_NAME

    iterations = (logs.iteration(number, 1e9 + number) for number in count(1))
    story = chain([logs.header()], chain.from_iterable(iterations))
    with (folder / LOG_NAME).open("wb") as file:
        file.writelines(encode(event) + b"\n" for event in islice(story, records))


MEASURES = {"model": train, "block": train, "text": text, "log": log}


if __name__ == "__main__":
    main()
