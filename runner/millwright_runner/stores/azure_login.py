"""Who a run is to Azure, and what Azure's refusals mean to a person."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from millwright_api.errors import (
    AccessDenied,
    AzureUnavailable,
    CredentialsMissing,
    LoginFailed,
    MillwrightError,
    WrongTenant,
)
from millwright_runner.stores.line import root_cause

KNOWN_LOGINS = {
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
    "login.microsoftonline.de",
}
"""Hosts of the public clouds; of any other, Microsoft's own list of hosts knows nothing and need not be asked."""

PRIVATE = re.compile(r"^(AZURE|ARM|IDENTITY|MSI|IMDS|OBO)_")
"""Variables that decide who a process is to Azure."""

ON_BEHALF = "OBO_ENDPOINT"
"""Azure ML sets it in a job that runs as the user who submitted it: there that user's tokens come from."""

NO_TENANT = "Unable to get authority configuration"
"""What msal says of a tenant that its login does not know."""

TENANT = {"90002", "50020", "900021", "900023", "50059", "50128", "500011", "500341", "90072", "50034"}
"""AADSTS codes: the tenant does not exist, or is another one than the client's, the user's or the resource's."""

PASSING = {"90033", "90055", "90006", "90012", "50196", "90100"}
"""AADSTS codes: the login itself is out of order, or asked too often."""

FOREIGN = (
    "InvalidAuthenticationTokenTenant",
    "Issuer validation failed",
    "SubscriptionNotFoundInTenant",
)
"""What services say of a token that another tenant made."""

SILENT = re.compile(
    r"Failed to establish a new connection|Max retries exceeded|timed out|Connection aborted|Failed to resolve|"
    r"Name or service not known|RemoteDisconnected|CERTIFICATE_VERIFY_FAILED|Connection reset|Connection refused"
)
"""How a login that does not answer shows in the text of azure-identity's own exception."""

TRIED = {
    "EnvironmentCredential": "the environment's client",
    "WorkloadIdentityCredential": "workload identity",
    "ManagedIdentityCredential": "managed identity",
    "AzureCliCredential": "az login",
    "AzurePowerShellCredential": "Azure PowerShell",
    "AzureDeveloperCliCredential": "azd",
}
"""azure-identity's names of what may know who one is, in a person's words."""

LONGEST = 400
"""Characters of a service's own words that go into a message."""


def credential() -> TokenCredential:
    """Returns what logs this process in to Azure: azure-identity's default chain without what would open a window.

    One for each environment that decides it, so that tokens are asked for once; nothing is asked for yet.

    Raises:
        LoginFailed: a variable holds what cannot be a login, such as an empty secret or a file that is not there.
    """
    try:
        return _made(tuple(sorted((name, value) for name, value in os.environ.items() if PRIVATE.match(name))))
    except (ValueError, OSError) as error:
        raise LoginFailed(
            f"the environment's login cannot be used: {error}", where="AZURE_CLIENT_ID and what goes with it"
        ) from error


@lru_cache(maxsize=1)
def _made(environment: tuple[tuple[str, str], ...]) -> TokenCredential:
    from azure.identity import DefaultAzureCredential  # half a second: only where a token is needed

    for name in ("azure", "msal"):  # what they warn of is in the exception, which is told in our words
        logging.getLogger(name).addHandler(logging.NullHandler())
    authority = dict(environment).get("AZURE_AUTHORITY_HOST", "")
    host = urlsplit(authority if "://" in authority else f"//{authority}").hostname
    made: TokenCredential = DefaultAzureCredential(
        exclude_interactive_browser_credential=True,
        exclude_broker_credential=True,
        exclude_shared_token_cache_credential=True,
        exclude_visual_studio_code_credential=True,
        disable_instance_discovery=host is not None and host not in KNOWN_LOGINS,
    )
    if dict(environment).get(ON_BEHALF):
        from azure.ai.ml.identity import AzureMLOnBehalfOfCredential
        from azure.identity import ChainedTokenCredential

        made = ChainedTokenCredential(AzureMLOnBehalfOfCredential(), made)
    return made


@contextlib.contextmanager
def asking(where: str) -> Iterator[None]:
    """Turns what azure-identity and azure-core raise into the error a person can act on.

    An answer that is none of these (such as 400, 404 or 409) is the caller's to explain: it stays what it is.

    Args:
        where: what is asked, as a person knows it.

    Raises:
        CredentialsMissing, LoginFailed, WrongTenant: Azure knows nobody by what the environment says.
        AccessDenied: it knows who asks, and refuses.
        AzureUnavailable: no answer, a failure of its own, or too many questions.
    """
    try:
        yield
    except AzureError as error:
        meant = explain(error, where)
        if meant is None:
            raise
        raise meant from None  # what is below may show addresses with signatures in them


def explain(error: AzureError, where: str) -> MillwrightError | None:
    """Returns what an exception of azure-identity or azure-core means; None when it is another one. See `asking`."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status is not None and (status == 429 or status >= 500):
        return AzureUnavailable(f"Azure answers {status}: {words(error)}", where=where, hint="it heals by itself")
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return AzureUnavailable(f"no answer from Azure: {root_cause(error)}", where=where)
    if isinstance(error, ClientAuthenticationError) and status is None:
        return _login(str(error), where)
    if status in {401, 403}:
        return refusal(error, where)
    return None


def refusal(error: AzureError, where: str) -> MillwrightError:
    """Returns what an answer of 401 or 403 means."""
    text = str(error)
    if "AADSTS" in text:
        return _login(text, where)
    if any(mark in text for mark in FOREIGN):
        hint = "is AZURE_TENANT_ID the tenant of the subscription?"
        return WrongTenant(f"the login is of another tenant ({words(error)})", where=where, hint=hint)
    if isinstance(error, HttpResponseError) and error.status_code == 401:
        return LoginFailed(f"Azure does not take the login ({words(error)})", where=where)
    return AccessDenied(
        f"Azure refuses ({words(error)})", where=where, hint="which roles does this identity have there?"
    )


def _login(text: str, where: str) -> MillwrightError:
    """Returns what the login said, from azure-identity's report of all that it tried."""
    found = re.search(r"AADSTS(\d+)[:\s][^\r\n]*", text)
    if found is None:
        if NO_TENANT in text:
            tenant = os.environ.get("AZURE_TENANT_ID")
            return WrongTenant(f"the login knows no tenant {tenant!r}", where=where, hint="is AZURE_TENANT_ID right?")
        silent = SILENT.search(text)
        if silent:
            return AzureUnavailable(f"the login of Azure does not answer: {silent[0]}", where=where)
        broken = re.search(r"Authentication failed: ([^\r\n]+)", text)
        return LoginFailed(f"the login failed: {broken[1][:LONGEST]}", where=where) if broken else _missing(text, where)
    said, code = found[0].split(" Trace ID:")[0].strip()[:LONGEST], found[1]
    if code in PASSING:
        return AzureUnavailable(f"the login of Azure is out of order ({said})", where=where)
    refused = f"the login refuses ({said})"
    if code in TENANT:
        return WrongTenant(refused, where=where, hint="is AZURE_TENANT_ID right?")
    hint = "are AZURE_CLIENT_ID, AZURE_TENANT_ID and what proves the client right?"
    return LoginFailed(refused, where=where, hint=hint)


def _missing(text: str, where: str) -> CredentialsMissing:
    tried = [name for mark, name in TRIED.items() if mark in text]
    proofs = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")
    absent = [name for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID") if not os.environ.get(name)]
    if not any(os.environ.get(name) for name in proofs):
        absent.append(f"one of {', '.join(proofs)}")
    half = f"; of a client's variables {' and '.join(absent)} is not set" if 0 < len(absent) < 3 else ""
    return CredentialsMissing(
        f"there is nothing to log in to Azure with (tried {', '.join(tried) or 'all there is'}){half}",
        where=where,
        hint="set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or run with a workload or managed identity, "
        "or az login",
    )


def words(error: AzureError) -> str:
    """Returns a service's own words: its code, and the first line of what it says of it."""
    code = getattr(error, "error_code", None) or getattr(getattr(error, "error", None), "code", None)
    lines = [line.strip() for line in (error.message or "").splitlines() if line.strip()]
    first = next(iter(lines), type(error).__name__)
    first = first.removeprefix(f"({code}) ")[:LONGEST]
    return f"{getattr(code, 'value', code)}: {first}" if code else first
