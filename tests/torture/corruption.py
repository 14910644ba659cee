"""Every file of a run cut short or with bits flipped: found, named, and the good state before used.

What a file is for decides what must happen: a state is passed over for the one before, a model or
its vocabulary is refused by name, a line of the log is named and the others are read.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shakegpt import files
from shakegpt.checkpoint import io as checkpoint
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.runlog import control, history
from shakegpt.runlog.log import LOG_NAME, read
from shakegpt.train import state
from tests.torture.lab import Lab, result, same
from tests.torture.tally import Tally


def corruption(lab: Lab, tally: Tally, cases: int, resumed: int, seed: int = 0) -> None:
    """`cases` spoiled files, each looked at by what reads it; `resumed` of runs gone on with."""
    draw, run, kinds = random.Random(seed), lab.folder / "spoiled", Counter[str]()
    shutil.copytree(lab.folder / "unhurt", run)
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    whole = {name: (run / name).read_bytes() for name in names}
    log = read(run / LOG_NAME)[0]
    for number in range(cases):
        name = names[number % len(names)]
        kind, data = damaged(whole[name], draw)
        kinds[kind] += 1
        with tally.case(f"{name}, {kind}, seed {seed}, case {number}"), spoiled(run / name, data):
            look(run, name, len(log))
    shutil.rmtree(run)
    for number in range(resumed):
        with tally.case(f"gone on with after damage, seed {seed}, case {number}"):
            _goes_on(lab, run, draw)
        shutil.rmtree(run, ignore_errors=True)
    tally.note(f"{len(names)} files; " + ", ".join(f"{k} {n}" for k, n in kinds.most_common()))


def damaged(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """`data` cut somewhere, cut near an end, emptied, lengthened, zeroed in a part, or flipped."""
    kind = draw.choice(("cut", "cut at its end", "emptied", "zeroed", "one bit", "some bits"))
    at, spoiled_data = draw.randrange(max(1, len(data))), bytearray(data)
    match kind:
        case "cut":
            return kind, data[:at]
        case "cut at its end":
            return kind, data[: -draw.randint(1, 9)]
        case "emptied":
            return kind, b""
        case "zeroed":
            length = min(draw.choice((1, 512, 4096)), len(data) - at)
            spoiled_data[at : at + length] = bytes(length)
        case "one bit" | "some bits":
            for _ in range(1 if kind == "one bit" else draw.randint(2, 40)):
                spoiled_data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return kind, bytes(spoiled_data)


@contextmanager
def spoiled(path: Path, data: bytes) -> Iterator[None]:
    """`path` with `data` in it, and with what it held afterwards."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


def look(run: Path, name: str, records: int) -> None:
    """Use the run as its readers do, with the file `name` spoiled."""
    folder, _, file = name.rpartition("/")
    if folder.startswith("state/"):
        found, complaints = state.newest_intact(run / "state")
        newest = folder.endswith(state.saved(run / "state")[0].name)
        unhurt = not complaints and newest and _still(run, name)
        if newest and not unhurt:
            assert found is not None and found.name != Path(folder).name, (found, complaints)
            assert len(complaints) == 1 and Path(folder).name in complaints[0], complaints
    elif folder == "model" and file == files.SUMS:
        assert _still(run, name) or file in _refusal(run / "model"), file
    elif folder == "model":
        refused = _refusal(run / "model")
        if not _still(run, name):
            assert file in refused, (file, refused)
    elif file == LOG_NAME:
        told, problems = read(run / LOG_NAME)
        history.load(run)
        # a flip may make a line feed of a byte, or join two lines; no more than it touched is lost
        assert len(told) <= records + 1 and all(p.message for p in problems)
    elif file == control.CONTROL_NAME:
        control.Inbox(run).poll()


def _still(run: Path, name: str) -> bool:
    """Whether the spoiled file still says what it did: a bit flipped twice, a line feed cut."""
    now, before = (run / name).read_bytes(), (run.parent / "unhurt" / name).read_bytes()
    if not name.endswith((files.SUMS, "manifest.json")):
        return now == before
    try:
        return bool(json.loads(now) == json.loads(before))
    except ValueError:
        return False


def _refusal(folder: Path) -> str:
    try:
        checkpoint.load(folder)
        Tokenizer(folder)
    except ShakegptError as error:
        return str(error)
    return ""


def _goes_on(lab: Lab, run: Path, draw: random.Random) -> None:
    """Spoil a file of the newest state of a run that was stopped; it must end as if unhurt."""
    shutil.copytree(lab.folder / "unhurt", run)
    newest = state.saved(run / "state")[0]
    log = (run / LOG_NAME).read_bytes().splitlines(keepends=True)
    (run / LOG_NAME).write_bytes(b"".join(log[:-1]))  # without its end: a run that was killed
    path = draw.choice(sorted(newest.iterdir()))
    path.write_bytes(damaged(path.read_bytes(), draw)[1])
    still = _still(run, str(path.relative_to(run)))
    ended = lab.begin(run)
    assert ended.code == 0, ended
    assert still or "skipped" in ended.out, ended.out
    same(result(run), lab.unhurt)
