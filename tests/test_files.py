"""What lies in a checkpoint directory: whole, its own, and as its sums say, or refused by name."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.io import POCKET, WEIGHTS
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import (
    ABANDONED_AFTER,
    LARGEST_TEXT,
    SUMS,
    seal,
    sums_of,
    verified_path,
    write_atomically,
)
from tests.tiny import copy_vocabulary, random_model

SHAPE = {"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 8}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as a run writes it, twice, so that weights have been replaced."""
    tokenizer = Tokenizer(POCKET)
    for seed in (0, 1):
        model = random_model(seed, **SHAPE, vocab_size=tokenizer.n_vocab)
        checkpoint.save(model, tmp_path / "model", tokenizer)
    return tmp_path / "model"


def use(folder: Path) -> None:
    """Read every file of it that shakegpt reads."""
    checkpoint.load(folder)
    Tokenizer(folder)


USED = ("config.json", "vocab.json", "merges.txt", WEIGHTS)


@pytest.mark.parametrize("name", USED)
def test_a_flipped_bit_is_found_and_named(folder: Path, name: str) -> None:
    use(folder)
    data = bytearray((folder / name).read_bytes())
    data[-3] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ShakegptError, match=f"{folder / name}.*{SUMS}"):
        use(folder)
    (folder / SUMS).unlink()
    if name == WEIGHTS:
        use(folder)  # who deletes the sums does without them


def test_a_kill_before_the_weights_are_renamed_leaves_a_model(folder: Path) -> None:
    old = sums_of(folder, WEIGHTS)
    seal(folder, {WEIGHTS: [*old, "0" * 64]})
    use(folder)
    model = random_model(2, **SHAPE, vocab_size=Tokenizer(POCKET).n_vocab)
    checkpoint.save(model, folder, Tokenizer(POCKET))
    use(folder)
    assert len(sums_of(folder, WEIGHTS)) == 2


def test_a_kill_leaves_no_litter_for_ever(folder: Path) -> None:
    (folder / f".{WEIGHTS}.part").write_bytes(b"half")
    checkpoint.save(checkpoint.load(folder), folder, Tokenizer(folder))
    assert not list(folder.glob(".*"))


def test_every_flipped_bit_of_the_sums_is_found(folder: Path) -> None:
    data = (folder / SUMS).read_bytes()
    for at in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        (folder / SUMS).write_bytes(flipped)
        with pytest.raises(ShakegptError, match=SUMS):
            verified_path(folder, "config.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"sha256": {"config.json": 5}}', "\0"])
def test_sums_that_are_none_are_named(folder: Path, text: str) -> None:
    (folder / SUMS).write_text(text)
    with pytest.raises(ShakegptError, match=str(folder / SUMS)):
        use(folder)


@pytest.mark.parametrize("name", USED)
def test_a_link_out_of_the_directory_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.move(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ShakegptError, match=str(folder / name)):
        use(folder)


def test_links_within_a_directory_and_into_the_hubs_cache_are_followed(
    folder: Path, tmp_path: Path
) -> None:
    (folder / WEIGHTS).rename(folder / "real.safetensors")
    (folder / WEIGHTS).symlink_to("real.safetensors")
    use(folder)
    snapshot, blobs = tmp_path / "models--x/snapshots/abc", tmp_path / "models--x/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name in USED:
        shutil.copyfile(folder / name, blobs / name)
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    use(snapshot)


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "merges.txt"])
def test_a_file_of_absurd_size_is_not_read(folder: Path, name: str) -> None:
    (folder / SUMS).unlink()
    with open(folder / name, "r+b") as file:
        file.truncate(LARGEST_TEXT + 1)  # a hole: no byte of it is on disk
    with pytest.raises(ShakegptError, match=f"{LARGEST_TEXT + 1:,}"):
        use(folder)


def test_a_token_that_stands_twice_is_refused(tmp_path: Path) -> None:
    folder = copy_vocabulary(tmp_path)
    vocab = (folder / "vocab.json").read_text("utf-8")
    first = next(iter(json.loads(vocab)))
    (folder / "vocab.json").write_text("{" + json.dumps(first) + ":0," + vocab.lstrip("{"), "utf-8")
    with pytest.raises(ShakegptError, match="vocab"):
        Tokenizer(folder)


@pytest.mark.parametrize("name", USED)
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ShakegptError, match=str(folder / name)):
        use(folder)


def test_a_missing_file_is_returned_unchecked(tmp_path: Path) -> None:
    assert verified_path(tmp_path, "config.json") == tmp_path / "config.json"


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    theirs, file = tmp_path / "theirs", tmp_path / "file"
    theirs.write_text("theirs")
    file.symlink_to(theirs)
    write_atomically(file, b"one")
    assert file.read_bytes() == b"one" and theirs.read_text() == "theirs", "no link is followed"

    def torn(part: BinaryIO) -> None:
        part.write(b"half")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        write_atomically(file, torn)
    assert file.read_bytes() == b"one" and sorted(tmp_path.iterdir()) == [file, theirs]


def test_a_rename_is_on_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the call must not bring the old file back."""
    flushed: list[tuple[bool, bool]] = []

    def fsync(fd: int) -> None:
        flushed.append((stat.S_ISDIR(os.fstat(fd).st_mode), (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "file", b"one")
    assert flushed == [(False, False), (True, True)]


def test_what_a_killed_process_left_is_deleted_and_a_living_ones_file_is_not(
    tmp_path: Path,
) -> None:
    left, living = tmp_path / ".file.0a1b2c3d.part", tmp_path / ".file.4e5f6a7b.part"
    for part, age in ((left, 2 * ABANDONED_AFTER), (living, 0.0)):
        part.write_bytes(b"half")
        os.utime(part, (time.time() - age,) * 2)
    write_atomically(tmp_path / "file", b"one")
    assert sorted(path.name for path in tmp_path.iterdir()) == [living.name, "file"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_are_as_private_as_their_owner_wants(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        tokenizer = Tokenizer(POCKET)
        model = random_model(0, **SHAPE, vocab_size=tokenizer.n_vocab)
        checkpoint.save(model, tmp_path / "model", tokenizer)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == {0o666 & ~mask}


def test_a_device_or_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"metrics")
    assert os.read(reader, 20) == b"metrics"
    os.close(reader)
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]
