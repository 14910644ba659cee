"""A real Chromium for tests, driven over the DevTools protocol: open a page, ask it, look at it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--remote-debugging-port=0",
)
"""No window, and no request but the page's own."""
STILL = """addEventListener('DOMContentLoaded', () => document.head.insertAdjacentHTML('beforeend',
'<style>*, ::before, ::after { transition: none !important; animation: none !important }</style>'
))"""
"""Nothing moves: what is looked at is the slide, not its way there."""
PATIENCE = 90.0
"""Seconds until a browser that does not answer fails the test."""


def executable() -> str | None:
    """The system's Chromium, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Seen:
    """What a page did since it was opened."""

    requests: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Chromium:
    """One headless browser with one page, 1920x1080; use it as a context manager."""

    def __init__(self, width: int = 1920, height: int = 1080) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="deck-chromium-"))
        command = executable()
        assert command is not None
        size = f"--window-size={width},{height}"
        profile = f"--user-data-dir={self._profile}"
        self._process = subprocess.Popen(
            [command, *QUIET, size, profile, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._last = 0
        self.seen = Seen()
        self._socket = websocket.create_connection(
            self._address(), timeout=PATIENCE, suppress_origin=True
        )
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=STILL)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def _address(self) -> str:
        port = self._profile / "DevToolsActivePort"
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if port.is_file() and len(told := port.read_text().split()) == 2:
                return f"ws://127.0.0.1:{told[0]}{told[1]}"
            time.sleep(0.05)
        raise TimeoutError("Chromium did not open its DevTools port")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command, and its result; raises what the browser says is wrong."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.seen.requests.append(told["request"]["url"])
            case "Network.responseReceived" if told["response"]["status"] >= 400:
                self.seen.failures.append(f"{told['response']['status']} {told['response']['url']}")
            case "Network.loadingFailed" if not told.get("canceled"):
                self.seen.failures.append(f"{told['errorText']} (request {told['requestId']})")
            case "Runtime.exceptionThrown":
                thrown = told["exceptionDetails"]
                self.seen.errors.append(
                    str(thrown.get("exception", {}).get("description") or thrown["text"])[:500]
                )
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "assert", "warning"):
                self.seen.errors.append(json.dumps([a.get("value") for a in told["args"]])[:500])
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.seen.errors.append(told["entry"]["text"])

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:800])
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        """Go to an address in a fresh document; what was seen before is forgotten."""
        self.call("Page.navigate", url="about:blank")
        self.seen = Seen()
        self.call("Page.navigate", url=url)

    def wait(self, expression: str, seconds: float = PATIENCE) -> Any:
        """The first truthy value of an expression, in this document or the one that follows it.

        Raises TimeoutError when none comes.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if value := self.ask(expression):
                    return value
            except RuntimeError as error:
                if "navigated" not in str(error):
                    raise
            time.sleep(0.05)
        raise TimeoutError(f"{expression} stayed false for {seconds} s; {self.seen.errors}")

    def picture(self, path: Path) -> None:
        """The page as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser and forget its profile."""
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:  # a busy machine
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
