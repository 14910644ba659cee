"""The talk's whole job, from command to end, beside nanoGPT's train.py: 124M, float32, one CPU.

Both are processes of their own, on the same tokens and the same weights, with the settings of
nanoGPT's config/finetune_shakespeare.py: evaluations every fifth iteration, theirs by 40 random
windows of each split, ours by all of the validation part, and with a sample. It is shortened by
fewer micro-batches; what the full 32 take follows from the times of the parts that both logs tell.
The weights are random, so the losses say that both learn the same, and no more.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.resolve import POCKET
from shakegpt.data.dataset import Dataset
from shakegpt.data.sources import load_text
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.runlog import history
from tests.bench.peers import SHAPE, copy_weights, load_nanogpt, nanogpt_model, our_model
from tests.bench.report import Row

TEXT = 1_115_394
"""Characters of tinyshakespeare; here, of the plays that ship."""
FULL = 32
"""Micro-batches of an iteration in the talk."""
LONG, EVALS = 20, 5
"""Iterations of the talk and its evaluations, the one before the first update included."""
AIM = 0.7


@dataclass
class Took:
    """Of one contender: wall seconds, val losses, and the parts that the full job follows from."""

    wall: float
    losses: list[float]
    micro: float
    """Seconds of a micro-batch, its share of the update included."""
    evaluation: float
    """Seconds of an evaluation, with its sample where there is one."""
    rest: float
    """Seconds of everything else: start, saving, end."""
    updates: int
    evals: int

    def full(self, extra: int) -> float:
        """Seconds of the talk's 20 iterations (and `extra`) of 32 micro-batches."""
        return self.rest + (LONG + extra) * FULL * self.micro + EVALS * self.evaluation


def bench_job(asked: argparse.Namespace) -> list[Row]:
    """Both jobs, one after the other; minutes."""
    if asked.nanogpt is None:
        print("the whole job is measured beside nanoGPT: give its checkout\n")
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = prepare(folder, asked.nanogpt)
        ours = our_job(folder, text, asked.iterations, asked.micro)
        _tell("shakegpt", ours)
        theirs = their_job(folder, asked.nanogpt, asked.iterations, asked.micro)
        _tell("nanoGPT", theirs)
    short, full = ours.wall / theirs.wall, ours.full(0) / theirs.full(1)
    how = f"{asked.iterations} iterations of {asked.micro} micro-batch"
    figure = (
        f"{short:.2f} × nanoGPT's wall time at {how} ({ours.wall:.0f} and {theirs.wall:.0f} s, "
        f"load {os.getloadavg()[0]:.0f}); {full:.2f} × by arithmetic for 20 of 32"
    )
    print(f"  {figure}\n")
    return [Row("the talk's whole job, 124M, float32", figure, "at most 0.7 ×", full <= AIM)]


def _tell(name: str, took: Took) -> None:
    losses = " → ".join(f"{loss:.4f}" for loss in took.losses)
    print(
        f"  {name:9} {took.wall:6.0f} s: {took.updates} updates, {took.micro:.2f} s a micro-batch; "
        f"{took.evals} evaluations, {took.evaluation:.1f} s each; the rest {took.rest:.1f} s; "
        f"val loss {losses}",
        flush=True,
    )


def prepare(folder: Path, nanogpt: Path) -> Path:
    """Write the text, its tokens and the weights as either project reads them."""
    text = folder / "text.txt"
    text.write_text(load_text(("plays",)).content[:TEXT], "utf-8")
    tokenizer = Tokenizer(POCKET)
    data = Dataset(load_text((str(text),)), tokenizer, SHAPE.block_size, 1)
    for split, tokens in (("train", data.train), ("val", data.val)):
        tokens.astype("uint16").tofile(folder / f"{split}.bin")
    model = our_model()
    checkpoint.save(model, folder / "start", tokenizer)
    theirs = nanogpt_model(load_nanogpt(nanogpt))
    copy_weights(model, theirs.state_dict())
    optimizer = theirs.configure_optimizers(0.1, 3e-5, (0.9, 0.95), "cpu")  # type: ignore[operator]
    sizes = {n: getattr(SHAPE, n) for n in ("n_layer", "n_head", "n_embd", "block_size")}
    begun = {
        "model": theirs.state_dict(),
        "optimizer": optimizer.state_dict(),
        "model_args": sizes | {"vocab_size": SHAPE.vocab_size, "bias": True, "dropout": 0.0},
        "iter_num": 0,
        "best_val_loss": 1e9,
    }
    torch.save(begun, folder / "ckpt.pt")
    return text


def our_job(folder: Path, text: Path, iterations: int, micro: int) -> Took:
    """`shakegpt finetune` with those settings."""
    run = folder / "run"
    words = ["finetune", "gpt2", "--init-from", str(folder / "start"), "--dataset", str(text)]
    words += ["--max-iters", str(iterations), "--gradient-accumulation-steps", str(micro)]
    words += ["--dtype", "float32", "--eval-tokens", "1000000", "--no-tui", "--out-dir", str(run)]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "shakegpt", *words], check=True, stdout=subprocess.DEVNULL
    )
    wall = time.perf_counter() - began
    past = history.load(run)[0]
    evals = [e for e in past.evals.values() if e.val_loss is not None]
    drawn = [s.end.seconds for s in past.samples if s.end is not None]
    each = statistics.mean(e.seconds for e in evals) + (statistics.mean(drawn) if drawn else 0)
    steps = [s.seconds for s in past.steps.values()]
    rest = wall - sum(steps) - len(evals) * each
    losses = [float(e.val_loss or 0) for e in evals]
    told = statistics.median(steps) / micro
    return Took(wall, losses, told, each, rest, len(steps), len(evals))


def their_job(folder: Path, checkout: Path, iterations: int, micro: int) -> Took:
    """Its train.py, from its checkout, taking up the weights that lie in `folder`."""
    words = ["config/finetune_shakespeare.py", "--device=cpu", "--compile=False"]
    words += ["--dtype=float32", "--init_from=resume", f"--out_dir={folder}", f"--dataset={folder}"]
    words += [f"--max_iters={iterations}", f"--gradient_accumulation_steps={micro}"]
    words += ["--log_interval=1"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-u", "train.py", *words],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    lines = [(time.perf_counter() - began, line) for line in process.stdout]
    assert process.wait() == 0, "nanoGPT's train.py failed: " + "".join(t for _, t in lines[-5:])
    wall = time.perf_counter() - began
    evals, steps, losses, last = list[float](), list[float](), list[float](), 0.0
    for at, line in lines:
        if told := re.match(r"step \d+: .* val loss ([\d.]+)", line):
            losses.append(float(told[1]))
            evals.append(at - last if last else float("nan"))
        elif line.startswith("iter "):
            steps.append(at - last)
        last = at
    known = [seconds for number, seconds in enumerate(evals) if number]  # the first: start, too
    each = statistics.median(known) if known else 0.0
    rest = wall - sum(steps) - len(evals) * each
    return Took(wall, losses, statistics.median(steps) / micro, each, rest, len(steps), len(evals))


def options(parser: argparse.ArgumentParser) -> None:
    """How long the job is."""
    parser.add_argument("--iterations", type=int, default=LONG, help="of the whole job")
    parser.add_argument("--micro", type=int, default=1, help="micro-batches an iteration, of 32")


if __name__ == "__main__":
    single = argparse.ArgumentParser()
    single.add_argument("--nanogpt", type=Path)
    options(single)
    print(asdict(bench_job(single.parse_args())[0]))
