"""Serves one page to browsers of this machine."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from millwright_api.errors import AccessDenied

HOST = "127.0.0.1"


def serve_page(page: bytes, port: int, ready: Callable[[str], None]) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Args:
        page: HTML, served as `/`.
        port: 0: a free one.
        ready: told the address once it answers.

    Raises:
        AccessDenied: the port is taken, or not for us.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(page))
    except OSError as error:
        raise AccessDenied(
            f"port {port} cannot be listened on: {error.strerror}", where="--port", hint="another port, or none"
        ) from error
    with server, contextlib.suppress(KeyboardInterrupt):
        ready(f"http://{HOST}:{server.server_port}/")
        server.serve_forever()


def _handler(page: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Knows one page, and answers only to this machine's own names: no name of another's may point here."""

        def do_GET(self) -> None:
            """Answers with the page."""
            host = self.headers.get("Host", "").rpartition(":")[0]
            if host not in (HOST, "localhost") or self.path != "/":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    return Handler
