"""The UI in a browser: a real server, a real Chromium; who may connect, and what a page may do."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import websocket

from shakegpt.runlog.control import CONTROL_NAME
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.screens.home import HomeScreen
from shakegpt_tui.screens.run import RunScreen
from shakegpt_tui.screens.run_list import RunList
from shakegpt_tui.terminal import capabilities
from tests.deck.chromium import Chromium, executable
from tests.tui import logs
from tests.tui.screens import LARGE, Driver, live, play, text, until
from tests.tui.terminals import environment

pytest.importorskip("textual_serve")
from shakegpt_tui.commands.web_server import is_loopback

LISTEN = """
window.shown = ""; const decoder = new TextDecoder(); const Plain = WebSocket;
window.WebSocket = class extends Plain { constructor(...a) { super(...a);
  this.addEventListener("message", async e => { if (typeof e.data !== "string")
    shown += decoder.decode(e.data instanceof Blob ? await e.data.arrayBuffer() : e.data); }); } };
"""
"""In the page: collect what the app writes to its terminal."""


@contextmanager
def served(tmp_path: Path, *arguments: str) -> Iterator[int]:
    """A server in a process of its own; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "shakegpt_tui.main", "serve", *arguments, "--port", str(port)]
    process = subprocess.Popen(
        command, env=environment(tmp_path), cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        _, problems = process.communicate(timeout=20)
        assert (process.returncode, problems) == (0, "")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.skipif(executable() is None, reason="needs Chromium")
def test_a_browser_shows_a_run_and_can_change_nothing(tmp_path: Path) -> None:
    run = live(tmp_path / "runs")
    before = tree(run)
    with served(tmp_path, str(run)) as port, Chromium(1280, 720) as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        page.open(f"http://127.0.0.1:{port}/")
        page.wait("shown.includes('TRAINING') || shown.includes('CRASHED')", 30)
        page.wait("shown.includes('yonder')", 30)
        page.wait("document.activeElement.matches('.xterm-helper-textarea')", 30)
        for key in "sxevwrYf":
            page.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
            page.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        page.wait("shown.includes('█')", 30)
        picture = tmp_path / "page.png"
        page.picture(picture)
        assert picture.stat().st_size > 5000
        assert all(f"127.0.0.1:{port}/" in request for request in page.seen.requests)
        assert not [error for error in page.seen.failures if "favicon" not in error]
    assert tree(run) == before


def test_only_own_pages_connect(tmp_path: Path) -> None:
    run = live(tmp_path / "runs")
    with served(tmp_path, str(run)) as port:
        for host, status in ((f"localhost:{port}", 200), ("evil.example", 403)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            page = answer.read().decode()
            assert answer.status == status
            assert "googleapis" not in page
            assert status != 200 or f"ws://{host}/ws" in page
            connection.close()
        with pytest.raises(websocket.WebSocketBadStatusException):
            websocket.create_connection(f"ws://127.0.0.1:{port}/ws", origin="http://evil.example")


def test_what_means_this_machine() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "example.org", "10.0.0.1"))


def test_read_only_no_key_changes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(capabilities.READ_ONLY, "1")
    run = live(Path("runs"))
    logs.write(Path("runs/ended"), [*logs.story(6), logs.end(6, logs.T0 + 60)])
    before = tree(tmp_path)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        for keys in ("sxevwriY0l", ["space", "ctrl+s", "T", "c", "b", "x", "k"]):
            await pilot.press(*keys)
            assert isinstance(app.screen, RunScreen)
        assert "read-only" in text(app)
        app.open_home("runs")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.filled)
        await until(pilot, lambda: app.screen.query_one(RunList).chosen is not None)
        await pilot.press("d", "y", "u", "f5", "f4")
        await pilot.pause(0.2)
        assert isinstance(app.screen, HomeScreen)
        await pilot.resize_terminal(*LARGE)
        assert "New run" not in text(app)
        await pilot.press("f2")
        await pilot.pause(0.3)
        assert not (run / CONTROL_NAME).exists()

    play(run, script, config=tmp_path)
    assert tree(tmp_path) == before


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "shakegpt_tui.main", "serve", "--port", port]
        done = subprocess.run(
            command, env=environment(tmp_path), capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert port in done.stderr and "Traceback" not in done.stderr
