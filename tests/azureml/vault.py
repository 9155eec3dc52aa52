"""Key Vault's data plane, for secrets. A vault is https://NAME.vault.azure.net, as in Azure: the stub's proxy leads there, so
that azure-keyvault-secrets' check of the challenge's resource against the vault's host passes as it is."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.azureml import shapes
from tests.azureml.wire import VAULT, Answer, Refused, Request, Route, route

VERSIONS = re.compile(r"7\.\d(\.\d)?(-preview\.\d)?|202[5-9]-\d\d-\d\d(-preview)?")

PAGE = 2
"""Secrets on a page: small, so that who reads only the first one is found out."""


@dataclass
class Vault:
    """One vault.

    Attributes:
        name: its name.
        secrets: value by name.
        deleted: names of secrets that were deleted.
        forbidden: nobody may read or write.
        written: every name that was written, in order.
        purged: names of secrets that cannot be recovered any more.
    """

    name: str
    secrets: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    forbidden: bool = False

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{self.name}.vault.azure.net/"


class Vaults:
    """All vaults."""

    def __init__(self, base: str, tenant: str) -> None:
        self._base, self._tenant = base, tenant
        self.all: dict[str, Vault] = {}

    def named(self, name: str) -> Vault:
        """Returns a vault, made if it is not there."""
        return self.all.setdefault(name.lower(), Vault(name))

    def challenge(self) -> dict[str, str]:
        """Returns the header that tells a client how to log in."""
        where = f'authorization="{self._base}/{self._tenant}", resource="https://vault.azure.net"'
        return {"WWW-Authenticate": f"Bearer {where}"}

    def routes(self) -> list[Route]:
        """Returns what it answers; the server puts /vaults/NAME in front of a call for a vault's host."""
        secret = r"/vaults/(?P<vault>[^/]+)/secrets/(?P<name>[^/]+)"
        known: dict[str, Any] = {"audience": VAULT, "versions": VERSIONS}
        management = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.KeyVault/vaults/(?P<vault>[^/]+)"
        return [
            route("GET", r"/vaults/(?P<vault>[^/]+)/secrets", self._list, **known),
            route("GET", secret + r"/versions", self._versions, **known),
            route("GET", secret + r"(/(?P<version>[^/]*))?", self._get, **known),
            route("PUT", secret, self._set, **known),
            route("DELETE", secret, self._delete, **known),
            route("GET", r"/vaults/(?P<vault>[^/]+)/deletedsecrets/(?P<name>[^/]+)", self._get_deleted, **known),
            route("DELETE", r"/vaults/(?P<vault>[^/]+)/deletedsecrets/(?P<name>[^/]+)", self._purge, **known),
            route("GET", management, self._resource, versions=re.compile(r"20\d\d-\d\d-\d\d(-preview)?")),
        ]

    def _vault(self, match: re.Match[str], action: str) -> Vault:
        vault = self.all.get(match["vault"].lower())
        if vault is None:
            raise Refused(404, "VaultNotFound", f"The vault {match['vault']} does not exist.")
        if vault.forbidden:
            message = (
                f"Caller is not authorized to perform action on resource. Action: 'Microsoft.KeyVault/vaults/secrets/{action}/"
                f"action' Vault: {vault.name};location=local"
            )
            raise Refused(403, "Forbidden", message)
        return vault

    def _told(self, vault: Vault, name: str, value: str | None) -> dict[str, Any]:
        now = int(time.time())
        told: dict[str, Any] = {
            "id": f"{vault.url}secrets/{name}/{uuid.uuid5(uuid.NAMESPACE_URL, name + (value or '')).hex}",
            "attributes": {"enabled": True, "created": now, "updated": now, "recoveryLevel": "Recoverable+Purgeable"},
            "tags": {},
        }
        return told if value is None else {**told, "value": value}

    def _get(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self._vault(match, "getSecret")
        if match["name"] not in vault.secrets:
            message = f"A secret with (name/id) {match['name']} was not found in this key vault."
            raise Refused(404, "SecretNotFound", message)
        return Answer(200, self._told(vault, match["name"], vault.secrets[match["name"]]))

    def _list(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self._vault(match, "readMetadata")
        start = int(request.query.get("$skiptoken", 0))
        names = sorted(vault.secrets)
        told = [self._listed(vault, name) for name in names[start : start + PAGE]]
        following = f"{vault.url}secrets?api-version={request.query['api-version']}&$skiptoken={start + PAGE}"
        return Answer(200, {"value": told, "nextLink": following if start + PAGE < len(names) else None})

    def _versions(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self._vault(match, "readMetadata")
        there = match["name"] in vault.secrets
        return Answer(200, {"value": [self._told(vault, match["name"], None)] if there else [], "nextLink": None})

    def _listed(self, vault: Vault, name: str) -> dict[str, Any]:
        return {**self._told(vault, name, None), "id": f"{vault.url}secrets/{name}"}

    def _purge(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self._vault(match, "purge")
        if match["name"] not in vault.deleted:
            raise Refused(404, "SecretNotFound", f"Deleted Secret not found: {match['name']}")
        vault.purged.append(match["name"])
        return Answer(204)

    def _set(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self._vault(match, "setSecret")
        body = shapes.read(shapes.SecretSet, request)
        name = match["name"]
        if not re.fullmatch(r"[0-9a-zA-Z-]{1,127}", name):
            message = f"The request URI contains an invalid name: {name}"
            raise Refused(400, "BadParameter", message, violation=True)
        vault.secrets[name] = body.value
        vault.written.append(name)
        return Answer(200, self._told(vault, name, body.value))

    def _delete(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self._vault(match, "deleteSecret")
        if match["name"] not in vault.secrets:
            message = f"A secret with (name/id) {match['name']} was not found in this key vault."
            raise Refused(404, "SecretNotFound", message)
        del vault.secrets[match["name"]]
        vault.deleted.append(match["name"])
        return Answer(200, self._deleted(vault, match["name"]))

    def _get_deleted(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self._vault(match, "getSecret")
        if match["name"] not in vault.deleted:
            raise Refused(404, "SecretNotFound", f"Deleted Secret not found: {match['name']}")
        return Answer(200, self._deleted(vault, match["name"]))

    def _deleted(self, vault: Vault, name: str) -> dict[str, Any]:
        now = int(time.time())
        return {
            **self._told(vault, name, None), "recoveryId": f"{vault.url}deletedsecrets/{name}",
            "deletedDate": now, "scheduledPurgeDate": now + 90 * 86400,
        }  # fmt: skip

    def _resource(self, request: Request, match: re.Match[str]) -> Answer:
        vault = self.all.get(match["vault"].lower())
        if vault is None:
            raise Refused(
                404, "ResourceNotFound", f"The Resource 'Microsoft.KeyVault/vaults/{match['vault']}' was not found."
            )
        properties = {"vaultUri": vault.url, "tenantId": self._tenant, "sku": {"family": "A", "name": "standard"}}
        return Answer(200, {"id": request.path, "name": vault.name, "location": "local", "properties": properties})
