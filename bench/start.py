"""From the shell to the help text, beside importing torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from turns import OURS, Job, table, turns


def bench_start(_: Path | None, rounds: int) -> None:
    """From the shell to the help text, beside importing torch."""

    def run(*words: str) -> Job:
        command = [sys.executable, *words]
        return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    jobs = {OURS: run("-m", "shakegpt", "--help"), "import torch": run("-c", "import torch")}
    table("shakegpt --help", turns(jobs, rounds), 1, "a second")
