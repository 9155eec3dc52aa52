"""The server: TLS on loopback, and a proxy through which Azure's own names lead to it. It routes, checks logins and
api-versions, meets faults, and remembers what was asked and what was wrong with it."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import traceback
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.azureml.faults import Dropped, Faults
from tests.azureml.tls import server_context
from tests.azureml.wire import Answer, Refused, Request, Route

Check = Callable[[Request, str], None]
Forward = Callable[[Request], Answer]


class Room:
    """What is served just now: one test's world. The server outlives it.

    Attributes:
        requests: all that was asked, `METHOD /path?query`, in order.
        wrong: calls that no service would understand, one line each; a test fails by them.
    """

    def __init__(self, routes: Callable[[], list[Route]], check: Check, forward: Forward, faults: Faults) -> None:
        self.requests: list[str] = []
        self.wrong: list[str] = []
        self._arrived = threading.Condition()
        self._routes, self._check, self._forward, self._faults = routes, check, forward, faults

    def answer(self, request: Request) -> Answer:
        """Returns the answer to a call.

        Raises:
            Dropped: cut the connection instead.
        """
        host = f"https://{request.host}" if request.host else ""
        with self._arrived:
            self.requests.append(f"{request.method} {host}{request.target}")
            self._arrived.notify_all()
        if request.path.startswith("/stub/"):
            return self._carry_out(request)
        met = self._faults.meet(request)
        answer = met.answer or self._carry_out(request)
        met.hold()
        return answer

    def _carry_out(self, request: Request) -> Answer:
        if request.host.endswith(".vault.azure.net"):
            request = replace(request, path=f"/vaults/{request.host.split('.')[0]}{request.path}")
        try:
            return self._forward(request) if request.host.endswith(".core.windows.net") else self._routed(request)
        except Refused as refused:
            if refused.violation:
                self.complain(f"{request.method} {request.target}: {refused.message}")
            return refused.answer()
        except OSError:  # Azurite is away
            raise Dropped from None
        except Exception:
            self.complain(f"{request.method} {request.target}: {traceback.format_exc()}")
            return Answer(500, {"error": {"code": "StubFailed", "message": traceback.format_exc(limit=-3)}})

    def arrive(self, what: str, number: int = 1, timeout: float = 60) -> None:
        """Waits until this many calls with this in them have come."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: sum(what in each for each in self.requests) >= number, timeout):
                raise TimeoutError(f"no {what} was asked; {self.requests[-5:]}")

    def complain(self, what: str) -> None:
        """Remembers what no service would understand."""
        self.wrong.append(what)

    def _routed(self, request: Request) -> Answer:
        routes = self._routes()
        for each in routes:
            if each.method == request.method and (match := each.path.fullmatch(request.path)):
                self._admit(request, each)
                return each.handler(request, match)
        known = sorted({each.method for each in routes if each.path.fullmatch(request.path)})
        more = f"; known here: {', '.join(known)}" if known else ""
        raise Refused(501, "NotImplemented", f"The stub does not know this call{more}", violation=True)

    def _admit(self, request: Request, route: Route) -> None:
        if route.audience is not None:
            self._check(request, route.audience)
        if route.versions is not None and not route.versions.fullmatch(request.query.get("api-version", "")):
            found = request.query.get("api-version")
            code = "InvalidApiVersionParameter" if found else "MissingApiVersionParameter"
            message = (
                f"The api-version '{found}' is invalid." if found else "The api-version query parameter (?api-version=) "
                "is required for all requests."
            )  # fmt: skip
            raise Refused(400, code, message, violation=True)


class Server:
    """Listens on one address for calls (TLS) and on loopback for a proxy's CONNECT.

    Attributes:
        room: what is served; None answers 503.
        base: its address, https://HOST:PORT.
        proxy: what HTTPS_PROXY is set to.
        ca: file of the certificate to trust.
        tokens: audience by token that was issued; a process keeps its login from one test to the next.
    """

    def __init__(
        self, folder: Path, host: str = "127.0.0.1", port: int = 0, proxy_port: int = 0, advertise: str | None = None
    ) -> None:
        self.room: Room | None = None
        self.tokens: dict[str, str] = {}
        advertised = urllib.parse.urlsplit(advertise or f"https://{host}")
        self.ca = folder / "ca.pem"
        self._context = server_context(folder, (str(advertised.hostname), host))
        handler = type("Handler", (_Handler,), {"server_of": self})
        self._calls = _Listener((host, port), handler, self._context)
        self._proxy = _Listener((host, proxy_port), handler, None)
        self.base = f"https://{advertised.hostname}:{advertised.port or self._calls.server_port}"
        self.proxy = f"http://{advertised.hostname}:{self._proxy.server_port}"
        self._threads = [
            threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True)
            for each in (self._calls, self._proxy)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stops listening and cuts every connection."""
        for listener in (self._calls, self._proxy):
            listener.shutdown()
            listener.server_close()
        for thread in self._threads:
            thread.join()

    def tunnel(self, connection: socket.socket) -> ssl.SSLSocket:
        """Returns the server's side of TLS inside a proxied connection."""
        inside = self._context.wrap_socket(connection, server_side=True)
        self._proxy.take_over(connection, inside)
        return inside


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: Any, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._open: set[socket.socket] = set()
        self._inside: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context is not None:  # the handshake is the connection's own thread's: a slow client delays nobody
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def take_over(self, outside: socket.socket, inside: socket.socket) -> None:
        """A connection goes on as another."""
        with self._lock:
            self._open.discard(outside)
            self._inside[outside] = inside
            self._open.add(inside)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            request = self._inside.pop(request, request)
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


KNOWN_HOSTS = re.compile(
    r"([a-z0-9]+\.(blob|dfs)\.core\.windows\.net|[a-z0-9-]+\.vault\.azure\.net|login\.microsoftonline\.com):443"
)


class _Handler(BaseHTTPRequestHandler):
    server_of: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    tunnelled = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *args: Any) -> None:
        """Quiet: tests read `requests`."""

    def do_CONNECT(self) -> None:
        room = self.server_of.room
        if not KNOWN_HOSTS.fullmatch(self.path):
            if room is not None:
                room.complain(f"a call left for {self.path}")
            self.send_error(403, "No way out of the tests")
            self.close_connection = True
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.tunnelled = self.path.removesuffix(":443")
        self.request = self.server_of.tunnel(self.connection)
        self.setup()
        self.close_connection = False

    def _serve(self) -> None:
        body = self._body()
        url = urllib.parse.urlsplit(self.path)
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.tunnelled, urllib.parse.unquote(url.path), self.path, query, headers, body)
        room = self.server_of.room
        if room is None:
            answer = Answer(503, {"error": {"code": "ServiceUnavailable", "message": "no test is on"}})
        else:
            try:
                answer = room.answer(request)
            except Dropped:
                self.close_connection = True
                return
        self._send(answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer) -> None:
        content = answer.content()
        self.send_response_only(answer.status)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        headers.setdefault("content-type", "application/json; charset=utf-8")
        headers.setdefault("date", self.date_time_string())
        if self.command != "HEAD" or "content-length" not in headers:
            headers["content-length"] = str(len(content))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
