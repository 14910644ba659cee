"""`shakegpt export --push`: a commit with model and card, to a hub on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, constants

from shakegpt.checkpoint.model_card import model_card
from shakegpt.cli.main import main
from shakegpt.format import loss
from shakegpt.runlog import history

REPOSITORY = "somebody/a-model"


class Hub(ThreadingHTTPServer):
    """The part of the hub's interface that a commit needs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.created: dict[str, Any] = {}
        self.blobs, self.files = dict[str, bytes](), dict[str, bytes]()
        self.status = 200


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        """Take the bytes of a large file."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.blobs[hashlib.sha256(data).hexdigest()] = data
        self._answer({})

    def do_POST(self) -> None:
        """Create a repository, say how files are sent, commit."""
        body, hub = self.rfile.read(int(self.headers["Content-Length"])), self.server
        if self.path == "/api/repos/create":
            hub.created = json.loads(body)
            self._answer({"url": f"{hub.address}/{REPOSITORY}"})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = ["lfs" if name.endswith(".safetensors") else "regular" for name in files]
            self._answer({"files": [
                {"path": name, "uploadMode": mode, "shouldIgnore": False}
                for name, mode in zip(files, modes, strict=True)
            ]})  # fmt: skip
        elif self.path.endswith("/objects/batch"):
            upload = {"upload": {"href": f"{hub.address}/put"}}
            objects = [{**each, "actions": upload} for each in json.loads(body)["objects"]]
            self._answer({"transfer": "basic", "objects": objects})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        else:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.blobs[value["oid"]]
            self._answer({"commitUrl": f"{hub.address}/{REPOSITORY}/commit/1", "commitOid": "1"})

    def _answer(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    server = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # large files by Git LFS instead
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_model_and_card_are_committed(
    hub: Hub, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tiny_run), "--push", REPOSITORY]) == 0
    assert f"{hub.address}/{REPOSITORY}" in capsys.readouterr().out
    assert hub.created["name"] == "a-model" and hub.created["organization"] == "somebody"
    assert "private" in json.dumps(hub.created)
    for path in (tiny_run / "model").iterdir():
        assert hub.files.pop(path.name) == path.read_bytes(), path
    assert [*hub.files] == ["README.md"]
    card, past = hub.files["README.md"].decode(), history.load_started(tiny_run)
    described: Any = ModelCard(card).data
    assert described.library_name == "transformers"
    assert past.run is not None and past.first_eval is not None and past.best_eval is not None
    for part in (past.run.dataset.sha256, loss(past.first_eval.val_loss),
                 loss(past.best_eval.val_loss), past.samples[-1].text):  # fmt: skip
        assert part in card
    assert main(["export", str(tiny_run), "--push", REPOSITORY, "--public"]) == 0
    assert hub.created.get("private") is False or hub.created.get("visibility") == "public"


@pytest.mark.parametrize(("status", "code", "words"), [(403, 2, "hf auth login"), (400, 1, "400")])
def test_a_refusal_is_a_sentence(
    status: int, code: int, words: str, hub: Hub, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.status = status
    assert main(["export", str(tiny_run), "--push", REPOSITORY]) == code
    assert words in capsys.readouterr().err


def test_out_of_reach_and_badly_named(
    hub: Hub, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a-model", "some body/model", "a/b/c"):
        assert main(["export", str(tiny_run), "--push", name]) == 2
    assert main(["export", str(tiny_run.parent), "--push", REPOSITORY]) == 2
    hub.shutdown()
    hub.server_close()
    assert main(["export", str(tiny_run), "--push", REPOSITORY]) == 1
    assert "out of reach" in capsys.readouterr().err


def test_a_sample_cannot_leave_its_place(tiny_run: Path) -> None:
    past = history.load_started(tiny_run)
    sample = past.samples[-1]
    sample.tokens = [*sample.tokens[:-1], sample.tokens[-1].__class__(
        **{f: getattr(sample.tokens[-1], f) for f in sample.tokens[-1].__struct_fields__}
        | {"text": "\n```\n# A heading\n````"}
    )]  # fmt: skip
    card = model_card(past, REPOSITORY)
    assert card.rstrip().endswith("`````") and "`````text" in card
