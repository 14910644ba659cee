"""How good `shakegpt advise` is: its settings against a grid, its forecast against a real run.

    python -m tests.bench.advice OUT.jsonl TEXT [TEXT …] [--tokens N] [--no-grid]

For each text: the probe and its recommendation for a run of N tokens, which is then trained as
recommended; and 20 runs of N tokens each, 5 learning rates times 4 batches, with the same warm-up
and cosine, each with its lowest val loss of 8 evaluations, since a run saves its best model. All
with the same model, seed and validation windows, one line of JSON a text, appended to OUT. What
the probe may train on is given in tokens, about what 55 s train on a quiet two-core machine, so
that a busy machine gives the same numbers. `--table OUT.jsonl` prints Markdown.

    python -m tests.bench.advice --make DIR     writes texts to try: code, logs, plays
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import sysconfig
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shakegpt.advise.recommend import recommend
from shakegpt.advise.trial import Trials, schedule
from shakegpt.config import FinetuneConfig
from shakegpt.data.sources import load_text
from shakegpt.train.setup import prepare

RATES = (3.5e-4, 7e-4, 1.4e-3, 2.8e-3, 5.6e-3)
STEP_TOKENS = (1024, 2048, 4096, 16384)
EVALUATIONS = 8
VAL_TOKENS = 16_384


class Curves(Trials):
    """Short runs that are evaluated on their way, too."""

    def curve(self, config: FinetuneConfig) -> list[tuple[int, float]]:
        """(iteration, val loss) of a run."""
        every = max(1, config.max_iters // EVALUATIONS)
        return list(self.losses(config, every, VAL_TOKENS))


def grid(trials: Curves, tokens: int) -> list[dict[str, Any]]:
    """The 20 runs: settings, lowest val loss, last val loss."""
    rows = []
    base, length = trials.setup.config, trials.setup.dataset.block_size
    for step in STEP_TOKENS:
        for rate in RATES:
            losses = [loss for _, loss in trials.curve(schedule(base, step, rate, tokens, length))]
            rows.append({"rate": rate, "step": step, "best": min(losses), "last": losses[-1]})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def try_text(text: str, tokens: int, probe_tokens: int, with_grid: bool) -> dict[str, Any]:
    """What advise recommends for a text, what that gives, and what the grid gives."""
    base = replace(FinetuneConfig(), dataset=(text,), eval_tokens=VAL_TOKENS)
    started = time.monotonic()
    found = recommend(base, 1, 1, print, tokens=tokens, probe_tokens=probe_tokens)
    probe_seconds = time.monotonic() - started
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare(replace(base, max_new_tokens=0), Path(folder) / "vocabulary")
        trials = Curves(setup, Path(folder), VAL_TOKENS)
        advised = [loss for _, loss in trials.curve(replace(found.config, max_new_tokens=0))]
        print("advised", min(advised), found.forecast, flush=True)
        rows = grid(trials, tokens) if with_grid else []
    return {
        "text": Path(text).name,
        "bytes": len(load_text((text,)).content.encode()),
        "train_tokens": found.train_tokens,
        "tokens": found.tokens,
        "limit": found.limit,
        "rate": found.config.learning_rate,
        "step": found.tokens // found.config.max_iters,
        "start": found.start.loss,
        "forecast": found.forecast.loss,
        "low": found.forecast.low,
        "high": found.forecast.high,
        "advised": min(advised),
        "probe_tokens": sum(run.tokens for run in found.runs),
        "probe_seconds": probe_seconds,
        "grid": rows,
        "curve": [(run.tokens, run.rate, run.step_tokens, run.loss) for run in found.runs],
    }


def table(path: Path) -> str:
    """Markdown of the lines of `path`."""
    lines = [
        "| text | size | training tokens | start | grid's best | its settings | advised "
        "| settings | off the best | forecast | off |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in map(json.loads, path.read_text().splitlines()):
        best = min(row["grid"], key=lambda each: each["best"], default=None)
        off = "" if best is None else f"{100 * (row['advised'] / best['best'] - 1):+.1f} %"
        grid = (
            "| | "
            if best is None
            else f"| {best['best']:.3f} | {best['rate']:.2g}, {best['step']:,}"
        )
        missed = 100 * (row["forecast"] / row["advised"] - 1)
        inside = "" if row["low"] <= row["advised"] <= row["high"] else ", outside its interval"
        lines.append(
            f"| {row['text']} | {row['bytes'] / 1000:,.0f} kB | {row['train_tokens']:,} "
            f"| {row['start']:.3f} {grid} | {row['advised']:.3f} | {row['rate']:.2g}, "
            f"{row['step']:,}, {row['tokens']:,} tokens ({row['limit']}) | {off} "
            f"| {row['forecast']:.3f} ({row['low']:.3f} to {row['high']:.3f}) | {missed:+.1f} %"
            f"{inside} |"
        )
    return "\n".join(lines)


def make(folder: Path) -> None:
    """Write texts that every machine can make: Python's own sources, log lines, plays."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    code = "\n\n".join(path.read_text("utf-8", "replace") for path in sources)
    plays = load_text(("plays",)).content
    texts = {
        "code.txt": code[:3_000_000],
        "code-small.txt": code[:120_000],
        "logs.txt": "\n".join(log_lines(14_000)) + "\n",
        "scene.txt": plays[400_000:430_000],
        "plays.txt": plays,
    }
    for name, content in texts.items():
        (folder / name).write_text(content, "utf-8")


def log_lines(count: int, seed: int = 1) -> list[str]:
    """Lines as web servers, kernels and login daemons write them."""
    draw, moment, lines = random.Random(seed), 1_760_000_000, []
    for _ in range(count):
        moment += draw.randrange(1, 40)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
        kind = draw.choices(("web", "kernel", "login"), (75, 15, 10))[0]
        if kind == "web":
            verb, path = draw.choice(("GET", "GET", "POST")), draw.choice(("/", "/login", "/api"))
            status, size = draw.choice((200, 200, 304, 404, 500)), draw.randrange(120, 9000)
            what = f"nginx[{draw.randrange(300, 400)}]: {verb} {path} {status} {size}"
        elif kind == "kernel":
            what = f"kernel: [{draw.random() * 1e5:.6f}] eth0: link {draw.choice(('up', 'down'))}"
        else:
            user, port = draw.choice(("root", "admin", "guest")), draw.randrange(20_000, 60_000)
            what = f"sshd[{draw.randrange(1000, 9999)}]: Failed password for {user} port {port}"
        lines.append(f"{stamp} node-{draw.randrange(20):02d} {what}")
    return lines


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--tokens", type=int, default=131_072)
    parser.add_argument("--probe-tokens", type=int, default=280_000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no-grid", action="store_true")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.make:
        return make(arguments.out)
    if arguments.table:
        return print(table(arguments.out))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for text in arguments.texts:
        row = try_text(text, arguments.tokens, arguments.probe_tokens, not arguments.no_grid)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return None


if __name__ == "__main__":
    main()
