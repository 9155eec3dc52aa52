"""The stub by hand: prints the variables under which SDKs reach it and serves until it is stopped."""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
from pathlib import Path

from tests.azureml.server import Server
from tests.azureml.stub import Azure

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tests.azureml", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port of the service; default: a free one")
    parser.add_argument("--proxy-port", type=int, default=0, help="port of the proxy; default: a free one")
    parser.add_argument("--advertise", help="https://HOST:PORT as clients see it; default: where it listens")
    parser.add_argument("--blob", required=True, help="Azurite's endpoint, http://HOST:PORT/ACCOUNT")
    parser.add_argument("--folder", type=Path, help="of its certificate (ca.pem) and of jobs; default: a temporary one")
    parser.add_argument("--execute", action="store_true", help="run submitted jobs")
    asked = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        server = Server(folder, asked.host, asked.port, asked.proxy_port, asked.advertise)
        azure = Azure(server, folder, asked.blob, AZURITE_KEY)
        azure.execute = asked.execute
        for name, value in azure.env.items():
            print(f"{name}={value}", flush=True)
        print(flush=True)
        ended.wait()
        azure.close()
        server.stop()


if __name__ == "__main__":
    main()
