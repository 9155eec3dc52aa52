"""A wire between a client and a server that counts bytes and breaks on demand. One request a connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

FORWARD, LOSE_ANSWER, REFUSE, TEAR = "forward", "lose the answer", "refuse", "tear"


class Proxy:
    """Listens on loopback and forwards to a server.

    Args:
        port: the server's, on loopback.
        fate: given a request's first line, says what becomes of it: forwarded; carried out with its answer lost;
            cut off before the server sees it; or forwarded with one bit of what follows its head turned over.
    """

    def __init__(self, port: int, fate: Callable[[str], str] = lambda request: FORWARD) -> None:
        self.up, self.down = 0, 0
        self.requests: list[str] = []
        self._target, self._fate, self._lock = port, fate, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def close(self) -> None:
        """Takes no connection any more."""
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone does not, while the other thread waits for one
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = client.recv(65536).replace(b"Connection: keep-alive", b"Connection: close", 1)
            request = head.split(b"\r\n", 1)[0].decode()
            with self._lock:
                self.requests.append(request)
                fate = self._fate(request)
            if fate == REFUSE:
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                self._send_up(server, head)
                up = (client, server, fate == TEAR)
                threading.Thread(target=self._pump_up, args=up, daemon=True).start()
                while data := server.recv(65536):
                    if fate == LOSE_ANSWER:  # it is carried out by now
                        break
                    client.sendall(data)
                    with self._lock:
                        self.down += len(data)
                client.shutdown(socket.SHUT_RDWR)  # closing alone does not, while the other thread still reads

    def _pump_up(self, client: socket.socket, server: socket.socket, tear: bool) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if tear:
                    data, tear = bytes([data[0] ^ 1]) + data[1:], False
                self._send_up(server, data)

    def _send_up(self, server: socket.socket, data: bytes) -> None:
        server.sendall(data)
        with self._lock:
            self.up += len(data)
