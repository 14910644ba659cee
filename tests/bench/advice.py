"""How good `shakegpt advise` is: its settings against a grid, its forecast against a real run.

    python -m tests.bench.advice OUT.jsonl TEXT [TEXT …] [--tokens N] [--grid full|around|none]
        [--optimizer adamw]

For each text: the probe and its recommendation for a run of N tokens, which is then trained as
recommended; and a grid of runs of N tokens, 5 learning rates times 4 batches or, with `around`, the
two rates and the larger batch beside the recommendation. All with the same model, seed, warm-up,
cosine and validation windows; a run counts with its val loss at the end, one that repeats its text
with the lowest of 4 evaluations, since a run saves its best model. Each probe and each run is a
line of JSON in OUT, appended when it is done; what stands there is not made again. What the probe
may train on is given in tokens, about what 50 s train on a quiet two-core machine, so that a busy
machine gives the same numbers.
`--table OUT.jsonl` prints Markdown.

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
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shakegpt.advise.recommend import recommend
from shakegpt.advise.trial import Trials, schedule
from shakegpt.config import FinetuneConfig
from shakegpt.config.presets import FIRST, PRESETS
from shakegpt.data.sources import load_text
from shakegpt.train.setup import prepare

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Learning rates of the grid, by the usual one; Muon's and AdamW's are scaled together."""
STEP_TOKENS = (768, 1536, 3072, 14_336)
EVALUATIONS = 4
VAL_TOKENS = 16_384
Setting = tuple[int, float, int]
"""Tokens per step, learning rate, length in tokens."""


class Store:
    """The lines of a file: one `probe` for each text and N, and one `run` for each setting."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Append a row to the file."""
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, file=sys.stderr, flush=True)
        return row

    def probe(self, text: str, target: int) -> dict[str, Any] | None:
        """The recommendation for `target` tokens of a text."""
        rows = (r for r in self.rows if (r["kind"], r["text"]) == ("probe", text))
        return next((row for row in rows if row["target"] == target), None)

    def runs(self, text: str) -> dict[Setting, float]:
        """The lowest val loss of each run on a text."""
        rows = (r for r in self.rows if (r["kind"], r["text"]) == ("run", text))
        return {(r["step"], r["rate"], r["tokens"]): min(r["losses"]) for r in rows}


def probe(store: Store, text: str, base: FinetuneConfig, tokens: int, probe_tokens: int) -> None:
    """Add what advise recommends for a text."""
    started, before = time.monotonic(), time.process_time()
    found = recommend(base, 1, 1, print, tokens=tokens, probe_tokens=probe_tokens)
    store.add(
        {
            "kind": "probe",
            "text": Path(text).name,
            "target": tokens,
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
            "unknown": found.unknown,
            "probe_tokens": sum(run.tokens for run in found.runs),
            "probe_seconds": time.monotonic() - started,
            "processor_seconds": time.process_time() - before,
            "curve": [(run.tokens, run.rate, run.step_tokens, run.loss) for run in found.runs],
        }
    )


def around(row: dict[str, Any], tokens: int) -> list[Setting]:
    """The settings beside the recommended ones."""
    step, rate = row["step"], row["rate"]
    return [(step, rate / 2, tokens), (step, rate * 2, tokens), (step, rate, tokens)] + [
        (2 * step, factor * rate, tokens) for factor in (1, 2)
    ]


def train(store: Store, text: str, base: FinetuneConfig, settings: Iterable[Setting]) -> None:
    """Add the runs that were not made yet."""
    name = Path(text).name
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare(replace(base, max_new_tokens=0), Path(folder) / "vocabulary")
        trials, length = Trials(setup, Path(folder), VAL_TOKENS), setup.dataset.block_size
        for step, rate, tokens in settings:
            if (step, rate, tokens) in store.runs(name):
                continue
            config = schedule(setup.config, step, rate, tokens, length)
            repeats = tokens > len(setup.dataset.train)
            every = max(1, config.max_iters // (EVALUATIONS if repeats else 1))
            losses = [loss for _, loss in trials.losses(config, every, VAL_TOKENS)]
            row = {"text": name, "step": step, "rate": rate, "tokens": tokens, "losses": losses}
            store.add({"kind": "run", **row})


def table(store: Store) -> str:
    """Markdown of what is stored."""
    lines = [
        "| text | size | training tokens | start | runs in the grid | grid's best | its settings "
        "| advised | settings | off the best | forecast | off |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in (each for each in store.rows if each["kind"] == "probe"):
        runs = store.runs(row["text"])
        if (advised := runs.get((row["step"], row["rate"], row["tokens"]))) is None:
            continue
        of_grid = {s: loss for s, loss in runs.items() if s[2] == row["target"]}
        grid, off = "| 0 | | ", ""
        if of_grid:
            best, (step, rate, _) = min((loss, setting) for setting, loss in of_grid.items())
            grid = f"| {len(of_grid)} | {best:.3f} | {rate:.2g}, {step:,} "
            off = f"{100 * (advised / best - 1):+.1f} %"
        missed = 100 * (row["forecast"] / advised - 1)
        inside = "" if row["low"] <= advised <= row["high"] else ", outside its interval"
        lines.append(
            f"| {row['text']} | {row['bytes'] / 1000:,.0f} kB | {row['train_tokens']:,} "
            f"| {row['start']:.3f} {grid}| {advised:.3f} | {row['rate']:.2g}, "
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
    parser.add_argument("--tokens", type=int, default=98_304)
    parser.add_argument("--probe-tokens", type=int, default=255_000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--grid", choices=("full", "around", "none"), default="full")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.make:
        return make(arguments.out)
    store, tokens = Store(arguments.out), arguments.tokens
    if arguments.table:
        return print(table(store))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for text in arguments.texts:
        base = replace(PRESETS[FIRST].config, dataset=(text,), eval_tokens=VAL_TOKENS)
        if arguments.optimizer == "adamw":
            usual = FinetuneConfig().learning_rate
            base = replace(base, optimizer="adamw", learning_rate=usual)
        rates = [factor * base.learning_rate for factor in FACTORS]
        if store.probe(Path(text).name, tokens) is None:
            probe(store, text, base, tokens, arguments.probe_tokens)
        row = store.probe(Path(text).name, tokens)
        assert row is not None
        settings = [(row["step"], row["rate"], row["tokens"])]
        if arguments.grid == "around":
            settings += around(row, tokens)
        elif arguments.grid == "full":
            settings += [(step, rate, tokens) for step in STEP_TOKENS for rate in rates]
        train(store, text, base, settings)
    return None


if __name__ == "__main__":
    main()
