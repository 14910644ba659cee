"""Logs for the tests of the terminal UI: a run that learns, written with the real structs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from shakegpt.runlog import schema as ev
from shakegpt.runlog.log import LOG_NAME, RunLog

T0 = 1_750_000_000.0
TEXT = [
    (" What", 0.81), (" light", 0.34), (" through", 0.62), (" yonder", 0.05), (" window", 0.93),
    (" breaks", 0.88), ("?", 0.97), ("\n", 0.71), ("It", 0.22), (" is", 0.90), (" the", 0.77),
    (" [east", 0.01), ("],", 0.40), (" and", 0.66), (" thou", 0.12), (" art", 0.55),
    (" the", 0.31), (" sun", 0.08), (".", 0.64), ("\n\n", 0.83), ("JULIET", 0.47), (":", 0.99),
    ("\n", 0.98), ("O", 0.15), (",", 0.60), (" Romeo", 0.29), (",", 0.71), (" wherefore", 0.02),
]  # fmt: skip


def header(
    *, pid: int = 1, host: str = "elsewhere", time: float = T0, max_iters: int = 20
) -> ev.Run:
    return ev.Run(
        time=time,
        run_id="a-run",
        config={"max_iters": max_iters, "eval_interval": 5, "prompt": "ROMEO:"},
        model=ev.Model(
            name="pocket",
            n_layer=6,
            n_head=6,
            n_embd=384,
            block_size=256,
            vocab_size=8192,
            n_params=13_900_000,
        ),
        dataset=ev.Dataset(
            name="plays",
            sha256="0" * 64,
            characters=5_400_000,
            train_tokens=1_500_000,
            val_tokens=160_000,
            eval_tokens=40_000,
            eval_whole=False,
            speakers=("ROMEO", "JULIET"),
        ),
        device="cpu",
        device_reason="no accelerator",
        dtype="float32",
        dtype_reason="a CPU",
        memory=ev.Memory(
            weights=1, gradients=1, optimizer=2, activations=3, logits=1, process=200_000_000
        ),
        versions={"python": "3.11"},
        git=None,
        seed=1337,
        host=host,
        pid=pid,
        threads=2,
    )


def own_header(pid: int, time: float) -> ev.Run:
    """A header of a trainer on this machine."""
    return header(pid=pid, host=socket.gethostname(), time=time)


def resume(iteration: int, **changes: object) -> ev.Resume:
    """The record of a run that is resumed after `iteration`."""
    usual: dict[str, object] = {
        "time": T0, "iteration": iteration, "config": {"max_iters": 20, "eval_interval": 5},
        "device": "cpu", "device_reason": "", "dtype": "float32", "dtype_reason": "",
        "versions": {}, "git": None, "host": "elsewhere", "pid": 1, "threads": 2,
    }  # fmt: skip
    return ev.Resume(**(usual | changes))  # type: ignore[arg-type]


def sample(
    number: int, iteration: int, time: float, *, prompt: str = "ROMEO:", asked: bool = False
) -> Iterator[ev.Event]:
    yield ev.Sample(
        time=time,
        iteration=iteration,
        sample=number,
        prompt=prompt,
        prompt_tokens=((1, prompt),),
        settings=ev.Settings(max_new_tokens=28, temperature=0.8, top_k=200, top_p=None, seed=1),
        requested=asked,
    )
    for index, (text, probability) in enumerate(TEXT):
        yield token(number, iteration, index, text, probability, time + 0.05 * (index + 1))
    yield ev.SampleEnd(
        time=time + 0.05 * len(TEXT),
        iteration=iteration,
        sample=number,
        text="".join(text for text, _ in TEXT),
        tokens=len(TEXT),
        seconds=0.05 * len(TEXT),
        complete=True,
    )


def token(
    number: int, iteration: int, index: int, text: str, probability: float, time: float
) -> ev.Token:
    rest = 1 - probability
    return ev.Token(
        time=time,
        iteration=iteration,
        sample=number,
        index=index,
        id=1000 + index,
        text=text,
        probability=probability,
        raw=probability * 0.8,
        rank=1 if probability > 0.5 else 3,
        candidates=(
            ev.Candidate(
                id=1000 + index, text=text, probability=probability, raw=probability * 0.8
            ),
            ev.Candidate(id=7, text=" thee", probability=rest * 0.5, raw=rest * 0.4),
            ev.Candidate(id=8, text=" sword", probability=rest * 0.3, raw=rest * 0.2),
        ),
    )


def beat(phase: ev.Phase, iteration: int, time: float, max_iters: int = 20) -> ev.Heartbeat:
    return ev.Heartbeat(
        time=time, phase=phase, iteration=iteration, max_iters=max_iters, memory=812_000_000
    )


def iteration(number: int, time: float, micro_steps: int = 4) -> Iterator[ev.Event]:
    """One second of work: the micro-steps, then the update."""
    value = 4.2 + 1.6 * 0.85**number + 0.15 * ((number * 7919) % 5 - 2) / 2
    for micro in range(1, micro_steps + 1):
        yield ev.Progress(
            time=time + micro / micro_steps * 0.9,
            iteration=number,
            micro_step=micro,
            micro_steps=micro_steps,
            loss=value + 0.05 * micro,
            tokens=8192 * number,
        )
    yield ev.Step(
        time=time + 1.0,
        iteration=number,
        loss=value,
        learning_rate=1e-3,
        grad_norm=0.9,
        seconds=1.0,
        tokens_per_second=8192.0,
        memory=812_000_000,
    )


def evaluation(number: int, time: float) -> Iterator[ev.Event]:
    """An evaluation, its sample and its saves: 2.5 seconds."""
    yield beat("evaluating", number, time)
    yield ev.Eval(
        time=time + 0.5,
        iteration=number,
        val_loss=4.3 + 1.5 * 0.85**number,
        tokens=40_000,
        seconds=0.5,
        best=True,
        standard_error=0.02,
    )
    yield beat("sampling", number, time + 0.5)
    yield from sample(number // 5, number, time + 0.6)
    for kind, seconds in (("best", 0.1), ("last", 0.2)):
        yield ev.Checkpoint(
            time=time + 2.2 + seconds,
            iteration=number,
            kind="best" if kind == "best" else "last",
            path="model" if kind == "best" else "state",
            bytes=55_000_000,
            seconds=seconds,
        )
    yield beat("training", number, time + 2.5)


def story(upto: int = 12, *, start: float = T0, head: ev.Run | None = None) -> Iterator[ev.Event]:
    """A run of 20 iterations up to `upto`, evaluated every 5."""
    yield head or header(time=start)
    yield beat("starting", 0, start)
    time = start + 1
    yield from evaluation(0, time)
    time += 2.5
    for number in range(1, upto + 1):
        yield from iteration(number, time)
        time += 1
        if number % 5 == 0:
            yield from evaluation(number, time)
            time += 2.5


def end(upto: int, time: float, status: ev.Status = "finished") -> ev.End:
    return ev.End(
        time=time,
        status=status,
        reason="all iterations done",
        iteration=upto,
        best_val_loss=4.41,
        wall_seconds=33.0,
    )


def write(run: Path, events: Iterator[ev.Event] | list[ev.Event]) -> Path:
    """Append records to the log of `run`; returns `run`."""
    run.mkdir(parents=True, exist_ok=True)
    with RunLog(run / LOG_NAME) as log:
        for event in events:
            log.write(event)
    return run
