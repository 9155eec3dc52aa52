"""What the chart lets whom do: the whole list, so that a right more is a test that fails."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chart import NAMESPACE, Object, of_kind, render

Rights = set[tuple[str, str, str]]

WATCHED: Rights = {
    *(("millwright.dev", "optimizationjobs", verb) for verb in ("get", "list", "watch", "patch")),
    ("millwright.dev", "optimizationjobs/status", "patch"),
    *(("batch", "jobs", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("", "pods", verb) for verb in ("list", "watch")),
    *(("", "configmaps", verb) for verb in ("list", "watch", "create", "patch", "delete")),
    *(("events.k8s.io", "events", verb) for verb in ("list", "create")),
}
OWN_NAMESPACE: Rights = {
    ("coordination.k8s.io", "leases", "create"),
    *(("coordination.k8s.io", "leases=millwright", verb) for verb in ("get", "update", "patch")),
    ("", "pods", "patch"),
}
REVIEWS: Rights = {("authentication.k8s.io", "tokenreviews", "create")}


def rights(role: Object) -> Rights:
    """(group, resource, verb), with `resource=name` where a rule is for one name."""
    return {
        (group, f"{resource}={name}" if name else resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def granted(objects: list[Object], account: str) -> dict[str, Rights]:
    """What a ServiceAccount may do, by where: a namespace, or `*` for all of them."""
    found: dict[str, Rights] = {}
    for kind, role_kind in (("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")):
        for binding in [each for each in objects if each["kind"] == kind]:
            if any(s["name"] == account and s["namespace"] == NAMESPACE for s in binding["subjects"]):
                place = binding["metadata"].get("namespace", "*")
                (role,) = [
                    each
                    for each in objects
                    if each["kind"] == binding["roleRef"]["kind"] == role_kind
                    and each["metadata"]["name"] == binding["roleRef"]["name"]
                    and each["metadata"].get("namespace", "*") == place
                ]
                found[place] = found.get(place, set()) | rights(role)
    return found


class TestTheOperator:
    def test_cluster_wide_it_may_do_this_and_nothing_else(self) -> None:
        assert granted(render(), "millwright") == {"*": WATCHED | REVIEWS, NAMESPACE: OWN_NAMESPACE}

    def test_for_some_namespaces_it_has_a_role_in_each_and_may_only_review_tokens_elsewhere(self) -> None:
        assert granted(render(watchNamespaces=["team-a", "team-b"]), "millwright") == {
            "*": REVIEWS,
            "team-a": WATCHED,
            "team-b": WATCHED,
            NAMESPACE: OWN_NAMESPACE,
        }

    def test_its_own_namespace_may_be_among_them(self) -> None:
        assert granted(render(watchNamespaces=[NAMESPACE]), "millwright")[NAMESPACE] == WATCHED | OWN_NAMESPACE

    def test_without_progress_it_reviews_no_tokens(self) -> None:
        assert granted(render(progress__enabled=False, watchNamespaces=["a"]), "millwright") == {
            "a": WATCHED,
            NAMESPACE: OWN_NAMESPACE,
        }

    @pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["a"]}], ids=str)
    def test_it_never_touches_a_secret(self, values: dict[str, Any]) -> None:
        touched = {right for place in granted(render(**values), "millwright").values() for right in place}

        assert not {resource for _, resource, _ in touched} & {"secrets", "secrets/*", "*"}
        assert not {verb for _, _, verb in touched} & {"*", "escalate", "bind", "impersonate"}

    def test_two_releases_of_one_name_do_not_fight_over_names(self) -> None:
        cluster_scoped = [o["metadata"]["name"] for o in render() if o["kind"] in ("ClusterRole", "ClusterRoleBinding")]

        assert [name for name in cluster_scoped if not name.startswith(f"{NAMESPACE}:millwright")] == []


class TestTheCertificatesJob:
    def test_it_may_create_secrets_in_the_releases_namespace_and_nothing_else(self) -> None:
        assert granted(render(), "millwright-certificate") == {NAMESPACE: {("", "secrets", "create")}}

    @pytest.mark.parametrize(
        "values",
        [
            {"progress__enabled": False},
            {"progress__tls__existingSecret": "ours"},
            {"progress__tls__certManager": {"enabled": True, "issuerRef": {"name": "ca"}}},
        ],
        ids=str,
    )
    def test_where_it_is_not_needed_nobody_may_create_a_secret(self, values: dict[str, Any]) -> None:
        roles = [found for found in render(**values) if found["kind"] in ("Role", "ClusterRole")]

        assert not {resource for role in roles for _, resource, _ in rights(role)} & {"secrets"}


class TestPeople:
    def aggregated(self, to: str, **values: Any) -> Rights:
        label = f"rbac.authorization.k8s.io/aggregate-to-{to}"
        found: Rights = set()
        for role in of_kind(render(**values), "ClusterRole").values():
            if role["metadata"]["labels"].get(label) == "true":
                found |= rights(role)
        return found

    def test_view_reads(self) -> None:
        assert self.aggregated("view") == {
            *(("millwright.dev", "optimizationjobs", verb) for verb in ("get", "list", "watch")),
            ("millwright.dev", "optimizationjobs/status", "get"),
        }

    @pytest.mark.parametrize("role", ["edit", "admin"])
    def test_edit_and_admin_write_but_never_the_status(self, role: str) -> None:
        assert self.aggregated(role) == {
            ("millwright.dev", "optimizationjobs", verb)
            for verb in ("create", "update", "patch", "delete", "deletecollection")
        }

    def test_a_platform_may_give_these_rights_by_itself(self) -> None:
        assert [self.aggregated(role, rbac__aggregate=False) for role in ("view", "edit", "admin")] == [set()] * 3
