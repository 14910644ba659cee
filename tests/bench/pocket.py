"""What the pocket's arithmetic does not need: the loop's own seconds, a token and an iteration.

The same model, windows and kernels with all that a run does (log, safe points, memory told, the
draw and its candidates) and without, in turns; what lies between them is ours.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET
from shakegpt.config.presets import PRESETS
from shakegpt.finetune import Finetuning
from shakegpt.generate import recorded
from shakegpt.nn.fast_decode import SlidingWindow
from shakegpt.runlog.control import Inbox
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.schema import Settings
from shakegpt.train.setup import initial_model, prepare
from shakegpt.train.supervisor import Supervisor
from tests.bench.report import Row
from tests.bench.turns import turns

TOKENS = 200


def bench_pocket(asked: argparse.Namespace) -> list[Row]:
    """Overhead of an iteration of the default run, and of a token of its samples."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        log = RunLog(run / LOG_NAME)
        rows = [_iteration(run, log, asked.rounds), _token(log, asked.rounds)]
        log.close()
    print()
    return rows


def _iteration(run: Path, log: RunLog, rounds: int) -> Row:
    config = replace(PRESETS["pocket"].config, max_iters=10_000, eval_interval=10_000)
    setup = prepare(config, run, own_process=True)
    with Supervisor(log, Inbox(run), signals=False) as supervisor:
        job = Finetuning(setup, initial_model(setup), run, log, supervisor)
        job.model.train()
        batches = list(job.batches(1))

        def bare() -> None:
            for x, y in batches:
                loss: Any
                with job.place.autocast():
                    loss = job.forward(x, y)
                (loss / 4).backward()
            torch.nn.utils.clip_grad_norm_(job.model.parameters(), 1.0)
            job.optimizer.inner.step()
            job.optimizer.zero_grad()

        jobs = {"whole": lambda: job.update(job.iteration + 1), "bare": bare}
        return _row("an iteration", turns(jobs, 2 * rounds + 1), 1)


def _token(log: RunLog, rounds: int) -> Row:
    model = checkpoint.load(POCKET).eval()
    tokenizer = checkpoint.vocabulary(POCKET)
    how = Settings(max_new_tokens=TOKENS, temperature=0.8, top_k=200, top_p=None, seed=1)

    def whole() -> None:
        for event in recorded(model, tokenizer, "ROMEO:", how, 0, 0, False):
            log.write(event)

    @torch.inference_mode()
    def bare() -> None:
        window, ids = SlidingWindow(model, model.config.vocab_size), tokenizer.encode("ROMEO:")
        for _ in range(TOKENS):
            ids.append(int(window.predict(ids).argmax()))

    return _row("a token", turns({"whole": whole, "bare": bare}, 2 * rounds + 1), TOKENS)


def _row(what: str, seconds: dict[str, list[float]], units: int) -> Row:
    whole, bare = (1e3 * statistics.median(seconds[name]) / units for name in ("whole", "bare"))
    ours = statistics.median(
        1e3 * (w - b) / units for w, b in zip(seconds["whole"], seconds["bare"], strict=True)
    )
    figure = f"{ours:.2f} ms of {whole:.2f} are the loop's own, {100 * ours / whole:.1f} %"
    print(f"the pocket, {what}: {figure} ({bare:.2f} ms without it)")
    return Row(f"the pocket's overhead, {what}", figure)
