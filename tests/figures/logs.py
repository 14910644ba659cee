"""Synthetic run logs for tests: records of `shakegpt.runlog.schema`, with falling, noisy losses.

The numbers are synthetic; only their layout is that of a real run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shakegpt.data.tinyshakespeare import SHA256 as TINYSHAKESPEARE_SHA256
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.metrics import parameters

SHAPES = {  # n_layer, n_head, n_embd, block_size, vocab_size
    "pocket": (6, 8, 256, 256, 4096),
    "gpt2": (12, 12, 768, 1024, 50257),
    "gpt2-large": (36, 20, 1280, 1024, 50257),
    "gpt2-xl": (48, 25, 1600, 1024, 50257),
}
MEMORY = ev.Memory(weights=1, gradients=1, optimizer=2, activations=1, logits=1, process=1)
SPEAKERS = ("ROMEO", "JULIET", "First Citizen")
WORDS = ("\n", "O", ",", " my", " lord", "ROMEO", ":", " thou", " art", " the")


def model(name: str = "pocket") -> ev.Model:
    n_layer, n_head, n_embd, block_size, vocab_size = SHAPES[name]
    shape = ev.Model(
        name=name,
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        block_size=block_size,
        vocab_size=vocab_size,
        n_params=0,
    )
    return ev.Model(
        **{
            **{f: getattr(shape, f) for f in shape.__struct_fields__},
            "n_params": parameters(shape).total,
        }
    )


def header(
    name: str = "pocket", max_iters: int = 20, run_id: str = "run-a", **config: Any
) -> ev.Run:
    large = name != "pocket"
    settings = {
        "max_iters": max_iters,
        "eval_interval": 5,
        "batch_size": 1 if large else 8,
        "gradient_accumulation_steps": 32 if large else 4,
        "block_size": None,
        "learning_rate": 3e-5 if large else 1e-3,
        "decay_lr": False,
        "init_from": name,
        "dataset": ["tinyshakespeare"] if large else ["plays"],
    }
    return ev.Run(
        time=1_700_000_000.0,
        run_id=run_id,
        config={**settings, **config},
        model=model(name),
        dataset=ev.Dataset(
            name="tinyshakespeare" if large else "plays",
            sha256=TINYSHAKESPEARE_SHA256 if large else "0" * 64,
            characters=1_115_394 if large else 5_000_000,
            train_tokens=301_966,
            val_tokens=36_059,
            eval_tokens=36_059,
            eval_whole=True,
            speakers=SPEAKERS,
        ),
        device="cpu",
        device_reason="no accelerator",
        dtype="float32",
        dtype_reason="the CPU is fast at it",
        memory=MEMORY,
        versions={"torch": "2.13.0"},
        git=None,
        seed=1337,
        host="nowhere",
        pid=1,
        threads=2,
    )


def curve(
    losses: Sequence[Sequence[float | None]], vals: dict[int, float | None]
) -> Iterator[ev.Event]:
    """Progress and step records of `losses[iteration - 1][micro_step - 1]`, evals where told."""
    best = math.inf
    for iteration in range(len(losses) + 1):
        if iteration:
            yield from _step(iteration, losses[iteration - 1])
        if iteration in vals:
            val = vals[iteration]
            yield ev.Eval(
                time=1_700_000_000.0 + iteration,
                iteration=iteration,
                val_loss=val,
                tokens=36_059,
                seconds=1.0,
                best=val is not None and val < best,
            )
            best = min(best, val if val is not None else math.inf)


def _step(iteration: int, losses: Sequence[float | None]) -> Iterator[ev.Event]:
    for k, loss in enumerate(losses, 1):
        yield ev.Progress(
            time=1_700_000_000.0 + iteration,
            iteration=iteration,
            micro_step=k,
            micro_steps=len(losses),
            loss=loss,
            tokens=iteration * 1000,
        )
    finite = [loss for loss in losses if loss is not None]
    yield ev.Step(
        time=1_700_000_000.0 + iteration,
        iteration=iteration,
        loss=sum(finite) / len(finite) if len(finite) == len(losses) and finite else None,
        learning_rate=1e-3,
        grad_norm=1.0,
        seconds=1.0,
        tokens_per_second=1000.0,
        memory=1,
    )


def sample(
    texts: Sequence[str] = WORDS,
    prompt: str = "ROMEO:",
    number: int = 0,
    iteration: int = 20,
    vocab: int = 4096,
    temperature: float = 0.8,
    top_k: int | None = 200,
) -> Iterator[ev.Event]:
    """A sample of these token texts, each with ten candidates; ranks 1 to 4 in turn."""
    settings = ev.Settings(
        max_new_tokens=len(texts), temperature=temperature, top_k=top_k, top_p=None, seed=1
    )
    yield ev.Sample(
        time=1_700_000_100.0,
        iteration=iteration,
        sample=number,
        prompt=prompt,
        prompt_tokens=((5, prompt),),
        settings=settings,
    )
    chance = random.Random(number)
    for index, text in enumerate(texts):
        shares = sorted((chance.random() ** 3 for _ in range(12)), reverse=True)
        whole = sum(shares)
        rank = index % 4 + 1
        names = [f"{WORDS[i]}" for i in range(10)]
        names[rank - 1] = text
        row = tuple(
            ev.Candidate(id=i + 10, text=name, probability=share / whole, raw=share / whole * 0.9)
            for i, (name, share) in enumerate(zip(names, shares, strict=False))
        )
        yield ev.Token(
            time=1_700_000_100.0 + index,
            iteration=iteration,
            sample=number,
            index=index,
            id=row[rank - 1].id,
            text=text,
            probability=row[rank - 1].probability,
            raw=row[rank - 1].raw,
            rank=rank,
            candidates=row,
        )
    yield ev.SampleEnd(
        time=1_700_000_200.0,
        iteration=iteration,
        sample=number,
        text="".join(texts),
        tokens=len(texts),
        seconds=1.0,
        complete=True,
    )


def inspection(
    leads: Sequence[int] = (2, 4, 4, 1, 0, 3),
    iteration: int = 20,
    number: int = 0,
    n_layer: int = 4,
    texts: Sequence[str] = WORDS,
    earlier: int = 200,
    before: float | None = 0.1,
) -> ev.Inspection:
    """The inside of a sample: its n-th final guess leads from block `leads[n]` on, and is drawn but
    for every third. All but the last five tokens get `earlier` thousandths of attention together.
    """
    count = len(leads)
    drawn = tuple((10 + n, texts[n % len(texts)]) for n in range(count))
    context = (*((100 + n, text) for n, text in enumerate("ROMEO:")), *drawn[:-1])
    other, miss = (900, " other"), (901, " miss")

    def guesses(n: int) -> Iterator[ev.BlockGuess]:
        final = miss[0] if n % 3 == 2 else drawn[n][0]
        for block in range(n_layer + 1):
            guess = final if block >= leads[n] else other[0]
            share = round(0.2 + 0.7 * block / n_layer, 4)
            mine = guess == drawn[n][0]
            yield ev.BlockGuess(
                rank=1 if mine else 7, probability=share if mine else 0.01, top=((guess, share),)
            )

    rows = tuple(
        (*[earlier // (n + 1)] * (n + 1), *[(1000 - earlier) // 5] * 5) for n in range(count)
    )
    return ev.Inspection(
        iteration=iteration,
        sample=number,
        context=context,
        drawn=drawn,
        guesses=tuple(tuple(guesses(n)) for n in range(count)),
        texts=dict([*context, *drawn, other, miss]),
        attention=tuple(ev.AttentionMap(block=k, head=None, rows=rows) for k in range(n_layer)),
        initial=None if before is None else (before,) * count,
    )


def end(iteration: int, wall: float = 61.0, status: ev.Status = "finished") -> ev.End:
    return ev.End(
        time=1_700_000_300.0,
        status=status,
        reason="all iterations done",
        iteration=iteration,
        best_val_loss=None,
        wall_seconds=wall,
    )


def talk_like(
    name: str = "pocket",
    iterations: int = 20,
    seed: int = 0,
    start: float | None = None,
    goal: float | None = None,
    micro_steps: int | None = None,
    eval_interval: int = 5,
    spread: float | None = None,
    **config: Any,
) -> list[ev.Event]:
    """A whole run whose losses move from `start` to `goal` and shake by `spread`."""
    large = name != "pocket"
    start = start or (3.66 if large else 4.22)
    goal = goal or (2.86 if large else 3.71)
    micro = micro_steps or (32 if large else 4)
    spread = spread if spread is not None else (0.25 if large else 0.09)
    chance = random.Random(seed)

    def level(iteration: int) -> float:
        share = (1 - math.exp(-3 * iteration / iterations)) / (1 - math.exp(-3))
        return start + (goal - start) * share

    losses = [
        [level(i) - 0.05 + chance.gauss(0, spread) for _ in range(micro)] for i in range(iterations)
    ]
    at = sorted({*range(0, iterations + 1, eval_interval), iterations})
    run = header(name, iterations, **config)
    body = curve(losses, {i: level(i) for i in at})
    vocab = run.model.vocab_size
    return [run, *body, *sample(vocab=vocab, iteration=iterations), end(iterations)]


def history(records: Sequence[ev.Event]) -> History:
    return History().extend(records)


def write(records: Sequence[ev.Event], run: Path) -> Path:
    """The records as a run directory's log, written by the real writer."""
    run.mkdir(parents=True, exist_ok=True)
    with RunLog(run / LOG_NAME) as log:
        for record in records:
            log.write(record)
    return run
