"""A real Chromium without a window, spoken to over a pipe: what a page looks like, says, asks for and complains of.

The protocol is Chromium's own (DevTools, JSON ended by a null byte); the browser reads on file descriptor 3 and writes on 4.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-default-browser-check",
    "--remote-debugging-pipe",
]


class Browser:
    """One tab.

    Attributes:
        requests: addresses that it asked for.
        complaints: errors and warnings of its console.
    """

    def __init__(self, to: int, from_: int) -> None:
        self._to, self._from, self._count, self._rest = to, from_, 0, b""
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """Sends a command and returns its answer."""
        self._count += 1
        own = {"sessionId": self._session} if self._session else {}
        message = {"id": self._count, "method": method, "params": parameters, **own}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._count:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                return said["result"]

    def open(self, page: Path, *, width: int = 1200, dark: bool = False) -> None:
        """Shows a file, and returns when it is loaded."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=page.absolute().as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def value(self, script: str) -> Any:
        """Returns what JavaScript says of the page."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def picture(self, target: Path) -> None:
        """Writes all of the page as PNG."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        target.write_bytes(base64.b64decode(shot["data"]))

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            data = os.read(self._from, 1 << 20)
            if not data:
                raise RuntimeError("the browser has gone")
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        said = json.loads(text)
        match said.get("method"), said.get("params"):
            case "Network.requestWillBeSent", sent:
                self.requests.append(sent["request"]["url"])
            case "Log.entryAdded", added if added["entry"]["level"] in ("error", "warning"):
                self.complaints.append(added["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown", thrown:
                self.complaints.append(json.dumps(thrown))
        return said


@contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """Starts Chromium, with a profile of its own."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "there is no chromium: make testtools"
    read_end, to = os.pipe()
    from_, write_end = os.pipe()
    script = f'exec "$@" 3<&{read_end} 4>&{write_end}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", program, *FLAGS, f"--user-data-dir={home}"],
        pass_fds=(read_end, write_end),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_end)
    os.close(write_end)
    try:
        yield Browser(to, from_)
    finally:
        os.close(to)  # it ends with its pipe
        os.close(from_)
        process.terminate()
        process.wait(timeout=30)
