"""From the shell to the help text, and to the start of training, beside importing torch."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import OURS, Job, table, turns


def bench_start(_: Path | None, rounds: int) -> None:
    """From the shell to the help text, and to the start of training, beside importing torch."""
    torch = run("-c", "import torch")
    table(
        "shakegpt --help",
        turns({OURS: run("-m", "shakegpt", "--help"), "import torch": torch}, rounds),
        1,
        "a second",
    )
    with tempfile.TemporaryDirectory() as folder:
        table(
            "shakegpt finetune, the pocket on the plays, until it begins to train",
            turns({OURS: start_training(Path(folder)), "import torch": torch}, rounds),
            1,
            "a second",
        )


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
