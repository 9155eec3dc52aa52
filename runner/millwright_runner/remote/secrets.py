"""Secrets of a job on Azure ML. They stand in no manifest and no job definition, only where they lie in a Key Vault.

What the job's own credentials have is handed over through the workspace's Key Vault, under names made of the job's, and removed
from there when the job has ended.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from millwright_api.errors import MillwrightError, SecretNotFound
from millwright_api.names import ENV_SIGNING_KEY, fingerprint
from millwright_runner.azure.coordinates import Coordinates
from millwright_runner.azure.workspace import asking_workspace, client
from millwright_runner.lookup import close_names
from millwright_runner.remote.errand import Errand
from millwright_runner.stores.azure_login import asking, credential, words

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

Place = tuple[str, str]
"""The address of a Key Vault, and a secret's name in it."""

SUFFIXES = {
    "AzureCloud": "vault.azure.net",
    "AzureChinaCloud": "vault.azure.cn",
    "AzureUSGovernment": "vault.usgovcloudapi.net",
}
"""Where Key Vaults are, by the cloud's name; private clouds say it in their metadata."""

LONGEST_NAME = 127

LIFETIME = timedelta(days=31)
"""After which a secret that nobody could remove is of no use any more: Azure ML runs no job for longer than a month."""

WHERE = "spec.execution.azureML.secrets"

CONNECT_SECONDS, READ_SECONDS, RETRIES = 10, 30, 3


def vault_address(vault: str) -> str:
    """Returns a Key Vault's address.

    Args:
        vault: its name, its https:// address, or its ARM id.
    """
    if vault.startswith("https://"):
        return vault.rstrip("/")
    return f"https://{vault.rsplit('/', 1)[-1]}.{_suffix()}"


def vault_of(named: str | None, workspace: Coordinates) -> str:
    """Returns the address of a Key Vault: the one that is named, else the workspace's own.

    Raises:
        SecretNotFound: the workspace has none.
        MillwrightError: see `asking_workspace`.
    """
    if named is not None:
        return vault_address(named)
    with asking_workspace(workspace):
        own = client(workspace).workspaces.get(workspace.workspace).key_vault
    if not own:
        raise SecretNotFound("the workspace has no Key Vault of its own", where=WHERE, hint="name one: keyVault.vault")
    return vault_address(str(own))


def handed_name(job_name: str, variable: str) -> str:
    """Returns what a secret is called in the workspace's Key Vault, where names are of letters, digits and dashes."""
    plain = re.sub(r"[^0-9a-zA-Z-]", "-", f"{job_name}-{variable}")
    mark = fingerprint([job_name, variable])[:8]
    return f"{plain[: LONGEST_NAME - 9]}-{mark}"


def handed_over(errand: Errand) -> dict[str, str]:
    """Returns the variables that are handed over, with their values.

    Raises:
        SecretNotFound: the credentials have none of that name.
    """
    found = {}
    for index, secret in enumerate(errand.wanted.secrets):
        if not secret.from_credentials:
            continue
        value = os.environ.get(secret.name)
        if not value:
            holder = "spec.credentials have" if errand.uid is not None else "the environment has"
            raise SecretNotFound(
                f"{holder} no variable {secret.name}", where=f"{WHERE}[{index}]", hint="or take it from a keyVault"
            )
        found[secret.name] = value
    if signs(errand):
        found[ENV_SIGNING_KEY] = os.environ[ENV_SIGNING_KEY]
    return found


def signs(errand: Errand) -> bool:
    """Whether the key for signatures is handed over: where the manifest wants one, and there is a key."""
    return errand.job.spec.output.sign and bool(os.environ.get(ENV_SIGNING_KEY))


def places(errand: Errand, job_name: str, own: str) -> dict[str, Place]:
    """Returns where the job finds its secrets: variable → place.

    Args:
        errand: what is to be done.
        job_name: the job's name on Azure ML.
        own: the address of the workspace's own Key Vault; needed where `needs_own` says so.
    """
    found = {name: (own, handed_name(job_name, name)) for name in handed_over(errand)}
    for secret in errand.wanted.secrets:
        if secret.key_vault is not None:
            vault = secret.key_vault.vault
            found[secret.name] = (vault_address(vault) if vault else own, secret.key_vault.secret)
    return found


def needs_own(errand: Errand) -> bool:
    """Whether the workspace's own Key Vault is used."""
    wanted = errand.wanted.secrets
    return bool(handed_over(errand)) or any(one.key_vault is not None and one.key_vault.vault is None for one in wanted)


def hand_over(errand: Errand, job_name: str, vault: str) -> None:
    """Puts what the job's credentials have into the workspace's Key Vault.

    Raises:
        SecretNotFound: the credentials have none of that name.
        AccessDenied, AzureUnavailable, …: see `azure_login.asking`.
    """
    values = handed_over(errand)
    if not values:
        return
    box, ends = _client(vault), datetime.now(UTC) + LIFETIME
    with _asking(vault):
        for name, value in values.items():
            box.set_secret(handed_name(job_name, name), value, expires_on=ends, tags={"millwright-job": job_name})


def take_back(variables: list[str], job_name: str, vault: str) -> None:
    """Removes what was handed over for a job; what is not there is passed over.

    Raises:
        AccessDenied, AzureUnavailable, …: see `azure_login.asking`.
    """
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    box = _client(vault)
    with _asking(vault):
        for variable in variables:
            name = handed_name(job_name, variable)
            try:
                # not waited for: until it is purged it can be seen only by who may recover secrets
                box.begin_delete_secret(name).wait(timeout=READ_SECONDS)
                box.purge_deleted_secret(name)
            except ResourceNotFoundError:
                continue
            except HttpResponseError as error:
                if error.status_code not in {403, 409}:  # purging is another right, and not every vault allows it
                    raise


def resolve(places_: str) -> dict[str, str]:
    """Reads secrets inside a job, with its identity; nothing is printed.

    Args:
        places_: as the job's definition has them (`definition.ENV_SECRETS`).

    Returns:
        Variable → value.

    Raises:
        SecretNotFound: the Key Vault has none of that name.
        AccessDenied, CredentialsMissing, AzureUnavailable, …: see `azure_login.asking`.
    """
    from azure.core.exceptions import ResourceNotFoundError

    told: Mapping[str, list[str]] = json.loads(places_)
    found = {}
    for variable, (vault, name) in told.items():
        box = _client(vault)
        with _asking(vault):
            try:
                found[variable] = str(box.get_secret(name).value)
            except ResourceNotFoundError as error:
                raise SecretNotFound(
                    f"the Key Vault has no secret {name!r} (for {variable})", where=vault, hint=_near(box, name, vault)
                ) from error
    return found


def exists(place: Place) -> bool | None:
    """Whether a secret is there; None where this identity may not look, or not from here: the job may."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        with _asking(place[0]):
            # versions are listed without values; who may list need not be able to read
            return any(True for _ in _client(place[0]).list_properties_of_secret_versions(place[1]))
    except ResourceNotFoundError:
        return False
    except MillwrightError:
        return None


def _near(box: SecretClient, name: str, vault: str) -> str | None:
    from azure.core.exceptions import AzureError

    try:
        return close_names(name, [str(one.name) for one in box.list_properties_of_secrets()], vault)
    except AzureError:
        return None  # reading is one right, listing another


@contextmanager
def _asking(vault: str) -> Iterator[None]:
    """Turns what a Key Vault answers into our exceptions; a vault that does not exist is one that nothing is found in."""
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    with asking(vault):
        try:
            yield
        except ResourceNotFoundError:
            raise
        except HttpResponseError as error:
            if error.status_code in {400, 409}:
                raise SecretNotFound(f"the Key Vault refuses ({words(error)})", where=vault) from error
            raise


def _client(vault: str) -> SecretClient:
    from azure.keyvault.secrets import SecretClient

    return SecretClient(
        vault,
        credential(),
        connection_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retry_total=RETRIES,
    )


def _suffix() -> str:
    """Returns where this cloud's Key Vaults are."""
    cloud = os.environ.get("AZUREML_CURRENT_CLOUD", "AzureCloud")
    address = os.environ.get("ARM_CLOUD_METADATA_URL")
    if cloud in SUFFIXES or not address:
        return SUFFIXES.get(cloud, SUFFIXES["AzureCloud"])
    from azure.core import PipelineClient
    from azure.core.rest import HttpRequest

    line: PipelineClient[Any, Any] = PipelineClient(address, retry_total=RETRIES)
    with asking(address), line:
        request = HttpRequest("GET", address)
        answer: Any = line.send_request(request, connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS).json()
    clouds = [answer] if isinstance(answer, dict) else answer
    suffixes: dict[str, str] = next((one.get("suffixes", {}) for one in clouds if one.get("name") == cloud), {})
    return str(suffixes.get("keyVaultDns") or SUFFIXES["AzureCloud"]).lstrip(".")
