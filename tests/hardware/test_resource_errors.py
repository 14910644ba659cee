"""Exhausted memory and full disks are explained; every other error is left as it is."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from shakegpt.errors import ShakegptError
from shakegpt.hardware.resource_errors import explain, resource_errors

RUN = Path("runs/one").absolute()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    ],
)
def test_exhausted_memory(error: Exception) -> None:
    explained = explain(error)
    assert isinstance(explained, ShakegptError) and explained.exit_code == 1
    assert "--batch-size" in str(explained)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/elsewhere/play.txt"),
        PermissionError(errno.EACCES, "Permission denied", "/elsewhere/merges.txt"),
        OSError(errno.ENOENT, "No such file or directory"),
        ShakegptError("known"),
        ValueError("a bug"),
    ],
)
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    assert explain(error, RUN) is error
    with pytest.raises(type(error)) as raised, resource_errors(RUN):
        raise error
    assert raised.value is error and error.__cause__ is None


@pytest.mark.parametrize("name", [None, str(RUN / "state" / "x"), "runs/one/log.jsonl"])
def test_errors_of_the_runs_disk(name: str | None) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", name)
    full = pytest.raises(ShakegptError, match=r"disk is full.*--resume")
    with full as raised, resource_errors(RUN):
        raise error
    assert raised.value.exit_code == 1 and raised.value.__cause__ is error
    assert explain(error) is error, "no run yet: nothing to resume"
