"""Checkpoints and commands that mean harm: refused in a sentence, before memory is taken."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shakegpt.checkpoint.io import WEIGHTS
from shakegpt.files import LARGEST_TEXT, SUMS
from shakegpt.runlog import control
from shakegpt.runlog.history import load
from tests.torture.lab import Lab
from tests.torture.tally import Tally

MOST_MEMORY = 700 << 20
"""Resident bytes that a refusal may take: a process with torch imported and no more."""


class Evil:
    """A pickle that runs a command when it is opened."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


def hostile(lab: Lab, tally: Tally) -> None:
    """Every bad checkpoint under every verb that opens one; then the control channel."""
    good, bad = lab.folder / "unhurt" / "model", lab.folder / "bad"
    for name, spoil in CHECKPOINTS.items():
        for verb in ("sample", "evaluate", "finetune"):
            with tally.case(f"{name}, {verb}"):
                shutil.copytree(good, bad, symlinks=True)
                (bad / SUMS).unlink()
                spoil(bad)
                _refused(lab, verb, bad)
            shutil.rmtree(bad, ignore_errors=True)
    for name, words in SIZES.items():
        with tally.case(name):
            _says_no(lab, ["finetune", "--no-tui", "--init-from", "scratch", *words.split()])
    for name, text in COMMANDS.items():
        with tally.case(f"command: {name}"):
            _ignored(lab, text)


def _refused(lab: Lab, verb: str, folder: Path) -> None:
    words = {
        "sample": ["sample", str(folder)],
        "evaluate": ["evaluate", str(folder), "--dataset", str(lab.text)],
        "finetune": ["finetune", "--no-tui", f"--init-from={folder}", f"--dataset={lab.text}"],
    }[verb]
    _says_no(lab, words)
    assert not (lab.folder / "proof").exists(), "it ran what was in a pickle"


def _says_no(lab: Lab, words: list[str]) -> None:
    peak = [0]
    began = time.monotonic()
    ended = lab(words, lambda pid: threading.Thread(target=_watch, args=(pid, peak)).start())
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err and len(ended.err.strip().splitlines()) == 1, ended.err
    assert peak[0] < MOST_MEMORY, f"{peak[0] >> 20} MiB"
    assert time.monotonic() - began < 60


def _watch(pid: int, peak: list[int]) -> None:
    """See how much memory the process takes until it is gone."""
    page = os.sysconf("SC_PAGESIZE")
    while Path(f"/proc/{pid}").exists():
        try:
            fields = Path(f"/proc/{pid}/statm").read_text().split()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        peak[0] = max(peak[0], int(fields[1]) * page)
        time.sleep(0.005)


def _config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with open(folder / "pytorch_model.bin", "wb") as file:
        pickle.dump(Evil(folder.parent / "proof"), file)


def _pickle_inside(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps(Evil(folder.parent / "proof")))


def _link(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        shutil.move(folder / name, folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return spoil


def _shards(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        shutil.move(folder / WEIGHTS, folder.parent / WEIGHTS)
        where = {f"weight{n}": name for n, name in enumerate(names)}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": where}))

    return spoil


def _header(length: int, text: bytes = b"{}") -> Callable[[Path], None]:
    """Weights whose header says that it is `length` bytes long; a hole in the file makes it so."""

    def spoil(folder: Path) -> None:
        with open(folder / WEIGHTS, "wb") as file:
            file.write(struct.pack("<Q", length) + text)
            file.truncate(min(8 + length, 3 << 30))

    return spoil


def _tensor(**what: object) -> Callable[[Path], None]:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | what
    text = json.dumps({"wte.weight": entry}).encode()

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))

    return spoil


def _large(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        with open(folder / name, "r+b") as file:
            file.truncate(LARGEST_TEXT * 40)  # a hole: none of it is on disk

    return spoil


def _vocab(change: Callable[[dict[str, int]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "vocab.json"
        vocab: dict[str, int] = json.loads(path.read_text("utf-8"))
        change(vocab)
        path.write_text(json.dumps(vocab), "utf-8")

    return spoil


def _twice(folder: Path) -> None:
    path = folder / "vocab.json"
    text = path.read_text("utf-8")
    first = json.dumps(next(iter(json.loads(text))))
    path.write_text("{" + first + ": 0, " + text.lstrip("{"), "utf-8")


def _fifo(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    "a pickle beside": _pickle,
    "a pickle under another name": _pickle_inside,
    "weights that are a link out": _link(WEIGHTS),
    "a vocabulary that is a link out": _link("vocab.json"),
    "a configuration that is a link out": _link("config.json"),
    "a shard above": _shards(f"../{WEIGHTS}"),
    "a shard by its full path": _shards("/etc/passwd"),
    "a shard behind ..": _shards(f"x/../../{WEIGHTS}"),
    "a shard that is the directory": _shards("."),
    "a header of gigabytes": _header(5 << 30),
    "a header of all there is": _header((1 << 64) - 1),
    "a header of 99 MB of nothing": _header(99_000_000),
    "offsets beyond the file": _tensor(data_offsets=[0, 1 << 62]),
    "offsets that overlap themselves": _tensor(data_offsets=[16, 0]),
    "a shape whose product overflows": _tensor(shape=[1 << 40, 1 << 40]),
    "a shape below zero": _tensor(shape=[-1, 4]),
    "an unknown type": _tensor(dtype="OBJECT"),
    "a width of a hundred thousand": lambda f: _config(f, n_embd=99_998, n_head=2),
    "a thousand blocks": lambda f: _config(f, n_layer=1000),
    "ten million blocks": lambda f: _config(f, n_layer=10_000_000),
    "a vocabulary of a billion": lambda f: _config(f, vocab_size=1_000_000_000),
    "a window of a billion": lambda f: _config(f, n_positions=1_000_000_000),
    "a width that is no number": lambda f: _config(f, n_embd=float("nan")),
    "a configuration of gigabytes": _large("config.json"),
    "a vocabulary of gigabytes": _large("vocab.json"),
    "merges of gigabytes": _large("merges.txt"),
    "a configuration that is a pipe": _fifo,
    "a vocabulary with a gap": _vocab(lambda v: v.pop(next(iter(v)))),
    "a vocabulary with an id twice": _vocab(lambda v: v.update({next(iter(v)): 1})),
    "a vocabulary with a token twice": _twice,
    "a vocabulary with an id below zero": _vocab(lambda v: v.update({next(iter(v)): -1})),
    "a vocabulary with an id of text": _vocab(lambda v: v.update({next(iter(v)): "0"})),  # type: ignore[dict-item]
    "a vocabulary larger than the model": _vocab(lambda v: v.update({"zz": len(v)})),
}

SIZES = {
    "a model of a quadrillion parameters": "--n-layer 1000 --n-embd 100000 --n-head 1000",
    "a model larger than any memory": "--n-layer 100 --n-embd 20000 --n-head 10",
    "a window of a billion tokens": "--block-size 1000000000",
}

COMMANDS = {
    "an unknown verb": '{"verb":"exec","prompt":"touch proof"}',
    "a shell in the prompt of a save": '{"verb":"save","prompt":"$(touch proof); `touch proof`"}',
    "a path as id": '{"verb":"evaluate","id":"../../../../etc/passwd"}',
    "an escape as id": '{"verb":"evaluate","id":"\\u001b]52;c;x\\u0007"}',
    "a limit below zero": '{"verb":"max_iters","max_iters":-1}',
    "a limit beyond all": '{"verb":"max_iters","max_iters":99999999999999999999999}',
    "a sample without end": '{"verb":"sample","max_new_tokens":999999999999}',
    "a temperature below zero": '{"verb":"sample","temperature":-1e308}',
    "numbers as text": '{"verb":"sample","top_k":"; rm -rf /"}',
    "megabytes": '{"verb":"sample","prompt":"' + "x" * (2 << 20) + '"}',
    "zeros": "\\0" * 99,
    "depth": "[" * 100_000,
}


def _ignored(lab: Lab, text: str) -> None:
    """A trainer that is told this ends as one that was told nothing, and did nothing else."""
    run = lab.folder / "told"
    try:
        ended = lab.begin(run, lambda _: _tell(run, text), max_new_tokens=6)
        assert ended.code == 0, ended
        assert not (lab.folder / "proof").exists()
        told = load(run)[0]
        assert sorted(told.steps) == list(range(1, 7)), sorted(told.steps)
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _tell(run: Path, text: str) -> None:
    limit = time.monotonic() + 30
    while not load(run)[0].evals and time.monotonic() < limit:
        time.sleep(0.002)
    fd = os.open(run / control.CONTROL_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, text.encode() + b"\n")
    os.close(fd)
