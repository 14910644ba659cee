"""Peak memory of a finetune beside its estimate, for the shapes of OpenAI's GPT-2s.

`python -m tests.bench.memory --shapes 124M Medium --blocks 256 1024 --rows normal low`

Each case is a process of its own that trains a checkpoint with random weights for two iterations of
two micro-batches, and tells the most memory that was ever resident (ru_maxrss). The estimate is
what `shakegpt finetune` prints before it starts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from shakegpt.checkpoint.resolve import POCKET
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.hardware import memory

SHAPES = {
    "pocket": GPTConfig(n_layer=4, n_head=4, n_embd=256, block_size=256, vocab_size=4096),
    "124M": GPTConfig(),
    "Medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),
    "Large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),
    "XL": GPTConfig(n_layer=48, n_head=25, n_embd=1600),
}
GIB = 2**30


def main() -> None:
    """Print a row a case, or with --case measure one and print it as JSON."""
    parser = argparse.ArgumentParser(description="peak memory beside the estimate")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["124M", "Medium", "Large"])
    parser.add_argument("--blocks", nargs="+", type=int, default=[256, 512, 1024])
    parser.add_argument("--rows", nargs="+", default=["normal", "low"])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--accumulation", type=int, default=2)
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
        print(json.dumps(_measure(how, run, asked.unsaved)))
        return
    print("shape   block  row     estimate  measured   estimate/measured")
    for shape in asked.shapes:
        with tempfile.TemporaryDirectory() as folder:
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
                }
                _print_case(shape, block, row, how, Path(folder) / "run", asked.unsaved)


def _print_case(
    shape: str, block: int, row: str, how: dict[str, object], run: Path, unsaved: bool
) -> None:
    command = [sys.executable, "-m", "tests.bench.memory", "--case", json.dumps(how), str(run)]
    command += ["--unsaved"] if unsaved else []
    done = subprocess.run(command, capture_output=True, text=True)
    shutil.rmtree(run, ignore_errors=True)
    if done.returncode:
        print(f"{shape:<7} {block:>5}  {row:<6}  failed: {done.stderr.splitlines()[-1]}")
        return
    found = json.loads(done.stdout.splitlines()[-1])
    estimate, peak = found["estimate"], found["peak"]
    print(
        f"{shape:<7} {block:>5}  {row:<6}  {estimate / GIB:7.2f}   {peak / GIB:7.2f}   "
        f"{estimate / peak:6.2f}   GiB",
        flush=True,
    )


def _write_checkpoint(shape: GPTConfig, folder: Path) -> None:
    """A checkpoint with random weights, and the pocket's vocabulary."""
    import torch

    from shakegpt.checkpoint import io as checkpoint
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.model import GPT

    model = GPT(shape)
    model.initialize(torch.Generator().manual_seed(1))
    checkpoint.save(model, folder, Tokenizer(POCKET))


def _measure(how: str, run: str, unsaved: bool) -> dict[str, int]:
    from shakegpt.runlog import history
    from shakegpt.session import finetune

    if unsaved:
        _save_nothing()
    config = replace(
        FinetuneConfig(**json.loads(how)),
        out_dir=run,
        max_iters=2,
        eval_interval=2,
        eval_tokens=2048,
        max_new_tokens=8,
    )
    finetune(config)
    header = history.load(Path(run))[0].run
    assert header is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"estimate": header.memory.total, "peak": peak}


def _save_nothing() -> None:
    """Train with neither states nor a best model; writing them takes no memory of its own."""
    from shakegpt import finetune

    for name in ("save_state", "save_model"):
        setattr(finetune.Finetuning, name, lambda self: None)
    memory.require_disk = lambda *given, **named: None


if __name__ == "__main__":
    main()
