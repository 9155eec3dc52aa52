"""A small Hugging Face hub on loopback: the parts of its protocol that looking up and fetching repositories needs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_a_secret_that_no_message_may_show"


@dataclass
class Repo:
    """A repository with one commit, on branch main.

    Attributes:
        files: content by name.
        private: without the right token it does not exist.
        gated: without the right token it may be listed and not read.
    """

    files: dict[str, bytes]
    private: bool = False
    gated: bool = False


@dataclass
class Hub:
    """The server.

    Attributes:
        repos: by kind and name, such as datasets/team/rows.
        asked: each request's method, path and range, in order.
        failing: answer everything with this HTTP code.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failing: int | None = None

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?/?")
_FILE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *args: Any) -> None:
        """Quiet: tests read `asked`."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        self.hub.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if self.hub.failing:
            self._send(self.hub.failing, b"", {})
        elif match := _API.fullmatch(path):
            self._api(match, body)
        elif match := _FILE.fullmatch(path):
            self._file(match)
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _repo(self, kind: str, name: str, revision: str | None) -> Repo | None:
        """Returns a repository, or answers with the hub's own kind of no."""
        trusted = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        repo = self.hub.repos.get(f"{kind}/{name}")
        if repo is None or (repo.private and not trusted):
            self._send(401, b'{"error": "Invalid username or password."}', {"X-Error-Code": "RepoNotFound"})
            return None
        if revision not in (None, "main", COMMIT):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return repo

    def _api(self, match: re.Match[str], body: bytes) -> None:
        kind, name, what, revision, under = match.groups()
        repo = self._repo(kind, name, revision)
        if repo is None:
            return
        if what in (None, "revision"):
            files = [{"rfilename": n, "size": len(c), "blobId": _oid(c)} for n, c in repo.files.items()]
            self._json(
                {
                    "id": name,
                    "sha": COMMIT,
                    "siblings": files,
                    "private": repo.private,
                    "gated": False,
                    "tags": [],
                    "lastModified": "2024-01-01T00:00:00.000Z",
                }
            )
        elif what == "tree":
            self._json(_tree(repo, under or ""))
        else:
            paths = (
                json.loads(body)["paths"] if body.startswith(b"{") else urllib.parse.parse_qs(body.decode())["paths"]
            )
            entries = _tree(repo, "")
            self._json([e for e in entries if e["path"] in paths])

    def _file(self, match: re.Match[str]) -> None:
        kind, name, revision, path = match.groups()
        repo = self._repo(kind or "models", name, revision)
        if repo is None:
            return
        if repo.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif path not in repo.files:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            content = repo.files[path]
            headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted is None:
                self._send(200, content, headers)
                return
            first, last = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._send(206, content[first : last + 1], headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _tree(repo: Repo, under: str) -> list[dict[str, Any]]:
    """Files and folders below a folder, all levels."""
    found: dict[str, dict[str, Any]] = {}
    for path, content in repo.files.items():
        if under and not path.startswith(f"{under.rstrip('/')}/"):
            continue
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder != under.rstrip("/"):
                found[folder] = {"type": "directory", "path": folder, "oid": _oid(folder.encode()), "size": 0}
        found[path] = {"type": "file", "path": path, "oid": _oid(content), "size": len(content)}
    return list(found.values())
