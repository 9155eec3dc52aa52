"""Whose is what the operator makes for itself: its Lease, its certificate? Its ServiceAccount's, which belongs to the release:
when that is uninstalled, Kubernetes' garbage collector takes them along."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def account(token_file: Path = TOKEN_FILE) -> list[dict[str, Any]]:
    """Returns the ownerReferences that name our own ServiceAccount, as its token has it: asking the API server would take
    one more right. Outside of a pod there is none.

    Args:
        token_file: the token that Kubernetes mounts into a pod. Its signature is not looked at: it is our own.
    """
    try:
        payload = token_file.read_text().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        found = claims["kubernetes.io"]["serviceaccount"]
        return [{"apiVersion": "v1", "kind": "ServiceAccount", "name": str(found["name"]), "uid": str(found["uid"])}]
    except (OSError, IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return []
