"""How tests ask the stub: by Azure's SDK, logged in as `azure.use` says, or by a bare call."""

from __future__ import annotations

import functools
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from tests.azureml.login import CLIENT
from tests.azureml.stub import Azure
from tests.azureml.workspace import GROUP, SUBSCRIPTION, WORKSPACE

PREVIEW = "api-version=2025-01-01-preview"


def login(**more: Any) -> Any:
    from azure.identity import EnvironmentCredential

    return EnvironmentCredential(disable_instance_discovery=True, **more)


def client(azure: Azure, credential: Any = None, **more: Any) -> Any:
    """Returns the SDK's client of the workspace, or with `registry_name` of a registry."""
    from azure.ai.ml import MLClient

    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
    place = [] if more else [azure.env[name] for name in names]
    return MLClient(credential or login(), *place, **more, enable_telemetry=False, show_progress=False)


@functools.cache
def shared_client(base: str) -> Any:
    """The same, made once for a server, whose tests all have the same workspace: making one takes a quarter of a second."""
    from azure.ai.ml import MLClient

    place = (SUBSCRIPTION, GROUP, WORKSPACE)
    return MLClient(login(), *place, enable_telemetry=False, show_progress=False)


def submit(ml: Any, name: str, command: str = "echo hello", **more: Any) -> Any:
    from azure.ai.ml import command as job

    known = {"environment": "azureml:runner:2", "compute": "gpu", "experiment_name": "exp"}
    return ml.jobs.create_or_update(job(**{"name": name, "command": command, **known, **more}))


def ask(
    azure: Azure, method: str, path: str, body: Any = None, *, below: str | None = None, scope: str | None = None
) -> tuple[int, Any]:
    """Asks below the workspace, or below another path, with a token of the stub's login."""
    token = azure.login.issue(scope or f"{azure.base}/.default", CLIENT)["access_token"]
    url = f"{azure.base}{azure.jobs.scope if below is None else below}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(
            request, context=ssl.create_default_context(cafile=azure.env["SSL_CERT_FILE"])
        ) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def command_job(azure: Azure, **more: Any) -> dict[str, Any]:
    environment = f"{azure.jobs.scope}/environments/runner/versions/1"
    return {"properties": {"jobType": "Command", "command": "echo hello", "environmentId": environment, **more}}
