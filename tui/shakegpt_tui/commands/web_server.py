"""The web server of `shakegpt-tui serve`: textual-serve's, for this machine and its own pages."""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import psutil
from aiohttp import web
from textual_serve.server import Server

PATIENCE = 10.0
"""Seconds that the apps of open pages may take to end."""
FOCUS = """<script>
const timer = setInterval(() => {
  const keys = document.querySelector(".xterm-helper-textarea");
  if (keys) { keys.focus(); clearInterval(timer); }
}, 100);
</script></body>"""
"""So that keys reach the terminal before it was clicked."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer(Server):
    """Each page that is opened runs an app of its own, in a process that ends with the page."""

    def __init__(self, command: str, host: str, port: int, control: bool) -> None:
        super().__init__(command, host=host, port=port, title="shakegpt")
        self._control = control
        self._pages: set[asyncio.Task[object]] = set()

    def initialize_logging(self) -> None:
        """Problems only, in plain lines."""
        logging.basicConfig(level="WARNING", format="shakegpt-tui: %(message)s")

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: nobody can connect yet."""

    async def on_shutdown(self, app: web.Application) -> None:
        for page in self._pages:
            page.cancel()
        until = time.monotonic() + PATIENCE
        while psutil.Process().children() and time.monotonic() < until:
            await asyncio.sleep(0.05)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One page, as long as it is open."""
        page = asyncio.current_task()
        assert page is not None
        self._pages.add(page)
        try:
            return await super().handle_websocket(request)
        finally:
            self._pages.discard(page)

    def serve(self, debug: bool = False) -> None:
        """Serve until a signal. Raises OSError where the address cannot be listened on."""
        self.initialize_logging()
        web.run_app(
            self._make_app(), host=self.host, port=self.port, print=lambda _: self._announce()
        )

    def _announce(self) -> None:
        may = "who opens it controls runs" if self._control else "read-only"
        print(f"shakegpt-tui: serving at {self.public_url} ({may}); Ctrl+C ends", flush=True)
        if not is_loopback(self.host):
            print(
                "shakegpt-tui: without encryption or password; whoever reaches this machine "
                f"can {'control' if self._control else 'watch'} its runs",
                file=sys.stderr,
                flush=True,
            )

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._only_own_pages)
        return app

    @web.middleware
    async def _only_own_pages(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse pages of other sites: a browser lets them connect to this machine, too."""
        name = urlsplit(f"//{request.host}").hostname or ""
        if is_loopback(self.host) and not is_loopback(name):  # a name that was pointed here
            raise web.HTTPForbidden(text=f"this is not {name}")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text=f"pages of {origin} may not connect")
        return await handler(request)

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page, with addresses as this browser sees the server, and nothing from elsewhere."""
        seen = copy.copy(self)
        seen.public_url = f"{request.scheme}://{request.host}"
        page: web.Response = await Server.handle_index(seen, request)  # type: ignore[assignment]
        html = re.sub(r"<link\b[^>]*//fonts\.googleapis\.com[^>]*>", "", page.text or "")
        return web.Response(text=html.replace("</body>", FOCUS), content_type="text/html")


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine itself.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
