"""From an errand to a command job, as Azure's SDK has it. Asks nobody anything."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millwright_api.azureml import AzureMLIdentity
from millwright_api.names import ENV_ALLOW_REMOTE_CODE, ENV_REMOTE
from millwright_runner.remote.environment import environment_of
from millwright_runner.remote.errand import Errand
from millwright_runner.remote.naming import tag_of
from millwright_runner.remote.snapshot import ARCHIVE, JOB, LONG

if TYPE_CHECKING:
    from azure.ai.ml.entities import Command

COMMAND = f"python -m zipfile -e {ARCHIVE} . && exec python -m millwright_runner.pod remote"
"""One archive in place of hundreds of small files, which are uploaded one by one."""

CLOUDS = ("AZUREML_CURRENT_CLOUD", "ARM_CLOUD_METADATA_URL", "AZURE_AUTHORITY_HOST")
"""Where Azure is, when that is not the public cloud; no secrets."""

ENV_JOB = "MILLWRIGHT_JOB"
ENV_SECRETS = "MILLWRIGHT_SECRETS"
"""For the runner on Azure ML: where its secrets lie, as JSON: variable → [address of the Key Vault, name]."""
ENV_DATASTORE = "MILLWRIGHT_DATASTORE"
"""Likewise, with output.path: the datastore that the output lies in, which knows what opens it."""

UID, OF_JOB = "millwright-uid", "millwright-job"
"""Tags of a job."""


def definition(
    errand: Errand, name: str, code: Path, secrets: Mapping[str, tuple[str, str]], datastore: str | None
) -> Command:
    """Returns the command job.

    Args:
        errand: what is to be done.
        name: the job's name.
        code: the folder of the code snapshot.
        secrets: variable → the Key Vault's address, and the secret's name there.
        datastore: the datastore that the output lies in, where the manifest's is a folder of this machine.

    Raises:
        InvalidManifest: a file that execution.azureML names is not there, or is none.
    """
    from azure.ai.ml import command

    wanted, spec = errand.wanted, errand.job.spec
    tags = {OF_JOB: errand.job.metadata.name, tag_of(errand): "", **({UID: errand.uid} if errand.uid else {})}
    made: Command = command(
        name=name,
        display_name=errand.title,
        experiment_name=wanted.experiment or errand.job.metadata.name,
        tags={**wanted.tags, **tags},
        code=str(code),
        command=COMMAND,
        environment=environment_of(wanted.environment, errand.base),
        environment_variables=variables(errand, name, secrets, datastore),
        compute=wanted.compute,
        instance_type=wanted.instance_type,
        instance_count=wanted.instance_count,
        identity=_identity(wanted.identity),
        timeout=spec.active_deadline_seconds,
        job_tier=wanted.tier,
        priority=wanted.priority,
    )
    return made


def variables(
    errand: Errand, name: str, secrets: Mapping[str, tuple[str, str]], datastore: str | None
) -> dict[str, str]:
    """Returns the job's environment; no secret is in it. See `definition`."""
    wanted = errand.wanted
    found = {entry.name: entry.value for entry in wanted.env}
    found |= {key: os.environ[key] for key in CLOUDS if os.environ.get(key)}
    found |= {key: value for key, value in errand.part.items() if key not in LONG}
    found |= {ENV_REMOTE: name, ENV_JOB: JOB, "AZURE_CORE_COLLECT_TELEMETRY": "0"}
    if errand.uid is None or os.environ.get(ENV_ALLOW_REMOTE_CODE) == "1":
        found[ENV_ALLOW_REMOTE_CODE] = "1"  # without a cluster, who submits is who decides
    if wanted.identity is not None and wanted.identity.client_id is not None:
        found.setdefault("AZURE_CLIENT_ID", wanted.identity.client_id)
    if secrets:
        found[ENV_SECRETS] = json.dumps({key: list(place) for key, place in sorted(secrets.items())})
    if datastore is not None:
        found[ENV_DATASTORE] = datastore
    return found


def _identity(wanted: AzureMLIdentity | None) -> Any:
    if wanted is None:
        return None
    from azure.ai.ml import AmlTokenConfiguration, ManagedIdentityConfiguration, UserIdentityConfiguration

    if wanted.type == "Managed":
        return ManagedIdentityConfiguration(client_id=wanted.client_id)
    return UserIdentityConfiguration() if wanted.type == "User" else AmlTokenConfiguration()
