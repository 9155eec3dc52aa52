"""The configuration files of the ground's programs."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.ground.settings import (
    API,
    NODE,
    PAUSE_IMAGE,
    PODS,
    REGISTRY,
    RUN,
    STORE,
    TOKENS,
)
from tests.cluster.ground.shell import run

FOLDERS = ("certs", "logs", "varlog", "s3", "s3-iam", "net.d", "pids", "libexec", f"registries/{REGISTRY}")

CONTAINERD = f"""version = 2
root = "{STORE}/containerd"
state = "{RUN}/containerd-state"
oom_score = 0
[grpc]
  address = "{RUN}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true  # a machine may grant no CAP_SYS_RESOURCE
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{RUN}/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{RUN}/registries"
[plugins."io.containerd.internal.v1.opt"]
  path = "{RUN}/containerd-opt"
"""

REGISTRY_HOSTS = f"""server = "http://{REGISTRY}"
[host."http://{REGISTRY}"]
capabilities = ["pull", "resolve"]
"""

COREFILE = f""".:53 {{
  bind {NODE}
  errors
  kubernetes cluster.local {{
    endpoint {API}
    kubeconfig {RUN}/admin.kubeconfig
  }}
}}
"""


def write() -> None:
    """Writes all of them below the ground's folder."""
    for folder in FOLDERS:
        (RUN / folder).mkdir(parents=True, exist_ok=True)
    STORE.mkdir(parents=True, exist_ok=True)
    run("openssl", "genrsa", "-out", RUN / "sa.key", "2048")
    users = "".join(f'{token},{user},{user},"{group}"\n' for token, user, group in TOKENS.values())
    texts = {
        "tokens.csv": users,
        "resolv.conf": "",  # no name server: a name outside the cluster fails at once
        "Corefile": COREFILE,
        "containerd.toml": CONTAINERD,
        f"registries/{REGISTRY}/hosts.toml": REGISTRY_HOSTS,
    }
    documents = {
        "kubelet.yaml": kubelet(),
        "net.d/10-ground.conflist": pod_network(),
        "registry.yaml": registry(),
        **{f"{name}.kubeconfig": kubeconfig(token, user) for name, (token, user, _) in TOKENS.items()},
    }
    for name, text in texts.items() | {(name, json.dumps(value)) for name, value in documents.items()}:
        (RUN / name).write_text(text)


def kubeconfig(token: str, user: str) -> dict[str, Any]:
    """How a user reaches the API server."""
    cluster = {"server": API, "certificate-authority": f"{RUN}/certs/apiserver.crt"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "ground",
        "clusters": [{"name": "ground", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "ground", "context": {"cluster": "ground", "user": user}}],
    }


def kubelet() -> dict[str, Any]:
    """The kubelet, for a machine that may be a container itself: no cgroup of its own, no disk pressure, no swap check."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{RUN}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "failCgroupV1": False,
        "resolvConf": f"{RUN}/resolv.conf",
        "clusterDNS": [NODE],
        "clusterDomain": "cluster.local",
        "volumePluginDir": f"{RUN}/libexec",
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": True,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "protectKernelDefaults": False,
        "nodeStatusUpdateFrequency": "4s",
        "shutdownGracePeriod": "0s",
    }


def pod_network() -> dict[str, Any]:
    """A bridge with addresses from one range."""
    addresses = {
        "type": "host-local",
        "dataDir": f"{RUN}/ipam",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "ground", "plugins": [bridge | {"ipam": addresses}, ports]}


def registry() -> dict[str, Any]:
    """The image registry, whose files outlive the ground."""
    return {
        "version": 0.1,
        "log": {"level": "warn"},
        "http": {"addr": REGISTRY},
        "storage": {"filesystem": {"rootdirectory": f"{STORE}/registry"}, "delete": {"enabled": True}},
    }
