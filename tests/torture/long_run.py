"""A long run with its screen attached: memory, descriptors, log and state, watched to the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.runs import summarize
from tests.commands import PATHS
from tests.tiny import play
from tests.torture.screens import SCREEN, Terminal
from tests.torture.tally import Tally
from tests.torture.tiny import flags

ITERATIONS = 20_000
ENOUGH = 5_000
"""Iterations from which on a slope of the memory says something."""
LOG_BYTES = 700
"""Of the log that an iteration may take: a progress and a step record, a share of the rest."""
TRAINER_BYTES, SCREEN_BYTES = 3_000, 6_000
"""Resident memory an iteration may take: both keep the numbers of every iteration to show them."""
TINY: dict[str, object] = {
    "n_layer": 1,
    "n_head": 1,
    "n_embd": 8,
    "block_size": 8,
    "batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-3,
    "dropout": 0.0,
    "eval_tokens": 64,
    "max_new_tokens": 3,
}


@dataclass
class Watched:
    """A process as it was at some iterations: resident bytes and open descriptors."""

    pid: int
    iterations: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, iteration: int) -> None:
        """Take a measurement; a process that is gone gives none."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            count = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        except OSError:
            return
        self.iterations.append(iteration)
        self.memory.append(pages * os.sysconf("SC_PAGESIZE"))
        self.descriptors.append(count)

    @property
    def slope(self) -> float:
        """Bytes of memory an iteration, over the second half of the run."""
        half = len(self.iterations) // 2
        return float(np.polyfit(self.iterations[half:], self.memory[half:], 1)[0])


def long_run(folder: Path, tally: Tally, iterations: int = ITERATIONS) -> None:
    """Train `iterations` with the screen open, and hold what grew to what may grow."""
    folder.mkdir(parents=True, exist_ok=True)
    text, run = folder / "play.txt", folder / "long"
    text.write_text(play(), "utf-8")
    interval = max(1, iterations // 20)
    words = flags(text, run, **TINY, max_iters=iterations, eval_interval=interval)
    env = os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color"}
    with open(folder / "long.out", "wb") as out:
        trainer = subprocess.Popen(
            [sys.executable, "-m", "shakegpt", "finetune", *words],
            stdout=out,
            stderr=out,
            env=env,
        )
    while not (run / LOG_NAME).exists():
        assert trainer.poll() is None, (folder / "long.out").read_text()
        time.sleep(0.2)
    screen = Terminal([*SCREEN, str(run)])
    watched = {"trainer": Watched(trainer.pid), "screen": Watched(screen.process.pid)}
    while trainer.poll() is None:
        for each in watched.values():
            each.look(summarize(run).iteration)
        screen.read(max(0.5, iterations / 10_000))
        screen.said.clear()
    with tally.case("the screen lives to the end, and leaves when told"):
        screen.type(b"q")
        assert screen.leave() == 0
    _judge(tally, run, watched, iterations)


def _judge(tally: Tally, run: Path, watched: dict[str, Watched], iterations: int) -> None:
    told, problems = load(run)
    with tally.case("the run ends whole"):
        assert not problems and told.end is not None and told.end.status == "finished"
        assert sorted(told.steps) == list(range(1, iterations + 1))
    for name, most in (("trainer", TRAINER_BYTES), ("screen", SCREEN_BYTES)):
        each = watched[name]
        first, last = each.memory[len(each.memory) // 2], each.memory[-1]
        tally.note(
            f"{name}: {each.slope:,.0f} bytes of memory an iteration over the second half "
            f"({first / 2**20:.0f} to {last / 2**20:.0f} MiB), {min(each.descriptors)} to "
            f"{max(each.descriptors)} descriptors"
        )
        if iterations >= ENOUGH:
            with tally.case(f"memory of the {name}"):
                assert each.slope < most, each.slope
        with tally.case(f"descriptors of the {name}"):
            half = each.descriptors[len(each.descriptors) // 2 : -1]  # the last: it may be leaving
            assert max(half) - min(half) <= 4, half
    size = (run / LOG_NAME).stat().st_size
    states = [p for p in (run / "state").iterdir() if p.is_dir()]
    tally.note(f"log: {size / iterations:.0f} bytes an iteration; {len(states)} states")
    with tally.case("the log is bounded"):
        assert size < LOG_BYTES * iterations, size
    with tally.case("two states are kept, nothing else"):
        assert len(states) == 2 and not list((run / "state").glob(".*")), states
