"""Blob Storage behind the stub: Azurite, which Azure's own addresses lead to through the stub's proxy. A login's bearer
token, which Azurite takes only of the real Entra, is checked here and the call signed with the account's key."""

from __future__ import annotations

import base64
import datetime
import email.utils
import hashlib
import hmac
import http.client
import ssl
import urllib.parse
from collections.abc import Callable, Mapping

from tests.azureml.wire import STORAGE, Answer, Refused, Request

SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date", "if-modified-since",
    "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
HOPS = ("connection", "keep-alive", "transfer-encoding", "host", "proxy-connection", "content-length")


class Blobs:
    """One storage account.

    Attributes:
        endpoint: Azurite's address with the account, http://127.0.0.1:PORT/devstoreaccount1.
        account: its name.
        key: its key.
    """

    def __init__(self, endpoint: str, key: str, check: Callable[[Request, str], None]) -> None:
        url = urllib.parse.urlsplit(endpoint)
        self.endpoint, self.account, self.key = endpoint.rstrip("/"), url.path.strip("/"), key
        self._url, self._check = url, check
        self._made: set[str] = set()

    def make(self, container: str, *, public: bool = False) -> None:
        """Makes a container, if it is not there. `public`: anybody may read it."""
        headers = {"x-ms-blob-public-access": "container"} if public else {}
        self._own("PUT", f"/{container}", {"restype": "container"}, headers=headers, expected=(201, 409))
        self._made.add(container)

    def clear(self) -> None:
        """Removes the containers that were made: Azurite outlives a test."""
        while self._made:
            self._own("DELETE", f"/{self._made.pop()}", {"restype": "container"}, expected=(202, 404))

    def put(self, container: str, key: str, content: bytes) -> None:
        """Writes a blob."""
        self._own("PUT", f"/{container}/{key}", {}, content, {"x-ms-blob-type": "BlockBlob"})

    def get(self, container: str, key: str) -> bytes:
        """Reads a blob."""
        return self._own("GET", f"/{container}/{key}", {})

    def names(self, container: str, prefix: str = "") -> list[str]:
        """Lists blobs by name."""
        from xml.etree import ElementTree

        names: list[str] = []
        marker: str | None = ""
        while marker is not None:
            asked = {"restype": "container", "comp": "list", "prefix": prefix, **({"marker": marker} if marker else {})}
            listed = ElementTree.fromstring(self._own("GET", f"/{container}", asked))
            names += [str(each.findtext("Name")) for each in listed.iter("Blob")]
            marker = listed.findtext("NextMarker") or None
        return names

    def sas(self, container: str, permissions: str = "racwdl", hours: float = 1) -> str:
        """Returns a shared access signature for a container, without a question mark."""
        expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
        version, until = "2022-11-02", expiry.strftime("%Y-%m-%dT%H:%M:%SZ")
        resource = f"/blob/{self.account}/{container}"
        fields = [permissions, "", until, resource, "", "", "", version, "c", "", "", "", "", "", "", ""]
        signature = self._sign("\n".join(fields))
        return urllib.parse.urlencode({"sp": permissions, "se": until, "sv": version, "sr": "c", "sig": signature})

    def forward(self, request: Request) -> Answer:
        """Carries a call for https://ACCOUNT.blob.core.windows.net to Azurite."""
        account, kind = request.host.split(".")[:2]
        if account != self.account or kind != "blob":
            message = f"The stub has no storage at {request.host}: only {self.account}.blob.core.windows.net."
            raise Refused(404, "ResourceNotFound", message)
        target, headers = request.target, {name: value for name, value in request.headers.items() if name not in HOPS}
        authorization = headers.get("authorization", "")
        if authorization.startswith("Bearer "):
            self._check(request, STORAGE)
        elif authorization and authorization != self._shared_key(request.method, target, headers, len(request.body)):
            message = (
                "Server failed to authenticate the request. Make sure the value of the Authorization header is correct."
            )
            raise Refused(403, "AuthenticationFailed", message)
        if "x-ms-copy-source" in headers:
            headers["x-ms-copy-source"] = self._here(headers["x-ms-copy-source"])
        if authorization:  # for the emulator's form of an address the signature is another
            target, headers = self._signed(request.method, target, headers, len(request.body))
        else:
            target = f"/{self.account}{target}"
        status, answered, content = self._call(request.method, target, request.body, headers)
        kept = {name: value for name, value in answered.items() if name.lower() not in HOPS}
        if request.method == "HEAD" and "content-length" in answered:
            kept["Content-Length"] = answered["content-length"]
        return Answer(status, content, kept)

    def _here(self, source: str) -> str:
        """Returns Azurite's address of a blob that is copied from, with leave to read it: it fetches that itself."""
        url = urllib.parse.urlsplit(source)
        if url.hostname != f"{self.account}.blob.core.windows.net":
            return source
        leave = "" if "sig=" in url.query else self.sas(url.path.split("/")[1], "r")
        return f"{self.endpoint}{url.path}?{'&'.join(filter(None, (url.query, leave)))}"

    def _own(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200, 201),
    ) -> bytes:
        target = urllib.parse.quote(path) + (f"?{urllib.parse.urlencode(query)}" if query else "")
        target, signed = self._signed(method, target, dict(headers or {}), len(content))
        status, _, answer = self._call(method, target, content, signed)
        if status not in expected:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return answer

    def _signed(self, method: str, target: str, headers: dict[str, str], length: int) -> tuple[str, dict[str, str]]:
        """Returns target and headers of a call in the emulator's form, signed with the account's key."""
        headers = {name: value for name, value in headers.items() if name not in ("authorization", "host", "date")}
        headers["x-ms-date"] = email.utils.formatdate(usegmt=True)
        headers.setdefault("x-ms-version", "2022-11-02")
        target = f"/{self.account}{target}"
        headers["authorization"] = self._shared_key(method, target, headers, length)
        return target, headers

    def _shared_key(self, method: str, target: str, headers: Mapping[str, str], length: int) -> str:
        url = urllib.parse.urlsplit(target)
        plain = {**headers, "content-length": str(length) if length else ""}
        lines = [method, *(plain.get(name, "") for name in SIGNED)]
        lines += [f"{name}:{headers[name].strip()}" for name in sorted(headers) if name.startswith("x-ms-")]
        lines.append(f"/{self.account}{url.path}")
        query = sorted(urllib.parse.parse_qsl(url.query, keep_blank_values=True), key=lambda each: each[0].lower())
        lines += [f"{name.lower()}:{value}" for name, value in query]
        return f"SharedKey {self.account}:{self._sign(chr(10).join(lines))}"

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()).decode()

    def _call(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        host, port = str(self._url.hostname), self._url.port
        if self._url.scheme == "https":
            unverified = ssl.create_default_context()
            unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, context=unverified)
        else:
            connection = http.client.HTTPConnection(host, port)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()
