"""Peak memory of a finetune beside its estimate, for the shapes of OpenAI's GPT-2s.

`python -m tests.bench.memory`, or with `--shapes 124M Medium --blocks 256 1024 --rows low lowest`

Each case is a process of its own that trains a checkpoint with random weights for two iterations of
two micro-batches, and tells the most memory that was ever resident (ru_maxrss), pages of files
included. The estimate is what `shakegpt finetune` prints before it starts; a case for which this
machine has too little memory is not run, and its estimate is printed. Losses and gradient
norms of all rows are the same; the last one is printed, with the seconds of its iteration. With
--limit, the kernel allows the process so much memory, its part of the page cache included (cgroup
version 1 or 2; needs root).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from shakegpt.checkpoint.resolve import POCKET
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.hardware import memory
from shakegpt.hardware.memory import Row

SHAPES = {
    "pocket": GPTConfig(n_layer=4, n_head=4, n_embd=256, block_size=256, vocab_size=4096),
    "124M": GPTConfig(),
    "Medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),
    "Large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),
    "XL": GPTConfig(n_layer=48, n_head=25, n_embd=1600),
}
ROWS: tuple[Row, ...] = get_args(Row)
GIB = 2**30
CGROUPS = Path("/sys/fs/cgroup")


def main() -> None:
    """Print a row a case, or with --case measure one and print it as JSON."""
    parser = argparse.ArgumentParser(description="peak memory beside the estimate")
    parser.add_argument(
        "--shapes", nargs="+", choices=SHAPES, default=["124M", "Medium", "Large", "XL"]
    )
    parser.add_argument("--blocks", nargs="+", type=int, default=[1024])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--limit", type=float, help="GiB that the kernel allows the process")
    parser.add_argument("--json", type=Path, help="put the measured points into this file")
    parser.add_argument("--folder", type=Path, help="of checkpoints and runs, on a disk with room")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--eval-tokens", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--accumulation", type=int, default=2)
    parser.add_argument("--new-tokens", type=int, default=8, help="of each sample")
    parser.add_argument("--unsaved", action="store_true", help="no states: XL's take 19 GB each")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write is not None:
        shape, folder = asked.write
        _write_checkpoint(SHAPES[shape], Path(folder))
        return
    if asked.case is not None:
        how, run = asked.case
        if asked.limit is not None:
            _limit(int(asked.limit * GIB))
        print(json.dumps(_measure(how, run, asked.unsaved)))
        return
    print("shape   block  row     estimate  measured   estimate/measured  s/iteration  loss, norm")
    if asked.folder is not None:
        asked.folder.mkdir(parents=True, exist_ok=True)
    for shape in asked.shapes:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            start = Path(folder) / "start"
            # in a process of its own, whose memory goes with it
            subprocess.run(
                [sys.executable, "-m", "tests.bench.memory", "--write", shape, start], check=True
            )
            for block, row in itertools.product(asked.blocks, asked.rows):
                how = {
                    "init_from": str(start),
                    "block_size": min(block, SHAPES[shape].block_size),
                    "memory": row,
                    "dtype": asked.dtype,
                    "batch_size": asked.batch,
                    "gradient_accumulation_steps": asked.accumulation,
                    "max_iters": asked.iterations,
                    "eval_interval": asked.iterations,
                    "eval_tokens": asked.eval_tokens,
                    "max_new_tokens": asked.new_tokens,
                }
                options = ["--unsaved"] if asked.unsaved else []
                options += [f"--limit={asked.limit}"] if asked.limit is not None else []
                point = _print_case(shape, block, row, how, Path(folder) / "run", options)
                if point is not None and asked.json is not None:
                    _keep(asked.json, {"shape": shape, "block": block, "row": row, **point})


def _print_case(
    shape: str, block: int, row: Row, how: dict[str, Any], run: Path, options: list[str]
) -> dict[str, Any] | None:
    needed = memory.estimate(SHAPES[shape], FinetuneConfig(**how), row).total
    if needed > (free := memory.available_memory()):
        told = f"not run: {free / GIB:.1f} GiB of memory are free"
        print(f"{shape:<7} {block:>5}  {row:<6}  {needed / GIB:7.2f}   {told}", flush=True)
        return None
    command = [sys.executable, "-m", "tests.bench.memory", "--case", json.dumps(how), str(run)]
    command += options
    done = subprocess.run(command, capture_output=True, text=True)
    shutil.rmtree(run, ignore_errors=True)
    with suppress(OSError):
        _group(os.getpid()).rmdir()
    if done.returncode:
        reason = (done.stderr.splitlines() or [f"signal {-done.returncode}"])[-1]
        print(f"{shape:<7} {block:>5}  {row:<6}  failed: {reason}", flush=True)
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    estimate, peak = found["estimate"], found["peak"]
    print(
        f"{shape:<7} {block:>5}  {row:<6}  {estimate / GIB:7.2f}   {peak / GIB:7.2f}   "
        f"{estimate / peak:6.2f}   GiB  {found['seconds']:12.1f}  {found['loss']} {found['norm']}",
        flush=True,
    )
    return dict(found)


def _keep(file: Path, point: dict[str, Any]) -> None:
    """Put a point in the place of its old one."""
    from tests.bench.growth import machine

    kept = json.loads(file.read_text("utf-8"))["points"] if file.exists() else []
    points = [p for p in kept if any(p[k] != point[k] for k in ("shape", "block", "row"))]
    told = {"machine": machine(), "points": [*points, point]}
    file.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _write_checkpoint(shape: GPTConfig, folder: Path) -> None:
    """A checkpoint with random weights, and the pocket's vocabulary."""
    import torch

    from shakegpt.checkpoint import io as checkpoint
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.model import GPT

    model = GPT(shape)
    model.initialize(torch.Generator().manual_seed(1))
    checkpoint.save(model, folder, Tokenizer(POCKET))


def _limit(size: int) -> None:
    """Move this process to a control group of its own, with a memory limit."""
    group = _group(os.getppid())
    group.mkdir(exist_ok=True)
    name = "memory.limit_in_bytes" if group.parent != CGROUPS else "memory.max"
    (group / name).write_text(str(size))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _group(pid: int) -> Path:
    """The control group of the cases that the process `pid` starts."""
    return (CGROUPS / "memory" if (CGROUPS / "memory").is_dir() else CGROUPS) / f"shakegpt-{pid}"


def _measure(how: str, run: str, unsaved: bool) -> dict[str, float | None]:
    from shakegpt.runlog import history
    from shakegpt.session import finetune

    if unsaved:
        _save_nothing()
    config = FinetuneConfig(**json.loads(how), out_dir=run)
    finetune(config, own_process=True)  # as the command line, whose allocator is tuned
    past = history.load(Path(run))[0]
    assert past.run is not None
    step = past.steps[config.max_iters]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "estimate": past.run.memory.total,
        "peak": peak,
        "seconds": step.seconds,
        "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        "loss": step.loss,
        "norm": step.grad_norm,
    }


def _save_nothing() -> None:
    """Train with neither states nor a best model; writing them takes no memory of its own."""
    from shakegpt import finetune

    for name in ("save_state", "save_model"):
        setattr(finetune.Finetuning, name, lambda self: None)
    memory.require_disk = lambda *given, **named: None


if __name__ == "__main__":
    main()
