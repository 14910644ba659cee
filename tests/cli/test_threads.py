"""Threads of a command: how many there are, and that they leave the processors to others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import time
from shakegpt.cli.imports import heavy_imports
with heavy_imports(trains=True):
    import torch
torch.set_num_threads(2)
numbers, waiting = torch.rand(1 << 20), 0.0
for _ in range(100):
    numbers.add_(1)
    before = time.process_time()
    time.sleep(0.002)
    waiting += time.process_time() - before
print(waiting)
"""


def test_threads_of_a_command_that_trains_sleep_while_they_wait() -> None:
    usual = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100, env=usual
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.06  # of 0.2 s; 0.19 where they spin


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize(
    ("quota", "asked", "threads"), [("100000", None, 1), ("max", None, 2), ("100000", "2", 2)]
)
def test_a_limit_of_processor_time_is_the_number_of_threads(
    quota: str, asked: str | None, threads: int, tmp_path: Path
) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor has one thread without a limit, too")
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom shakegpt.hardware import control_group\n"
        f"control_group.ROOT = Path({str(tmp_path)!r})\n"
        "os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:2])\n"
        "from shakegpt.cli.imports import heavy_imports\n"
        "with heavy_imports():\n    import torch\nprint(torch.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment | ({"OMP_NUM_THREADS": asked} if asked else {}),
    )
    assert done.stdout.strip() == str(threads), done.stderr
