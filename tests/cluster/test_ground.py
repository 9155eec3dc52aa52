"""The project's own test cluster: a real one, whose parts can be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.ground import images, programs, settings
from tests.cluster.ground.shell import GroundError, wait
from tests.cluster.pods import pod, run_in_pod, wait_for_end

NETWORK = """
import json, os, socket
def reached(host, port):
    try:
        socket.create_connection((host, port), 5).close()
        return "reached"
    except OSError as error:
        return type(error).__name__
try:
    open("/x", "w")
    root = "writable"
except OSError as error:
    root = os.strerror(error.errno)
print(json.dumps({
    "api": reached("kubernetes.default.svc.cluster.local", 443), "store": reached(*os.environ["STORE"].split(":")),
    "outside": reached("registry.example", 443), "address": reached("192.0.2.1", 443),
    "root": root, "capabilities": [l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")][0],
    "seccomp": [l.split()[1] for l in open("/proc/self/status") if l.startswith("Seccomp:")][0],
}))
"""


@pytest.fixture(autouse=True)
def own(cluster: Cluster) -> None:
    """These tests are about the project's own cluster."""
    cluster.demand_ground("is about the project's own")


def ground(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.cluster.ground", *words],
        cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def look_around(cluster: Cluster, namespace: str, variables: dict[str, str]) -> dict[str, str]:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    text = run_in_pod(cluster, namespace, cluster.images["preflight"], "python", "-c", NETWORK, env=env)
    return dict(json.loads(text))


class TestTheCluster:
    def test_it_is_the_kubernetes_that_it_says(self, cluster: Cluster) -> None:
        versions = json.loads(cluster.kubectl("version", "-o", "json"))

        assert versions["serverVersion"]["gitVersion"] == versions["clientVersion"]["gitVersion"] == settings.KUBERNETES

    def test_pods_reach_the_api_server_and_the_store_by_name_and_nothing_outside(
        self, cluster: Cluster, namespace: str
    ) -> None:
        store = cluster.s3.pod_endpoint.removeprefix("http://")

        seen = look_around(cluster, namespace, {"STORE": store})

        assert (seen["api"], seen["store"]) == ("reached", "reached")
        assert (seen["outside"], seen["address"]) == ("gaierror", "OSError")

    def test_a_restricted_pod_is_restricted(self, cluster: Cluster, namespace: str) -> None:
        cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")

        seen = look_around(cluster, namespace, {"STORE": "127.0.0.1:1"})

        assert seen["root"] == "Read-only file system"
        assert int(seen["capabilities"], 16) == 0
        assert seen["seccomp"] == "2"

    def test_pod_security_refuses_what_is_not(self, cluster: Cluster, namespace: str) -> None:
        cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        body = pod("loose", cluster.images["preflight"], "true", securityContext={"privileged": True})

        done = cluster.command("kubectl", "apply", "-n", namespace, "-f", "-", stdin=json.dumps(body))

        assert 'violates PodSecurity "restricted' in done.stderr

    def test_memory_over_the_limit_is_killed(self, cluster: Cluster, namespace: str) -> None:
        limits = {"limits": {"memory": "64Mi"}}
        body = pod("greedy", cluster.images["preflight"], "python", "-c", "bytearray(10**9)", resources=limits)
        body["metadata"]["namespace"] = namespace

        cluster.apply(body)

        assert wait_for_end(cluster, namespace, "greedy") == "Failed"
        status = cluster.get("pod", "greedy", namespace)
        assert status is not None
        assert status["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


@pytest.mark.alone
class TestFaults:
    def test_the_store_is_killed_and_back_with_what_it_had(self, cluster: Cluster, bucket: str) -> None:
        cluster.s3.client().put_object(Bucket=bucket, Key="a", Body=b"kept")

        cluster.stop("s3")
        assert not programs.is_running("s3")
        cluster.start("s3")

        assert cluster.s3.client().get_object(Bucket=bucket, Key="a")["Body"].read() == b"kept"

    def test_the_api_server_is_killed_and_back_with_what_it_had(self, cluster: Cluster, namespace: str) -> None:
        cluster.stop("kube-apiserver")
        refused = cluster.command("kubectl", "get", "namespace", namespace, "--request-timeout=5s")
        cluster.start("kube-apiserver")

        assert refused.returncode != 0
        assert cluster.get("namespace", namespace) is not None

    def test_a_pod_outlives_its_kubelet(self, cluster: Cluster, namespace: str) -> None:
        body = pod("sleeper", cluster.images["preflight"], "python", "-c", "import time; time.sleep(8)")
        body["metadata"]["namespace"] = namespace
        cluster.apply(body)
        cluster.kubectl("wait", "-n", namespace, "pod/sleeper", "--for=condition=Ready", "--timeout=60s")

        cluster.stop("kubelet")
        cluster.start("kubelet")

        assert wait_for_end(cluster, namespace, "sleeper") == "Succeeded"

    def test_a_program_can_hang_and_go_on(self) -> None:
        programs.send("s3", signal.SIGSTOP)
        try:
            with pytest.raises(OSError, match="timed out"):
                programs.answers(settings.S3["AWS_ENDPOINT_URL_S3"])
        finally:
            programs.send("s3", signal.SIGCONT)

        wait("s3", lambda: programs.answers(settings.S3["AWS_ENDPOINT_URL_S3"]))

    def test_killing_what_is_dead_and_starting_what_runs_is_fine(self, cluster: Cluster) -> None:
        cluster.start("s3")
        cluster.stop("s3")
        cluster.stop("s3")
        cluster.start("s3")

        assert programs.is_running("s3")

    def test_a_program_that_there_is_not_is_refused(self, cluster: Cluster) -> None:
        with pytest.raises(GroundError, match="s4 is no program of the ground; there are etcd, kube-apiserver, s3"):
            cluster.stop("s4")

    def test_a_network_path_can_be_cut(self, cluster: Cluster, namespace: str) -> None:
        store = cluster.s3.pod_endpoint.removeprefix("http://")
        rule = ("INPUT", "-s", settings.PODS, "-p", "tcp", "--dport", "9000", "-j", "REJECT")
        cluster.inside("iptables", "-I", *rule)
        try:
            seen = look_around(cluster, namespace, {"STORE": store})
        finally:
            cluster.inside("iptables", "-D", *rule)

        assert seen["store"] == "ConnectionRefusedError"


class TestTheCommand:
    def test_a_shell_gets_what_it_needs(self, cluster: Cluster) -> None:
        exports = ground("env").stdout

        done = subprocess.run(
            ["bash", "-c", f"{exports}\nkubectl get nodes -o name && helm version --short && echo $AWS_ENDPOINT_URL_S3"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip

        node, helm, endpoint = done.stdout.splitlines()
        assert (node, endpoint) == ("node/node-1", cluster.s3.endpoint)
        assert helm.startswith("v4.")

    def test_it_runs_commands_inside(self) -> None:
        assert settings.NODE in ground("exec", "ip", "-brief", "address").stdout

    def test_it_prints_a_programs_log(self) -> None:
        assert f"Serving securely on {settings.NODE}:6443" in ground("logs", "kube-apiserver").stdout

    def test_a_name_that_is_none_is_refused_with_those_that_are(self) -> None:
        done = ground("stop", "minio")

        assert done.returncode == 2
        assert "invalid choice: 'minio'" in done.stderr
        assert "kube-apiserver" in done.stderr


@pytest.mark.alone
class TestImages:
    def test_older_ones_are_pruned_from_the_node_and_the_newest_stay(self, cluster: Cluster, tmp_path: Path) -> None:
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY number /\n")
        older = []
        for number in (1, 2):
            (tmp_path / "number").write_text(f"{number} {uuid.uuid4()}")
            older.append(cluster.image("pruned", str(tmp_path)))

        images.prune()

        names = programs.ctr("images", "list", "--quiet").split()
        assert [reference in names for reference in older] == [False, False]
        assert [reference for reference in cluster.images.values() if reference not in names] == []
