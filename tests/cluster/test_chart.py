"""The chart on a real cluster: installed, asked for its rights, upgraded under a running job, and gone without a trace."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cryptography import x509
from tests.cluster.arena import OPTJOB, Arena
from tests.cluster.cluster import CHART, RELEASE, RELEASE_NAMESPACE, Cluster, Object, chart_values
from tests.cluster.conftest import GIVEN, drop_namespace, new_namespace, only
from tests.cluster.ground import settings
from tests.cluster.ground.shell import locked
from tests.cluster.jobs import holds, probe, until

KINDS = (
    "all,secrets,configmaps,serviceaccounts,roles,rolebindings,leases,endpointslices,networkpolicies,"
    "poddisruptionbudgets,clusterroles,clusterrolebindings"
)
ANYWHERE = "elsewhere"
"""A namespace that no release of these tests watches."""


@dataclass(frozen=True)
class Release:
    """A release of the chart in a restricted namespace of its own, which watches one other; it leaves the definition to
    the release of the whole session."""

    cluster: Cluster
    name: str
    namespace: str
    team: str

    def install(self, **values: str) -> None:
        """Installs or upgrades, and waits until it is available."""
        flags = [f"--set={key.replace('__', '.')}={value}" for key, value in values.items()]
        self.cluster.helm(
            *(
                "upgrade",
                "--install",
                self.name,
                str(CHART),
                "--namespace",
                self.namespace,
                "--wait",
                "--timeout",
                "2m",
            ),
            *(f"--set=watchNamespaces={{{self.team}}}", "--set=crds.enabled=false", *flags),
            *chart_values(self.cluster.images),
        )

    def uninstall(self) -> None:
        self.cluster.helm("uninstall", self.name, "--namespace", self.namespace, "--wait", "--ignore-not-found")

    @property
    def account(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}-millwright"

    def pods(self) -> list[Object]:
        """The operator's pods that are not on their way out."""
        found = self.cluster.list("pods", self.namespace, "app.kubernetes.io/component=operator")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def leaders(self) -> list[str]:
        """The pods that the Service sends reports to."""
        return [
            p["metadata"]["name"] for p in self.pods() if p["metadata"]["labels"].get("millwright.dev/leader") == "true"
        ]

    def leader(self) -> str:
        """The one leader, once there is one."""
        return until("a leader", lambda: found[0] if len(found := self.leaders()) == 1 else None, 60)

    def remains(self) -> list[str]:
        """All that there is of it, anywhere."""
        found = json.loads(self.cluster.kubectl("get", KINDS, "--all-namespaces", "-o", "json"))["items"]
        mine = f"{self.namespace}:"
        return [
            f"{item['kind']}/{item['metadata']['name']}"
            for item in found
            if item["metadata"].get("namespace") == self.namespace or item["metadata"]["name"].startswith(mine)
            if item["metadata"]["name"] not in ("default", "kube-root-ca.crt")
        ]


@pytest.fixture(scope="module")
def release(installed: Cluster, shared_namespace: str) -> Iterator[Release]:
    namespace = new_namespace(installed, "chart")
    installed.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    made = Release(installed, f"r{uuid.uuid4().hex[:6]}", namespace, shared_namespace)
    made.install()
    yield made
    made.uninstall()
    drop_namespace(installed, namespace)


def allowed(cluster: Cluster, user: str, *questions: tuple[str, str, str]) -> dict[tuple[str, str, str], bool]:
    """Asks the API server whether a user may; each question is (namespace or *, verb, resource.group or resource/part)."""
    reviews = []
    for namespace, verb, asked in questions:
        whole, _, part = asked.partition("/")
        resource, _, group = whole.partition(".")
        attributes = {"verb": verb, "resource": resource, "group": group, "subresource": part}
        if namespace != "*":
            attributes["namespace"] = namespace
        groups = ["system:authenticated"]
        if user.startswith("system:serviceaccount:"):
            groups += ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"]
        reviews.append(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
            }
        )
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    printed = cluster.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}{'\\n'}", stdin=body)
    answers = [line == "true" for line in printed.splitlines()]
    return dict(zip(questions, answers, strict=True))


class TestInstalled:
    def test_it_is_available_in_a_namespace_that_enforces_restricted_pods(self, release: Release) -> None:
        (pod,) = release.pods()

        assert {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"] == "True"
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0

    def test_its_certificate_is_good_for_the_name_that_pods_are_sent_to(self, release: Release) -> None:
        secret = release.cluster.get("secret", f"{release.name}-millwright-progress-tls", release.namespace)

        assert secret is not None
        assert (secret["type"], sorted(secret["data"])) == ("kubernetes.io/tls", ["ca.crt", "tls.crt", "tls.key"])
        certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert f"{release.name}-millwright-progress.{release.namespace}.svc" in names.get_values_for_type(x509.DNSName)

    def test_an_upgrade_keeps_the_certificate(self, release: Release) -> None:
        def secret() -> Object | None:
            return release.cluster.get("secret", f"{release.name}-millwright-progress-tls", release.namespace)

        before = secret()

        release.install(podAnnotations__touched="yes")

        assert before is not None
        assert secret() == before

    def test_the_service_sends_reports_to_the_leader(self, release: Release) -> None:
        leader = release.leader()

        def targets() -> list[str]:
            slices = release.cluster.list("endpointslices", release.namespace)
            return [end["targetRef"]["name"] for part in slices for end in part.get("endpoints") or []]

        assert until("the Service to have its target", targets, 30) == [leader]


class TestTwoReplicas:
    def test_both_are_ready_one_leads_and_the_other_takes_over(self, release: Release) -> None:
        release.install(replicas="2")

        pods = [pod["metadata"]["name"] for pod in release.pods()]
        first = release.leader()
        release.cluster.kubectl("delete", "pod", first, "-n", release.namespace, "--wait=false")
        second = until(
            "another leader", lambda: found[0] if (found := release.leaders()) not in ([], [first]) else None, 60
        )

        assert len(pods) == 2
        assert first in pods
        assert second != first
        release.install(replicas="1")


class TestANamespaceThatMayNotBeRead:
    def test_keeps_no_other_from_being_worked_in(self, release: Release) -> None:
        release.install(watchNamespaces=f"{{{release.team},{release.namespace}}}")
        role = f"{release.namespace}:{release.name}-millwright"

        # As if the namespace had gone, with all in it
        release.cluster.kubectl("delete", "role", role, "-n", release.namespace)
        release.cluster.kubectl("delete", "pod", release.leader(), "-n", release.namespace)
        release.cluster.kubectl(
            "rollout", "status", f"deployment/{release.name}-millwright", "-n", release.namespace, "--timeout=90s"
        )

        log = release.cluster.kubectl("logs", release.leader(), "-n", release.namespace)
        assert f"namespace {release.namespace} is left out, as it may not be read" in log
        release.install()


class TestRights:
    def test_the_operator_may_do_its_work_where_it_watches_and_nowhere_else(self, release: Release) -> None:
        work = [
            *(("get", OPTJOB), ("watch", OPTJOB), ("patch", f"{OPTJOB}/status")),
            *(("create", "jobs.batch"), ("patch", "jobs.batch"), ("delete", "jobs.batch"), ("list", "pods")),
            *(("create", "configmaps"), ("patch", "configmaps"), ("create", "events.events.k8s.io")),
        ]

        here = allowed(release.cluster, release.account, *((release.team, *each) for each in work))
        there = allowed(release.cluster, release.account, *((ANYWHERE, *each) for each in work))

        assert [question for question, may in here.items() if not may] == []
        assert [question for question, may in there.items() if may] == []

    def test_it_may_ask_whose_a_token_is(self, release: Release) -> None:
        question = ("*", "create", "tokenreviews.authentication.k8s.io")

        assert allowed(release.cluster, release.account, question) == {question: True}

    def test_it_may_read_and_write_no_secret_anywhere(self, release: Release) -> None:
        verbs = ("get", "list", "watch", "create", "update", "patch", "delete")
        places = (release.team, release.namespace, ANYWHERE, "*")
        questions = [(place, verb, "secrets") for place in places for verb in verbs]

        assert not any(allowed(release.cluster, release.account, *questions).values())

    def test_it_makes_no_jobs_of_peoples_and_removes_none(self, release: Release) -> None:
        # patch it may, for a finalizer: a smaller right for that there is not
        questions = [(release.team, verb, OPTJOB) for verb in ("create", "update", "delete", "deletecollection")]

        assert not any(allowed(release.cluster, release.account, *questions).values())

    def test_the_operator_of_all_namespaces_has_no_more_to_say_about_secrets(self, installed: Cluster) -> None:
        account = f"system:serviceaccount:{RELEASE_NAMESPACE}:{RELEASE}"
        place = GIVEN[0] if GIVEN else ANYWHERE
        verbs = ("get", "list", "watch", "create")

        work = allowed(installed, account, (place, "create", "jobs.batch"), (place, "watch", OPTJOB))
        secrets = allowed(installed, account, *((where, verb, "secrets") for where in (place, "*") for verb in verbs))

        assert all(work.values())
        assert not any(secrets.values())


@pytest.fixture(scope="module")
def people(installed: Cluster, shared_namespace: str) -> str:
    """A namespace in which three people have the built-in roles of their names."""
    group = "rbac.authorization.k8s.io"
    for role in ("view", "edit", "admin"):
        installed.apply(
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": f"test-{role}", "namespace": shared_namespace},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": group, "kind": "User", "name": role}],
            }
        )
    return shared_namespace


class TestPeople:
    def may(self, cluster: Cluster, user: str, namespace: str) -> set[str]:
        verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
        told = until(
            "the roles to be aggregated",
            lambda: (
                found
                if any((found := allowed(cluster, user, *((namespace, verb, OPTJOB) for verb in verbs))).values())
                else None
            ),
            30,
        )
        return {verb for (_, verb, _), yes in told.items() if yes}

    def test_view_reads(self, installed: Cluster, people: str) -> None:
        assert self.may(installed, "view", people) == {"get", "list", "watch"}

    @pytest.mark.parametrize("user", ["edit", "admin"])
    def test_edit_and_admin_write_too(self, installed: Cluster, people: str, user: str) -> None:
        written = {"create", "update", "patch", "delete", "deletecollection"}

        assert self.may(installed, user, people) == {"get", "list", "watch"} | written

    @pytest.mark.parametrize("user", ["view", "edit", "admin"])
    def test_nobody_forges_a_status(self, installed: Cluster, people: str, user: str) -> None:
        questions = [(people, verb, f"{OPTJOB}/status") for verb in ("update", "patch")]

        assert not any(allowed(installed, user, *questions).values())

    def test_they_have_no_say_in_other_namespaces(self, installed: Cluster, people: str) -> None:
        question = ("default", "get", OPTJOB)

        assert allowed(installed, "edit", question) == {question: False}


class TestUninstall:
    def test_leaves_nothing(self, installed: Cluster, shared_namespace: str) -> None:
        namespace = new_namespace(installed, "chart")
        release = Release(installed, f"r{uuid.uuid4().hex[:6]}", namespace, shared_namespace)
        before = release.remains()
        release.install(networkPolicy__enabled="true", podDisruptionBudget__enabled="true")
        there = release.remains()

        release.uninstall()

        assert len(there) - len(before) > 10
        until("all to be removed", lambda: release.remains() == before, 60)
        drop_namespace(installed, namespace)


@pytest.mark.alone
class TestTheReleaseOfTheSession:
    """What only a release with running jobs can show: the one that all cluster tests use. An operator that is away for a
    moment disturbs no test; that is the point of it."""

    def helm(self, cluster: Cluster, *flags: str) -> None:
        cluster.helm(
            *("upgrade", "--install", RELEASE, str(CHART), "--namespace", RELEASE_NAMESPACE, "--create-namespace"),
            *("--wait", "--timeout", "3m", *chart_values(cluster.images), *only(GIVEN), *flags),
        )

    def running(self, arena: Arena, name: str) -> str:
        """Starts a job that takes a while; returns the uid of its pod."""
        arena.start(name, probe(units=120))
        arena.wait(name, holds("Running"), f"{name} to run")
        (pod,) = arena.live_pods(name, "stage")
        return str(pod["metadata"]["uid"])

    def test_an_upgrade_leaves_the_pods_of_a_running_job_alone(self, arena: Arena, installed: Cluster) -> None:
        uid = self.running(arena, "upgraded")

        with locked(settings.HOME / "chart.lock"):
            self.helm(installed, "--set", f"podAnnotations.upgraded=u{uuid.uuid4().hex[:6]}")

        arena.complete("upgraded")
        assert [pod["metadata"]["uid"] for pod in arena.children("pods", "upgraded", "stage")] == [uid]

    def test_jobs_outlive_the_release_and_are_found_by_the_next_one(self, arena: Arena, installed: Cluster) -> None:
        uid = self.running(arena, "outlives")

        with locked(settings.HOME / "chart.lock"):
            installed.helm("uninstall", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait")
            kept = arena.get(OPTJOB, "outlives")
            self.helm(installed)

        assert kept is not None
        arena.complete("outlives")
        assert [pod["metadata"]["uid"] for pod in arena.children("pods", "outlives", "stage")] == [uid]
