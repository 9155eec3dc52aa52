"""Names that both sides must spell alike: the resource's group and kind, and content fingerprints."""

from __future__ import annotations

import hashlib
import json
from typing import Any

GROUP = "millwright.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "OptimizationJob"


def fingerprint(value: Any) -> str:
    """Returns the sha256 (64 hex digits) of a JSON value's canonical form: sorted keys, no white space, UTF-8.

    Raises:
        TypeError: the value is not JSON.
        ValueError: it holds a NaN or an infinity, which JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
