"""From the command to the help, a first token, and the start of training, beside import torch."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.report import Row
from tests.bench.turns import OURS, Job, Seconds, table, turns

PEER = "import torch"
AIM = 1.3


def bench_start(asked: argparse.Namespace) -> list[Row]:
    """A row for each; the first token is measured to the end of the command that draws no other."""
    torch = run("-c", "import torch")
    with tempfile.TemporaryDirectory() as folder:
        jobs = {"the help text": run("-m", "shakegpt", "--help")}
        one_token = ("sample", "pocket", "--max-new-tokens", "1")
        jobs["the first token of a sample, pocket"] = run("-m", "shakegpt", *one_token)
        jobs["the start of training, pocket"] = start_training(Path(folder))
        return [
            _row(what, turns({OURS: job, PEER: torch}, asked.rounds)) for what, job in jobs.items()
        ]


def _row(what: str, seconds: Seconds) -> Row:
    table(f"from the command to {what}", seconds, 1, "a second")
    pairs = zip(seconds[OURS], seconds[PEER], strict=True)
    ratios = [ours / theirs for ours, theirs in pairs]
    middle, ours = statistics.median(ratios), statistics.median(seconds[OURS])
    figure = f"{ours:.2f} s, {middle:.2f} × {PEER} ({min(ratios):.2f} to {max(ratios):.2f})"
    return Row(f"from the command to {what}", figure, f"at most {AIM} ×", middle <= AIM)


def run(*words: str) -> Job:
    """A job: Python with these words, to its end."""
    command = [sys.executable, *words]
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def start_training(folder: Path) -> Job:
    """A job: `shakegpt finetune` until its log says that it trains.

    Text, model and optimizer are there then, and the evaluation of iteration 0 begins, which comes
    before the first update. The text's tokens are in the cache from the first round on.
    """

    def job() -> None:
        run = Path(tempfile.mkdtemp(dir=folder))
        words = ["finetune", "--no-tui", "--out-dir", str(run)]
        process = subprocess.Popen(
            [sys.executable, "-m", "shakegpt", *words], stdout=subprocess.DEVNULL
        )
        log = run / "log.jsonl"
        while not (log.exists() and '"phase":"training"' in log.read_text("utf-8")):
            assert process.poll() is None, "it left before it trained"
            time.sleep(0.005)
        process.kill()
        process.wait()

    return job
