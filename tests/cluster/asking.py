"""Questions to the API server over one connection. Tests ask several times a second until something holds, and a kubectl
each time took a core from the pods that they waited for."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

Object = dict[str, Any]

GROUPS = {
    "pods": "api/v1",
    "configmaps": "api/v1",
    "secrets": "api/v1",
    "jobs": "apis/batch/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "events": "apis/events.k8s.io/v1",
    "optimizationjobs": "apis/millwright.dev/v1alpha1",
}
"""Kinds of objects in namespaces that tests ask about, and where the server has them."""


class Server:
    """An API server, as a kubeconfig names it."""

    def __init__(self, kubeconfig: Path) -> None:
        from kubernetes import config  # a second, and only where a cluster is

        self._client = config.new_client_from_config(str(kubeconfig))

    def get(self, kind: str, name: str, namespace: str) -> Object | None:
        """One object, or None."""
        return self._ask(f"{_folder(kind, namespace)}/{name}")

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """All objects of a kind in a namespace that carry these labels."""
        found = self._ask(f"{_folder(kind, namespace)}?{urlencode({'labelSelector': selector})}")
        assert found is not None, f"the server has no {kind}"
        return list(found["items"])

    def _ask(self, path: str) -> Object | None:
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], f"/{path}", "GET", None)
        url = f"{self._client.configuration.host}/{path}"
        try:
            answer = self._client.rest_client.pool_manager.request("GET", url, headers=headers, timeout=60)
        except HTTPError as error:
            raise AssertionError(f"{path}: {error}") from None
        assert answer.status in (200, 404), f"{path}: {answer.status} {answer.data.decode(errors='replace')}"
        return dict(json.loads(answer.data)) if answer.status == 200 else None


@functools.cache
def server(kubeconfig: Path) -> Server:
    """Returns the one connection of this process."""
    return Server(kubeconfig)


def _folder(kind: str, namespace: str) -> str:
    """Where objects of a kind are, by its plural with or without its group, or its singular."""
    plural = kind.partition(".")[0]
    plural = plural if plural in GROUPS else f"{plural}s"
    return f"{GROUPS[plural]}/namespaces/{namespace}/{plural}"
