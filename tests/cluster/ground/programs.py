"""The programs of the ground: their command lines, how they start, end and are asked whether they are ready."""

from __future__ import annotations

import os
import re
import shlex
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.ground.namespaces import anchor, inside
from tests.cluster.ground.settings import (
    ADMIN_KUBECONFIG,
    API,
    BIN,
    NODE,
    PODS,
    REGISTRY,
    RUN,
    S3,
    SERVICES,
    TOKENS,
)
from tests.cluster.ground.shell import GroundError, run, wait

KUBERNETES = BIN / "kubernetes"
ETCD = "http://127.0.0.1:2379"
WHY = re.compile("panic:|fatal|error", re.IGNORECASE)
"""What a program's log says of its end; a stack follows it."""


def command_lines() -> dict[str, list[str]]:
    """Every program by its name, in the order in which they start."""
    lines: dict[str, list[object]] = {
        "etcd": [
            KUBERNETES, "etcd", "--data-dir", RUN / "etcd", f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}", "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync", "--log-level=warn",
        ],
        "kube-apiserver": [
            KUBERNETES, "kube-apiserver", f"--etcd-servers={ETCD}", f"--advertise-address={NODE}",
            f"--bind-address={NODE}", f"--cert-dir={RUN}/certs", f"--token-auth-file={RUN}/tokens.csv",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={RUN}/sa.key",
            f"--service-account-signing-key-file={RUN}/sa.key", f"--service-cluster-ip-range={SERVICES}",
            "--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP",
        ],
        "s3": [
            BIN / "versitygw", "--port", f"{NODE}:9000", "--access", S3["AWS_ACCESS_KEY_ID"],
            "--secret", S3["AWS_SECRET_ACCESS_KEY"], "--iam-dir", RUN / "s3-iam", "posix", RUN / "s3",
        ],
        "registry": [BIN / "registry", "serve", RUN / "registry.yaml"],
        "containerd": ["containerd", "--config", RUN / "containerd.toml"],
        "kube-controller-manager": [
            KUBERNETES, "kube-controller-manager", f"--kubeconfig={ADMIN_KUBECONFIG}", "--leader-elect=false",
            "--use-service-account-credentials", f"--service-account-private-key-file={RUN}/sa.key",
            f"--root-ca-file={RUN}/certs/apiserver.crt", "--bind-address=127.0.0.1",
            "--kube-api-qps=200", "--kube-api-burst=400",
        ],
        "kube-scheduler": [
            KUBERNETES, "kube-scheduler", f"--kubeconfig={ADMIN_KUBECONFIG}", "--leader-elect=false",
            "--bind-address=127.0.0.1", "--kube-api-qps=200", "--kube-api-burst=400",
        ],
        "kubelet": [
            KUBERNETES, "kubelet", f"--kubeconfig={RUN}/node.kubeconfig", f"--config={RUN}/kubelet.yaml",
            f"--root-dir={RUN}/kubelet", f"--cert-dir={RUN}/kubelet/pki", "--hostname-override=node-1",
            f"--node-ip={NODE}",
        ],
        "dns": [BIN / "dns", "-conf", RUN / "Corefile"],
        "kube-proxy": [
            KUBERNETES, "kube-proxy", f"--kubeconfig={ADMIN_KUBECONFIG}", "--proxy-mode=iptables",
            f"--cluster-cidr={PODS}", "--hostname-override=node-1", "--conntrack-max-per-core=0",
            "--bind-address=127.0.0.1",
        ],
    }  # fmt: skip
    return {name: [str(word) for word in line] for name, line in lines.items()}


def command_line(name: str) -> list[str]:
    """A program's command line.

    Raises:
        GroundError: there is none of this name.
    """
    known = command_lines()
    if name not in known:
        raise GroundError(f"{name} is no program of the ground; there are {', '.join(known)}")
    return known[name]


def start(name: str) -> None:
    """Starts a program inside the ground; it outlives us. That it runs already is fine.

    It becomes a child of the ground's own first process, which reaps it: a parent outside that hangs with it (nsenter
    does, when its child is stopped) would keep the ground from ever ending.
    """
    if is_running(name):
        return
    script = f"echo $$ > {RUN}/pids/{name}; exec {shlex.join(command_line(name))}"
    with (RUN / "logs" / f"{name}.log").open("a") as log:
        subprocess.run(
            inside("setsid", "--fork", "sh", "-c", script),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=RUN, check=True,
        )  # fmt: skip


def stop(name: str) -> None:
    """Kills a program with SIGKILL and waits until it is gone; that it is gone already is fine."""
    command_line(name)
    if not is_running(name):
        return
    send(name, signal.SIGKILL)
    wait(f"{name} to end", lambda: not is_running(name), 60)


def send(name: str, number: signal.Signals) -> None:
    """Sends a program a signal: SIGSTOP makes it hang, and has done so when this returns; SIGCONT lets it go on."""
    command_line(name)
    run(*inside("kill", f"-{number.value}", _pid(name)))
    if number == signal.SIGSTOP:  # one thread after the other: meanwhile it may still answer
        wait(f"{name} to hang", lambda: _states(name) == {"T"})


def _states(name: str) -> set[str]:
    """What a program's threads do, in the kernel's letters."""
    threads = Path(f"/proc/{anchor()}/root/proc/{_pid(name)}/task")
    return {(thread / "stat").read_text().rsplit(")", 1)[1].split()[0] for thread in threads.iterdir()}


def is_running(name: str) -> bool:
    """Whether a program runs inside the ground."""
    try:
        pid = _pid(name)
        root = Path(f"/proc/{anchor()}/root/proc/{pid}")
        return (root / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" and bool((root / "cmdline").read_bytes())
    except OSError:
        return False


def _pid(name: str) -> str:
    pid = (RUN / "pids" / name).read_text().strip()
    if not pid:
        raise ProcessLookupError(f"{name} is just being started")
    return pid


def wait_until_ready(name: str) -> None:
    """Waits until a program does what it is there for; the ones without a probe are ready once they run.

    Raises:
        GroundError: it takes too long; the message has the last words of those that have ended.
    """
    probes = {
        "kube-apiserver": api_is_ready,
        "containerd": lambda: ctr("version"),
        "kubelet": node_is_ready,
        "s3": lambda: answers(S3["AWS_ENDPOINT_URL_S3"]),
        "registry": lambda: answers(f"http://{REGISTRY}/v2/"),
    }
    try:
        wait(name, probes.get(name, lambda: is_running(name)))
    except GroundError as error:
        raise GroundError("\n".join([str(error), *_ended()])) from None


def _ended() -> Iterator[str]:
    """What is the reason more often than not when a program does not get ready: one that it needs was started and has ended."""
    for name in command_lines():
        if (RUN / "pids" / name).exists() and not is_running(name):
            said = (RUN / "logs" / f"{name}.log").read_text(errors="replace").strip().splitlines()
            why = [line for line in said if WHY.search(line)] or said or ["none"]
            yield f"{name} has ended; its last words: {why[-1]}"


def api_is_ready() -> bool:
    """Whether the API server says so."""
    context = ssl.create_default_context(cafile=RUN / "certs" / "apiserver.crt")
    request = urllib.request.Request(f"{API}/readyz", headers={"Authorization": f"Bearer {TOKENS['admin'][0]}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=3) as answer:
        return bool(answer.read() == b"ok")


def answers(url: str) -> bool:
    """Whether an HTTP server answers at all: that it wants credentials is an answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=3).close()
    except urllib.error.HTTPError:
        return True
    return True


def node_is_ready() -> bool:
    """Whether the node's kubelet says that pods can start."""
    query = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "node", "node-1", "-o", query) == "True"


def kubectl(*arguments: object) -> str:
    """Runs kubectl as the cluster's administrator."""
    return run(BIN / "kubectl", "--kubeconfig", ADMIN_KUBECONFIG, *arguments)


def ctr(*arguments: object) -> str:
    """Runs containerd's own client on the images and containers of Kubernetes."""
    return run(*inside("ctr", "--address", RUN / "containerd.sock", "--namespace", "k8s.io", *arguments))


def exec_inside(command: list[str]) -> None:
    """Becomes a command inside the ground."""
    os.execvp("nsenter", inside(*command))
