"""The hub and the network: bounded waits, one sentence, no second reading of a pipe."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from transformers import AutoTokenizer

from shakegpt.checkpoint import hub, resolve, unpickle
from shakegpt.checkpoint import io as checkpoint
from shakegpt.checkpoint.convert import convert
from shakegpt.checkpoint.io import POCKET
from shakegpt.checkpoint.provenance import provenance
from shakegpt.data import sources, timeouts, tinyshakespeare
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.session import finetune, resume
from tests.tiny import copy_vocabulary, play, random_model, tiny_config
from tests.torture import network


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
    with pytest.raises(ShakegptError, match=r"--init-from pocket"):
        hub.fetch("gpt2")
    assert time.monotonic() - began < 5


def test_a_text_that_never_comes_is_told(
    silent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tinyshakespeare, "URL", silent)
    monkeypatch.setenv("SHAKEGPT_CACHE", str(tmp_path))
    with pytest.raises(ShakegptError, match=r"0\.4 s"):
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


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[network.Hub]:
    """A hub with the pocket's vocabulary and a tiny model; the cache is empty."""
    model = copy_vocabulary(tmp_path / "served")
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 4, "block_size": 8}
    checkpoint.save(random_model(**shape, vocab_size=4096), model, Tokenizer(model))
    with network.hub(model) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        files = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def fetched(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.glob("cache/*/snapshots/*/*")}


def test_a_model_with_tokenizer_json_only_is_fetched(served: network.Hub, tmp_path: Path) -> None:
    whole = AutoTokenizer.from_pretrained(tmp_path / "served")
    whole.save_pretrained(tmp_path / "whole")
    for name in ("vocab.json", "merges.txt"):
        del served.files[name]
    for path in (tmp_path / "whole").iterdir():
        served.files[path.name] = path.read_bytes()
    folder = hub.fetch(network.NAME)
    assert Tokenizer(folder).encode("the king") == Tokenizer(POCKET).encode("the king")
    assert provenance(folder, Tokenizer(folder)).revision == network.COMMIT
    assert hub.in_cache(network.NAME) == folder


REFUSED = {
    "pytorch_model.bin": ("model.safetensors", "pytorch_model.bin", b"", "shakegpt convert"),
    "WordPiece": ("vocab.json", "tokenizer.json", b'{"model": {"type": "WordPiece"}}', "WordPiece"),
    "another model": ("config.json", "config.json", b'{"model_type": "llama"}', "'llama'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_weights_that_cannot_be_used_are_not_fetched(
    served: network.Hub, tmp_path: Path, name: str
) -> None:
    gone, added, content, words = REFUSED[name]
    del served.files[gone]
    served.files[added] = content
    with pytest.raises(ShakegptError) as refused:
        hub.fetch(network.NAME)
    assert words in str(refused.value)
    assert not {"model.safetensors", "pytorch_model.bin"} & fetched(tmp_path)


def test_a_pickle_on_the_hub_is_fetched_and_converted(served: network.Hub, tmp_path: Path) -> None:
    torch.save(load_file(tmp_path / "served/model.safetensors"), tmp_path / "pytorch_model.bin")
    del served.files["model.safetensors"]
    served.files["pytorch_model.bin"] = (tmp_path / "pytorch_model.bin").read_bytes()
    convert(network.NAME, tmp_path / "out", None, lambda files, out: unpickle.main(out, files))
    one, other = checkpoint.load(tmp_path / "out"), checkpoint.load(tmp_path / "served")
    assert torch.equal(one.wte.weight, other.wte.weight)


FAULTS = {
    "disk": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "No space left"),
    "fault in a library": (TypeError("oops"), 1, "TypeError"),
    "a proxy's page": (json.JSONDecodeError("Expecting value", "<html>", 0), 2, "out of reach"),
    "connection": (ConnectionResetError(104, "reset"), 2, "out of reach"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_download_raises_is_told_by_its_type(
    served: network.Hub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    error, code, words = FAULTS[name]

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    monkeypatch.setattr(hub, "in_cache", lambda _: None)
    with pytest.raises(ShakegptError) as refused:
        hub.fetch(network.NAME)
    assert words in str(refused.value) and refused.value.exit_code == code
    assert constants.HF_HUB_DOWNLOAD_TIMEOUT == constants.DEFAULT_DOWNLOAD_TIMEOUT


def test_an_empty_directory_called_gpt2_is_not_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    with pytest.raises(ShakegptError, match="not in the cache"):
        resolve.find("gpt2")
    assert resolve.absolute("gpt2") == "gpt2"
    copy_vocabulary(tmp_path / "gpt2")
    (tmp_path / "gpt2" / "config.json").touch()
    assert resolve.find("gpt2").folder == Path("gpt2")
    assert resolve.absolute("gpt2") == str(tmp_path / "gpt2")
