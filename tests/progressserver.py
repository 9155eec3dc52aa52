"""An endpoint for progress on loopback, over real TLS: it listens, hangs, refuses, or is away, as it is told."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from millwright_api.report import Progress


@dataclass(frozen=True)
class Authority:
    """A CA, and what it signs for 127.0.0.1, as PEM files in a folder."""

    folder: Path
    name: str = "ca"

    @property
    def ca(self) -> Path:
        return self.folder / f"{self.name}.crt"

    @property
    def chain(self) -> Path:
        """The server's certificate and key."""
        return self.folder / f"{self.name}-server.pem"

    def make(self) -> Authority:
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        own, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

        def signed(subject: x509.Name, key: Any, *extensions: x509.ExtensionType) -> x509.Certificate:
            builder = x509.CertificateBuilder(
                issuer, subject, key.public_key(), x509.random_serial_number(), now - day, now + day
            )
            for extension in extensions:
                builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            return builder.sign(own, hashes.SHA256())

        ca = signed(
            issuer, own, x509.BasicConstraints(True, None), x509.SubjectKeyIdentifier.from_public_key(own.public_key())
        )
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        leaf = signed(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "progress")]), server, names,
                      x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()))  # fmt: skip
        pem = serialization.Encoding.PEM
        secret = server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.ca.write_bytes(ca.public_bytes(pem))
        self.chain.write_bytes(leaf.public_bytes(pem) + secret)
        return self


@dataclass
class ProgressServer:
    """The endpoint.

    Attributes:
        authority: who signed its certificate.
        status: what it answers.
        silent: seconds that it waits before each answer.
        port: where; 0: anywhere.
        told: what arrived, in order.
        tokens: the tokens that came with it.
        connections: how many connections were made.
    """

    authority: Authority
    status: int = 204
    silent: float = 0.0
    port: int = 0
    told: list[Progress] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    connections: int = 0

    def start(self) -> ProgressServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority.chain)
        self._server = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"endpoint": self}))
        self._server.endpoint, self._server.context = self, context
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Goes away, with all its connections."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._server.open:
            with contextlib.suppress(OSError):  # the other side has closed it
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/v1/progress"

    def wait_for(self, count: int, seconds: float = 60) -> list[Progress]:
        """Waits until so many reports have arrived."""
        end = time.monotonic() + seconds
        while len(self.told) < count:
            assert time.monotonic() < end, f"only {len(self.told)} of {count} reports came"
            time.sleep(0.01)
        return self.told


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    endpoint: ProgressServer
    context: ssl.SSLContext

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.open: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.endpoint.connections += 1
        wrapped = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self.open.append(wrapped)
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: a client that does not trust us is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    endpoint: ProgressServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.endpoint.silent)
        if self.endpoint.status == 204:
            self.endpoint.tokens.append(self.headers["Authorization"].removeprefix("Bearer "))
            self.endpoint.told.append(Progress.model_validate_json(body))
        self.send_response(self.endpoint.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Quiet: tests read `told`."""
