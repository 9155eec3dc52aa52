"""Microsoft Entra as far as a program's login needs it: OpenID discovery, tokens for a secret, for a federated token and
for a managed identity."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.azureml.wire import ARM, ML, STORAGE, VAULT, Answer, Refused, Request, Route, route

TENANT = "22222222-2222-2222-2222-222222222222"
CLIENT = "33333333-3333-3333-3333-333333333333"
SECRET = "a-client-secret-that-no-message-may-show"
IDENTITY_HEADER = "a-managed-identity-s-header"
FEDERATED = "a-federated-token-of-the-tests"
HOUR = 3600


@dataclass
class Login:
    """One tenant.

    Attributes:
        base: the stub's own address.
        secrets: secret by client id.
        federated: assertion by client id: what a projected service account's token is to Azure.
        identities: client ids of managed identities; the empty one is the system's own.
        issued: audience by token; outlives a test.
    """

    base: str
    tenant: str = TENANT
    secrets: dict[str, str] = field(default_factory=lambda: {CLIENT: SECRET})
    federated: dict[str, str] = field(default_factory=lambda: {CLIENT: FEDERATED})
    identities: set[str] = field(default_factory=lambda: {""})
    issued: dict[str, str] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        """Returns what it answers."""
        return [
            route("GET", r"/common/discovery/instance", self._instance, None),
            route("GET", r"/(?P<tenant>[^/]+)/v2.0/.well-known/openid-configuration", self._discovery, None),
            route("POST", r"/(?P<tenant>[^/]+)/oauth2/v2.0/token", self._token, None),
            route("GET", r"/identity/token", self._managed, None),
            route("GET", r"/identity/obo", self._on_behalf, None),
        ]

    def check(self, request: Request, audience: str) -> None:
        """Refuses a call whose bearer token this login did not issue, or issued for something else."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        challenge = {"WWW-Authenticate": f'Bearer authorization_uri="{self.base}/{self.tenant}", error="invalid_token"'}
        if scheme != "Bearer" or not token:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise Refused(401, "AuthenticationFailed", message, headers=challenge)
        found = self.issued.get(token)
        if found is None:
            issuer = _claims(token).get("tid", "unknown")
            message = (
                f"The access token is from the wrong issuer 'https://sts.windows.net/{issuer}/'. It must match the tenant "
                f"'https://sts.windows.net/{self.tenant}/' associated with this subscription. Please use the authority "
                f"(URL) 'https://login.windows.net/{self.tenant}' to get the token."
            )
            raise Refused(401, "InvalidAuthenticationTokenTenant", message, headers=challenge)
        if found != audience and {found, audience} != {ARM, ML}:  # Azure ML takes a token for management too
            message = f"The access token has been obtained for wrong audience or resource '{found}'."
            raise Refused(401, "InvalidAuthenticationTokenAudience", message, headers=challenge, violation=True)

    def issue(self, scope: str, client: str, tenant: str | None = None) -> dict[str, Any]:
        """Returns what the token endpoint answers. `tenant`: another than the workspace's, whose tokens are refused there."""
        resource = scope.removesuffix("/.default").rstrip("/")
        claims = {
            "aud": resource, "iss": f"https://sts.windows.net/{tenant or self.tenant}/", "tid": tenant or self.tenant, "oid": client,
            "appid": client, "iat": int(time.time()), "nbf": int(time.time()), "exp": int(time.time()) + HOUR, "jti": str(uuid.uuid4()),
        }  # fmt: skip
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
            for part in ({"alg": "RS256", "typ": "JWT", "kid": "stub"}, claims)
        )
        token = f"{token}.c3R1Yg"
        if tenant in (None, self.tenant):
            self.issued[token] = self._audience(resource)
        return {"token_type": "Bearer", "expires_in": HOUR, "ext_expires_in": HOUR, "access_token": token}

    def _audience(self, resource: str) -> str:
        host = urllib.parse.urlsplit(resource).netloc.lower()
        if host in ("storage.azure.com", "datalake.azure.net") or host.endswith(".core.windows.net"):
            return STORAGE
        if host.endswith("vault.azure.net"):
            return VAULT
        if resource.lower().startswith("https://ml.azure."):
            return ML
        if resource == self.base.rstrip("/") or host == "management.azure.com":
            return ARM
        message = f"AADSTS500011: The resource principal named {resource} was not found in the tenant."
        raise _entra("invalid_resource", message, 400)

    def _instance(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(
            400, {"error": "invalid_instance", "error_description": "AADSTS50049: Unknown or invalid instance."}
        )

    def _discovery(self, request: Request, match: re.Match[str]) -> Answer:
        tenant = match["tenant"]
        self._known(tenant)
        return Answer(
            200,
            {
                "issuer": f"{self.base}/{tenant}/v2.0",
                "authorization_endpoint": f"{self.base}/{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{self.base}/{tenant}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{self.base}/{tenant}/oauth2/v2.0/devicecode",
            },
        )

    def _known(self, tenant: str) -> None:
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", tenant):
            message = (
                f"AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are "
                "signing into the correct cloud."
            )
            raise _entra("invalid_tenant", message, 400)

    def _token(self, request: Request, match: re.Match[str]) -> Answer:
        self._known(match["tenant"])
        form = {name: values[-1] for name, values in urllib.parse.parse_qs(request.body.decode()).items()}
        client = form.get("client_id", "")
        if form.get("grant_type") != "client_credentials":
            raise _entra("unsupported_grant_type", f"AADSTS70003: {form.get('grant_type')} is not supported.", 400)
        if "client_assertion" in form:
            if self.federated.get(client) != form["client_assertion"]:
                message = "AADSTS700213: No matching federated identity record found for presented assertion subject."
                raise _entra("invalid_client", message, 401)
        elif client not in self.secrets:
            message = f"AADSTS700016: Application with identifier '{client}' was not found in the directory."
            raise _entra("unauthorized_client", message, 400)
        elif self.secrets[client] != form.get("client_secret"):
            message = (
                f"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client "
                f"secret value, not the client secret ID, for a secret added to app '{client}'."
            )
            raise _entra("invalid_client", message, 401)
        return Answer(200, self.issue(form.get("scope", ""), client, match["tenant"]))

    def _managed(self, request: Request, match: re.Match[str]) -> Answer:
        """What a node of Azure ML has at MSI_ENDPOINT, and an App Service at IDENTITY_ENDPOINT."""
        given = request.headers.get("x-identity-header") or request.headers.get("secret")
        if given != IDENTITY_HEADER:
            raise Refused(401, "Unauthorized", "The identity's header is wrong.", body={"message": "unauthorized"})
        query = request.query
        client = query.get("client_id") or query.get("clientid") or ""
        if client not in self.identities:
            message = (
                "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
            )
            raise Refused(400, "BadRequest", message, body={"statusCode": 400, "message": message})
        return self._at_node(query["resource"], client)

    def _on_behalf(self, request: Request, match: re.Match[str]) -> Answer:
        """What a node of Azure ML has at OBO_ENDPOINT when a job runs as the user who submitted it."""
        return self._at_node(request.query["resource"], "user")

    def _at_node(self, resource: str, client: str) -> Answer:
        expires = {"expires_on": str(int(time.time()) + HOUR), "resource": resource}
        return Answer(200, {**self.issue(resource, client), **expires})


def _entra(error: str, message: str, status: int) -> Refused:
    code = re.match(r"AADSTS(\d+)", message)
    body = {
        "error": error, "error_description": f"{message} Trace ID: 0 Correlation ID: 0", "error_codes": [int(code[1])] if code else [],
        "timestamp": "2026-01-01 00:00:00Z", "trace_id": "0", "correlation_id": "0",
    }  # fmt: skip
    return Refused(status, error, message, body=body)


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    try:
        return dict(json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))))
    except (IndexError, ValueError):
        return {}
