"""The hub and the network: bounded waits, one sentence, no second reading of a pipe."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from shakegpt import timeouts
from shakegpt.checkpoint import hub
from shakegpt.data import sources, tinyshakespeare
from shakegpt.errors import ShakegptError
from shakegpt.session import finetune, resume
from tests.tiny import play, tiny_config


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that takes every connection and never says a word."""
    monkeypatch.setattr(timeouts, "NETWORK_TIMEOUT", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_hub_that_never_answers_is_out_of_reach(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    began = time.monotonic()
    with pytest.raises(ShakegptError, match=r"out of reach \(.+\): use --init-from pocket"):
        hub.fetch("gpt2")
    assert time.monotonic() - began < 5


def test_a_text_that_never_comes_is_told(
    silent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tinyshakespeare, "URL", silent)
    monkeypatch.setenv("SHAKEGPT_CACHE", str(tmp_path))
    with pytest.raises(ShakegptError, match=r"cannot be fetched \(no answer within 0\.4 s\)"):
        sources.require(["tinyshakespeare"])


def test_an_answer_or_an_error_comes_through() -> None:
    assert timeouts.call_with_timeout(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        timeouts.call_with_timeout(lambda: 1 // 0)


def test_a_pipe_is_read_once_and_kept_for_a_resume(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sources.require([str(pipe), "-"])  # would wait for ever if it read
    writer = threading.Thread(target=pipe.write_text, args=(play(),))
    writer.start()
    config = tiny_config(pipe, tmp_path / "run", max_iters=1, max_new_tokens=0)
    run = finetune(config)
    writer.join()
    assert (run / "text.txt").read_text("utf-8") == play()
    assert resume(run, max_iters=2) == run


def test_what_is_a_pipe_and_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    told = [sources.is_pipe(str(tmp_path / name)) for name in ("file", "pipe", ".", "gone")]
    assert told == [False, True, False, False] and sources.is_pipe("-")
    assert not sources.is_pipe("x" * 5000)
