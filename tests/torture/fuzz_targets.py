"""What the fuzzer feeds: bytes in, and whatever is raised besides a sentence is a find."""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shakegpt.checkpoint import io as checkpoint
from shakegpt.config import FinetuneConfig
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.runlog import control, history, log, runs
from shakegpt.runlog.status import run_state
from shakegpt.train.commands import settings

Target = Callable[[bytes], None]

PARTS = ("config.json", "vocab.json", "merges.txt", "model.safetensors")


def log_reader(folder: Path) -> Target:
    """All of a log's readers: at once, in portions, folded, and in the list of runs."""
    path = folder / log.LOG_NAME

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        try:
            records, problems = log.read(path)
        except ShakegptError as error:
            assert "upgrade shakegpt" in str(error)
            return
        assert len(records) + len(problems) == data.count(b"\n")
        follower = log.Follower(path)
        pieces = [follower.poll(1 + len(data) // 3) for _ in range(4)]
        assert [type(r) for piece in pieces for r in piece] == [type(r) for r in records]
        told, now = history.load(folder)[0], time.time()
        assert told.iteration <= max([0, *told.steps, *told.evals])
        runs.summarize(folder)
        history.losses(folder)
        for loss in (e.val_loss for e in told.evals.values()):
            assert loss is None or math.isfinite(loss)
        run_state(told, now)

    return feed


def checkpoint_reader(folder: Path) -> Target:
    """A directory from elsewhere, one file of it spoiled: loads, or is refused in a sentence."""
    good = dict(zip(PARTS, small_checkpoint(), strict=True))

    def feed(data: bytes) -> None:
        spoiled = PARTS[data[0] % len(PARTS)] if data else ""
        for name, content in good.items():
            (folder / name).write_bytes(data[1:] if name == spoiled else content)
        try:
            checkpoint.load(folder)
            tokenizer = Tokenizer(folder)
            tokenizer.decode(tokenizer.encode("a b"))
        except ShakegptError as error:
            assert "\n" not in str(error), error

    return feed


def control_channel(folder: Path) -> Target:
    """Commands as they come in pieces; the settings that they ask for."""
    path, config = folder / control.CONTROL_NAME, FinetuneConfig()

    def feed(data: bytes) -> None:
        path.unlink(missing_ok=True)
        inbox = control.Inbox(folder)
        path.touch(0o600)
        heard: list[control.Request] = []
        with open(path, "ab", buffering=0) as file:
            for start in range(0, len(data), 1 + len(data) // 3):
                file.write(data[start : start + 1 + len(data) // 3])
                heard += inbox.poll()
        assert len(heard) <= data.count(b"\n")
        for request in heard:
            try:
                settings(config, request)
            except ShakegptError:
                continue

    return feed


TARGETS: dict[str, Callable[[Path], Target]] = {
    "log": log_reader,
    "checkpoint": checkpoint_reader,
    "control": control_channel,
}


def log_seeds() -> list[bytes]:
    """The recorded run, its kinds of records one by one."""
    from shakegpt.runlog.default_run import recorded

    lines = (recorded() / log.LOG_NAME).read_bytes().splitlines(keepends=True)
    kinds = {line[:18]: line for line in lines}
    return [*kinds.values(), b"".join(kinds.values()), b"".join(lines[:40])]


def checkpoint_seeds() -> list[bytes]:
    """Each file of a good checkpoint, behind the byte that says which one it is."""
    return [bytes([number]) + part for number, part in enumerate(small_checkpoint())]


def small_checkpoint() -> list[bytes]:
    """The files `PARTS` of a GPT-2 of one block and width 2."""
    import torch

    from shakegpt.data.make_vocabulary import write_char_vocabulary
    from shakegpt.model import GPT, GPTConfig

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_char_vocabulary(["ab "], folder)
        tokenizer = Tokenizer(folder)
        shape = GPTConfig(n_layer=1, n_head=1, n_embd=2, block_size=2, vocab_size=tokenizer.n_vocab)
        model = GPT(shape)
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        checkpoint.save(model, folder / "model", tokenizer)
        return [(folder / "model" / name).read_bytes() for name in PARTS]


def control_seeds() -> list[bytes]:
    """One command of each verb, with all that a command may carry."""
    whole = {"max_new_tokens": 3, "temperature": 0.5, "top_k": 2, "top_p": 0.5, "seed": 1}
    verbs = ("pause", "resume", "sample", "evaluate", "save", "max_iters", "stop")
    lines = [{"verb": v, "id": "x", "time": 1.0, "prompt": "é", "max_iters": 9} for v in verbs]
    return [json.dumps(line | whole).encode() + b"\n" for line in lines]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "log": log_seeds,
    "checkpoint": checkpoint_seeds,
    "control": control_seeds,
}


def words(name: str) -> list[bytes]:
    """What a mutation may put in whole: the words of the seeds, and values at the edges."""
    seeds = b"".join(SEEDS[name]())
    edges = b"null true [] {} -1 1e308 1e400 9223372036854775808 NaN".split()
    return sorted(set(re.findall(rb'"[A-Za-z_.0-9]{2,24}"|F32', seeds))) + edges
