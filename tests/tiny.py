"""Small things for the tests: a text that can be learned, checkpoints, a run's configuration.

PyTorch is imported only by what needs it: those who try commands by the thousand do not.
"""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shakegpt.checkpoint.resolve import POCKET
from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.runlog import schema
from shakegpt.runlog.control import Request, send
from shakegpt.runlog.schema import Command, Step

if TYPE_CHECKING:
    from torch import Tensor

    from shakegpt.model import GPT
    from shakegpt.train.optimizer import AdamW

_LINES = """the king and queen of love sweet night shall thou art my lord good sir come hither speak
again what light through window breaks it is east"""
WORDS = _LINES.split()
SPEAKERS = ("HAMLET", "JULIET", "OPHELIA", "ROMEO")


def play(speeches: int = 60, seed: int = 0) -> str:
    """A play of random words in its usual layout: its few words are quickly learned."""
    draw = random.Random(seed)

    def lines() -> str:
        return "\n".join(" ".join(draw.choices(WORDS, k=7)) for _ in range(3))

    return "\n".join(f"{draw.choice(SPEAKERS)}:\n{lines()}\n" for _ in range(speeches))


def tiny_config(text: Path, out: Path, **changes: Any) -> FinetuneConfig:
    """A run of a random model with 2 blocks that takes a second; no default of it may change."""
    usual = FinetuneConfig(
        init_from="scratch",
        dataset=(str(text),),
        out_dir=str(out),
        n_layer=2,
        n_head=2,
        n_embd=32,
        block_size=32,
        batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=1e-2,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        grad_clip=1.0,
        max_iters=6,
        eval_interval=3,
        max_new_tokens=8,
        device="cpu",
        dtype="float32",
        threads=1,
    )
    return replace(usual, **changes)


def as_flags(config: FinetuneConfig) -> list[str]:
    """The words that say `config` on the command line, where it differs from the default."""
    words: list[str] = ["--no-tui"]
    for name, usual in FinetuneConfig().__dict__.items():
        value = getattr(config, name)
        if value == usual:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{flag}", *(str(v) for v in values)]
    return words


def random_model(seed: int = 0, **shape: Any) -> GPT:
    """A model with random weights, large enough that its logits differ visibly."""
    import torch

    from shakegpt.model import GPT, GPTConfig

    with torch.device("meta"):
        model = GPT(GPTConfig(**shape))
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            p.normal_(1.0 if p.dim() == 1 and "ln" in name else 0.0, 0.15, generator=generator)
    return model


def adamw(named: Mapping[str, Tensor], config: FinetuneConfig) -> AdamW:
    """The optimizer that a run has for the parameters `named`."""
    from shakegpt.finetune import parameter_groups
    from shakegpt.train.optimizer import AdamW

    return AdamW(named, parameter_groups(named, config))


def copy_vocabulary(folder: Path) -> Path:
    """Put the pocket's vocabulary into `folder`; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(POCKET / name, folder / name)
    return folder


def kinds(records: list[schema.Event], kind: type[Any]) -> list[Any]:
    """Those records that are of one kind."""
    return [e for e in records if isinstance(e, kind)]


class Listener:
    """A log that calls `heard` with each record, and keeps them."""

    def __init__(self, heard: Callable[[schema.Event], None] = lambda event: None) -> None:
        self.heard, self.records = heard, list[schema.Event]()

    def write(self, event: schema.Event) -> None:
        self.records.append(event)
        self.heard(event)


def commanded(
    text: Path, folder: Path, *requests: tuple[int, Request], **changes: Any
) -> tuple[list[schema.Event], BaseException | None]:
    """The records of a run that is told each request when it has made that many updates.

    The listener waits until the trainer's ears have heard it, so that its place is certain.
    """
    from shakegpt.session import finetune

    run, heard = folder / "run", threading.Event()
    waiting = dict((k, [r for at, r in requests if at == k]) for k, _ in requests)

    def listen(event: schema.Event) -> None:
        if isinstance(event, Command):
            heard.set()
        if isinstance(event, Step):
            for request in waiting.pop(event.iteration, []):
                heard.clear()
                send(run, request)
                assert heard.wait(10), f"{request} was not heard"

    log = Listener(listen)
    try:
        finetune(tiny_config(text, run, **changes), log)
    except (Stopped, ShakegptError) as error:
        return log.records, error
    return log.records, None
