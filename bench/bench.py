"""Speed beside the peers, as ratios in one run: `make bench NANOGPT=path/to/nanoGPT`.

Every figure is the median of rounds in which the candidates take turns (A B C, A B C, …), so that a
machine whose speed drifts slows them alike. Weights are random: speed does not depend on them.
Without a nanoGPT checkout, transformers is the only peer.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import platform
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from shakegpt.checkpoint import POCKET
from shakegpt.config import FinetuneConfig
from shakegpt.events import Settings
from shakegpt.generate import Window, sample
from shakegpt.model import GPT, GPTConfig
from shakegpt.optimizer import make_optimizer
from shakegpt.tokenizer import Tokenizer

SHAPE = GPTConfig()  # 124M
TOKENS = 1024
NEW_TOKENS = 200
OURS = "shakegpt"


def main() -> None:
    """Print the machine, then a table for each measurement."""
    parser = argparse.ArgumentParser(description="speed of shakegpt beside nanoGPT, transformers")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement")
    parser.add_argument("--only", choices=["train", "sample", "start"], help="one measurement")
    asked = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch")
    print(f"{torch.__version__}; 124M, float32, random weights\n")
    jobs: dict[str, Callable[[Path | None, int], None]] = {
        "start": bench_start,
        "train": bench_training,
        "sample": bench_sampling,
    }
    for name, job in jobs.items():
        if asked.only in (None, name):
            job(asked.nanogpt, asked.rounds)
            gc.collect()


def turns(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in each round; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_number in range(rounds + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def table(title: str, seconds: dict[str, list[float]], units: int, unit: str) -> None:
    """Print medians, and how many times faster than each peer we are, round by round."""
    print(title)
    for name, times in seconds.items():
        ratios = [peer / ours for peer, ours in zip(times, seconds[OURS], strict=True)]
        middle = statistics.median(times)
        print(
            f"  {name:14} {units / middle:9.1f} {unit}  shakegpt is {statistics.median(ratios):.2f}"
            f" x as fast ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print()


def bench_training(nanogpt: Path | None, rounds: int) -> None:
    """One micro-batch of 1,024 tokens: forward, backward, one step of AdamW."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(SHAPE.vocab_size, (1, TOKENS + 1), generator=generator)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    jobs: dict[str, Callable[[], object]] = {OURS: our_step(x, y)}
    if nanogpt is not None:
        jobs["nanoGPT"] = nanogpt_step(load_nanogpt(nanogpt), x, y)
    jobs["transformers"] = transformers_step(x, y)
    table("training, a micro-batch of 1,024 and a step", turns(jobs, rounds), TOKENS, "tokens/s")


def our_model() -> GPT:
    """A GPT-2 of 124M with random weights."""
    model = GPT(SHAPE)
    model.initialize(torch.Generator().manual_seed(1))
    return model


def our_step(x: Tensor, y: Tensor) -> Callable[[], object]:
    """Our training step on one micro-batch."""
    model = our_model().train()
    optimizer = make_optimizer(model, FinetuneConfig(learning_rate=3e-5))

    def step() -> None:
        model(x, y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def load_nanogpt(checkout: Path) -> types.ModuleType:
    """The model module of a nanoGPT checkout."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    assert spec is not None and spec.loader is not None, f"{checkout} has no model.py"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nanogpt_model(module: types.ModuleType) -> torch.nn.Module:
    """Its GPT-2 of 124M with random weights."""
    config = module.GPTConfig(vocab_size=SHAPE.vocab_size, dropout=0.0, bias=True)
    model: torch.nn.Module = module.GPT(config)
    return model


def nanogpt_step(module: types.ModuleType, x: Tensor, y: Tensor) -> Callable[[], object]:
    """Its training step, as its train.py takes it on a CPU."""
    model = nanogpt_model(module).train()
    optimizer = model.configure_optimizers(0.1, 3e-5, (0.9, 0.95), "cpu")

    def step() -> None:
        _, loss = model(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def transformers_model() -> torch.nn.Module:
    """GPT2LMHeadModel of 124M with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model: torch.nn.Module = GPT2LMHeadModel(GPT2Config(attn_pdrop=0, embd_pdrop=0, resid_pdrop=0))
    return model


def transformers_step(x: Tensor, y: Tensor) -> Callable[[], object]:
    """A plain loop around it, with PyTorch's default AdamW."""
    model = transformers_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.1)

    def step() -> None:
        logits = model(x).logits
        torch.nn.functional.cross_entropy(logits[0], y[0]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def bench_sampling(nanogpt: Path | None, rounds: int) -> None:
    """200 tokens from a prompt of 8, each with a full draw."""
    prompt = list(range(100, 108))
    jobs: dict[str, Callable[[], object]] = {OURS: our_sampling(prompt)}
    if nanogpt is not None:
        theirs = nanogpt_model(load_nanogpt(nanogpt)).eval()
        idx = torch.tensor([prompt])
        jobs["nanoGPT"] = lambda: theirs.generate(idx, NEW_TOKENS, temperature=0.8, top_k=200)
    jobs["transformers"] = transformers_sampling(prompt)
    seconds = turns(jobs, min(rounds, 3))
    table(f"sampling {NEW_TOKENS} tokens", seconds, NEW_TOKENS, "tokens/s")


def our_sampling(prompt: list[int]) -> Callable[[], object]:
    """Our sampling loop, with the draw that a run records."""
    model, tokenizer = our_model().eval(), Numbers(POCKET)
    settings = Settings(max_new_tokens=NEW_TOKENS, temperature=0.8, top_k=200, top_p=None, seed=1)

    @torch.inference_mode()
    def job() -> None:
        window, context = Window(model, SHAPE.vocab_size), list(prompt)
        random = torch.Generator().manual_seed(1)
        for _ in range(NEW_TOKENS):
            draw = sample(window.predict(context), settings, tokenizer, random)
            context.append(draw.id)

    return job


class Numbers(Tokenizer):
    """Stands in for GPT-2's vocabulary, which may not be at hand: ids are shown as numbers."""

    def decode(self, ids: Iterable[int]) -> str:
        """The ids themselves."""
        return " ".join(map(str, ids))


def transformers_sampling(prompt: list[int]) -> Callable[[], object]:
    """`generate` with its cache, as a user would call it."""
    model = transformers_model().eval()
    idx = torch.tensor([prompt])
    options = {"do_sample": True, "top_k": 200, "temperature": 0.8, "pad_token_id": 50256}
    return lambda: model.generate(
        idx, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, **options
    )


def bench_start(_: Path | None, rounds: int) -> None:
    """From the shell to the help text, beside importing torch."""

    def run(*words: str) -> Callable[[], object]:
        command = [sys.executable, *words]
        return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    jobs = {OURS: run("-m", "shakegpt", "--help"), "import torch": run("-c", "import torch")}
    table("shakegpt --help", turns(jobs, rounds), 1, "a second")


if __name__ == "__main__":
    main()
