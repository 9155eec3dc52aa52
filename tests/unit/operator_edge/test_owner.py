"""What the operator makes for itself belongs to its ServiceAccount."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from millwright_operator import owner


def token(claims: Any) -> str:
    """As the API server issues them: three parts of unpadded base64url with points between."""
    parts = [json.dumps({"alg": "RS256"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


BOUND = {
    "iss": "https://kubernetes.default.svc",
    "kubernetes.io": {
        "namespace": "millwright-system",
        "pod": {"name": "millwright-7d", "uid": "11111111-0000-0000-0000-000000000000"},
        "serviceaccount": {"name": "millwright", "uid": "22222222-0000-0000-0000-000000000000"},
    },
}


class TestAccount:
    def test_a_pods_token_names_it(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text(token(BOUND))

        assert owner.account(file) == [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "name": "millwright",
                "uid": "22222222-0000-0000-0000-000000000000",
            }
        ]

    @pytest.mark.parametrize("padding", range(4))
    def test_tokens_of_any_length_are_read(self, tmp_path: Path, padding: int) -> None:
        file = tmp_path / "token"
        file.write_text(token({**BOUND, "aud": "a" * padding}))

        assert owner.account(file)[0]["name"] == "millwright"

    def test_outside_of_a_pod_there_is_none(self, tmp_path: Path) -> None:
        assert owner.account(tmp_path / "token") == []

    @pytest.mark.parametrize(
        "text", ["", "opaque", "a.b.c", "a.%%%.c", token({}), token([1]), token({"kubernetes.io": {}})], ids=str
    )
    def test_a_token_of_another_kind_names_nobody(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "token"
        file.write_text(text)

        assert owner.account(file) == []
