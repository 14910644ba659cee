"""A hub that is out of reach, silent, slow, cut off, lying: a real server on this machine.

After each fault: a sentence within seconds, nothing half-written in the cache, and the next try,
from a hub that is well, goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.torture.lab import Ended, Lab
from tests.torture.tally import Tally

NAME = "somebody/gpt2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = b"<html><body><h1>Proxy Error</h1>Please log in.</body></html>"
SOON = 20.0
"""Seconds within which a fault is told; the client alone would retry for half a minute."""
HALF_WAY = 90.0
"""The same for a hub that falls silent in the middle of a file: six tries to go on, 10 s each."""
FAULTS = (
    *("out of reach", "no such host", "silent", "proxy page", "proxy page, 200", "no", "locked"),
    *("broken", "busy", "cut half way", "wrong bytes", "slow", "wrong length", "silent half way"),
)


def network(lab: Lab, tally: Tally) -> None:
    """Each fault, and then a hub that is well."""
    folder = lab.folder / "unhurt" / "model"
    with hub(folder) as server:
        for fault in FAULTS:
            with tally.case(fault):
                _faulty_then_well(lab, server, fault)


def _faulty_then_well(lab: Lab, server: Hub, fault: str) -> None:
    cache = lab.folder / "hub-cache"
    shutil.rmtree(cache, ignore_errors=True)
    try:
        server.fault = fault
        ended = _sample(lab, cache, _address(server, fault))
        if fault == "slow":
            assert ended.code == 0, ended
        else:
            assert ended.code == 2 and "Traceback" not in ended.err, ended
            assert ended.err.strip().splitlines()[-1].startswith("shakegpt: "), ended.err
            assert ended.seconds < (HALF_WAY if fault == "silent half way" else SOON), ended.seconds
            _nothing_half(cache, server)
        server.fault = ""
        again = _sample(lab, cache, server.address)
        assert again.code == 0, again
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _sample(lab: Lab, cache: Path, address: str) -> Ended:
    env = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_CACHE": str(cache)}
    env |= {"HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
    env |= {name: "" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    return lab(["sample", NAME, "--max-new-tokens", "2", "--threads", "1"], env=env)


def _address(server: Hub, fault: str) -> str:
    if fault == "no such host":
        return "http://no-such-host.invalid"
    if fault == "out of reach":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{free.getsockname()[1]}"
    return server.address


def _nothing_half(cache: Path, server: Hub) -> None:
    """Every file that a snapshot names is whole."""
    for path in cache.rglob("snapshots/*/*"):
        assert path.read_bytes() == server.files[path.name], path


class Hub(ThreadingHTTPServer):
    """The part of the hub's interface that fetching a model needs, with a fault to show."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        names = ("config.json", "vocab.json", "merges.txt", "model.safetensors")
        self.files = {name: (folder / name).read_bytes() for name in names}
        self.fault = ""

    @property
    def address(self) -> str:
        """Its address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    """A hub that has the checkpoint in `folder`."""
    server = Hub(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def _etag(name: str, data: bytes) -> str:
    """The sum by which the hub names a file: sha256 of a large one, git's of a small one."""
    if name.endswith(".safetensors"):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _entry(name: str, data: bytes) -> dict[str, object]:
    """A file as the hub lists it."""
    entry = {"type": "file", "path": name, "size": len(data), "oid": _etag(name, data)}
    if name.endswith(".safetensors"):
        return entry | {"lfs": {"oid": _etag(name, data), "size": len(data), "pointerSize": 134}}
    return entry


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Answer."""
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        status = {"proxy page": 502, "no": 404, "locked": 401, "broken": 500, "busy": 429}
        fault = self.server.fault
        if fault == "silent":
            time.sleep(60)
        elif fault in status or fault == "proxy page, 200":
            self._send(status.get(fault, 200), PAGE, {"Content-Type": "text/html"}, body)
        elif self.path.startswith("/api/models/"):
            self._tell_files(body)
        else:
            self._send_file(self.path.rpartition("/")[2], body)

    def _tell_files(self, body: bool) -> None:
        files = self.server.files
        told: object = [_entry(name, data) for name, data in files.items()]
        if "/tree/" not in self.path:
            siblings = [{"rfilename": name} for name in files]
            told = {"_id": "1", "id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": siblings}
        kind = {"Content-Type": "application/json"}
        self._send(200, json.dumps(told).encode(), kind, body)

    def _send_file(self, name: str, body: bool) -> None:
        data = self.server.files.get(name)
        if data is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        large = name.endswith(".safetensors")
        etag = _etag(name, data)
        head = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "none"}
        if self.server.fault == "wrong length" and large:
            head |= {"X-Linked-Size": str(len(data) + 1000), "X-Linked-ETag": f'"{etag}"'}
        return self._send(200, data, head, body, large)

    def _send(
        self, status: int, data: bytes, head: dict[str, str], body: bool, large: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            if body:
                self._send_body(data, large)

    def _send_body(self, data: bytes, large: bool) -> None:
        fault = self.server.fault if large else ""
        if fault == "cut half way":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "silent half way":
            self.wfile.write(data[: len(data) // 2])
            time.sleep(60)
        elif fault == "wrong bytes":
            self.wfile.write(data[:-4] + b"oops")
        elif fault == "slow":
            for start in range(0, len(data), 4096):
                self.wfile.write(data[start : start + 4096])
                time.sleep(0.1)
        else:
            self.wfile.write(data)
