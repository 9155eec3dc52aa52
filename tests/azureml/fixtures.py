"""Fixtures: one server for each worker, a fresh Azure for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.azurite import KEY, Azurite

if TYPE_CHECKING:  # tests/conftest.py loads this file for every test
    from tests.azureml.server import Server
    from tests.azureml.stub import Azure


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The stub's server, started once."""
    from tests.azureml.server import Server

    server = Server(tmp_path_factory.mktemp("azure"))
    yield server
    server.stop()


@pytest.fixture
def azure(azure_server: Server, azurite: Azurite, tmp_path: Path) -> Iterator[Azure]:
    """Azure with one workspace. A call that no service would understand fails the test at its end."""
    from tests.azureml.stub import Azure

    stub = Azure(azure_server, tmp_path / "azure", azurite.endpoint, KEY)
    yield stub
    stub.close()
    azure_server.room = None
    stub.verify()
