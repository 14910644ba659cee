"""What the deck's tests share: node modules, a build of the deck, servers, a browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shakegpt_figures import data
from tests.deck.ahead import BUILD
from tests.deck.build import ROOT, Build, tools
from tests.deck.chromium import Chromium, executable
from tests.deck.made import Made

SLIDES = ROOT / "slides"
FIGURES = ("architecture", "training", "generation", "inside")


def stand_in(log: Path, width: int = 1920) -> str:
    """A figure of a log, as far as the deck looks into it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 1080"><metadata>'
        f"<!-- <dc:identifier>sha256:{data.sha256(log)}</dc:identifier> --></metadata>"
        f'<rect width="1920" height="1080" fill="#1a1a2e"/></svg>'
    )


def need(what: str, there: bool) -> None:
    """Skip where a tool is absent; never in CI, where its absence is a failure."""
    if there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is absent, and CI must test the deck")
    pytest.skip(f"the deck was not tested: {what} is absent")


@pytest.fixture(scope="session")
def build(request: pytest.FixtureRequest) -> Build:
    """The deck being built since the session began."""
    need("Node (node and npm)", tools())
    return request.config.stash[BUILD]


@pytest.fixture(scope="session")
def modules(build: Build) -> Path:
    """slides/node_modules as the lock file has it."""
    return build.modules()


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """A Chromium with one page."""
    need("Chromium", executable() is not None)
    with Chromium() as page:
        yield page


@pytest.fixture(scope="session")
def built(build: Build) -> Path:
    """The deck as it stands in the repository, built."""
    return build.built()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def site(built: Path) -> Iterator[str]:
    """The built deck, served as plain files under a sub-path; its address."""
    serve = partial(_Quiet, directory=built.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{built.name}"
        server.shutdown()
        thread.join()


def copy_deck(modules: Path, where: Path, run: Made) -> Path:
    """A deck of its own beside the package's sources, with the data of this run."""
    deck = where / "slides"
    shutil.copytree(SLIDES, deck, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (deck / "node_modules").symlink_to(modules)
    (where / "shakegpt").symlink_to(ROOT / "shakegpt")
    config = deck / "vite.config.ts"  # Vite serves only what lies under the deck, unless told
    more = f"server: {{ fs: {{ allow: ['{ROOT}', '{deck}'] }} }}, cacheDir: '{where}/vite',"
    begin = "defineConfig({ "
    config.write_text(config.read_text("utf-8").replace(begin, begin + more))
    run.write_numbers(deck / "data" / "run.json")
    for name in FIGURES:
        (deck / "public" / f"{name}.svg").write_text(stand_in(run.log))
    return deck


@contextmanager
def presenting(deck: Path) -> Iterator[str]:
    """`npm run dev` in a deck; its address."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (deck / "dev.log").open("w") as log:
        server = subprocess.Popen(
            ["npm", "run", "dev", "--", "--port", str(port)],
            cwd=deck,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "CI": "true"},  # else Vite leaves when there is no terminal
            start_new_session=True,
        )
    try:
        base = f"http://localhost:{port}"
        _wait_for(base, server, deck / "dev.log")
        yield base
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _wait_for(base: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(base, timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(f"the dev server did not start: {log.read_text()[-2000:]}")
