"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.fixtures import azure, azure_server  # noqa: F401  # fixtures, for all tests
from tests.azurite import Azurite, BlobContainer
from tests.s3server import S3Server
from tests.scheduling import Scheduling, ordered

from millwright_api.v1alpha1 import S3Location

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: tests that send Ctrl-C to
# the command would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the same of nohup


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Lets this project's own order decide which worker runs what."""
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collects with the garbage collector paused; what it finds lives as long as the process: a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts tests into the order in which workers take them."""
    items[:] = ordered(items)


@pytest.fixture(autouse=True, scope="module")
def _what_lives_on() -> None:
    """Has the collector pass over what is there when a file begins, such as torch's modules.

    The runner asks for a collection after each step: that took more of the tests' time than the steps.
    """
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class S3Bucket:
    """A fresh bucket on the session's S3 server, whose credentials and endpoint are in the environment."""

    server: S3Server
    name: str

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/"

    @property
    def folder(self) -> Path:
        """Where the server keeps the bucket's files: for tests that damage them."""
        return self.server.folder / "data" / self.name

    def location(self, key: str = "") -> S3Location:
        return S3Location(uri=f"s3://{self.name}/{key}")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server on loopback, started once."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """A fresh bucket; endpoint and credentials are in the environment of this test."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return S3Bucket(s3_server, s3_server.bucket(f"b-{uuid.uuid4().hex[:12]}"))


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A real Blob server on loopback, started once."""
    server = Azurite(tmp_path_factory.mktemp("azurite"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def blob(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> BlobContainer:
    """A fresh container; the account's key is in the environment of this test, and nothing else of Azure's."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    for name, value in azurite.environment.items():
        monkeypatch.setenv(name, value)
    return BlobContainer(azurite, azurite.container(f"c-{uuid.uuid4().hex[:12]}"))
