"""What the ground consists of: versions, addresses, folders. The only place that has them."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
HOME = Path(os.environ.get("MILLWRIGHT_GROUND_HOME") or Path.home() / ".cache" / "millwright-ground")
"""Outside the clone, so that a second clone has the programs and images of the first."""

BIN = HOME / "bin"
RUN = HOME / "run"  # of the ground that is up, and gone with it
STORE = HOME / "store"  # images: kept from one ground to the next
KWOK_STAGES = HOME / "kwok"

KUBERNETES = "v1.34.4"
KWOK = "sigs.k8s.io/kwok"
KWOK_VERSION = "v0.8.0"
MODULES = {
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
    "registry": "github.com/distribution/distribution/v3/cmd/registry@v3.0.0",
    "helm": "helm.sh/helm/v4/cmd/helm@v4.3.1",
    "kwok": f"{KWOK}/cmd/kwok@{KWOK_VERSION}",
}
"""Programs that one `go install` makes."""

OPTIONAL = ("kwok",)
"""Built only when asked for by name."""

DEBIAN = {
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "gcc": "gcc libc6-dev",
}
"""A program, and Debian's packages that bring it."""

# From the range for test networks (RFC 2544): these addresses live only in the ground's network namespace and on its
# one pair of virtual Ethernet devices.
HOST, NODE = "198.18.0.1", "198.18.0.2"
PODS, SERVICES = "198.18.1.0/24", "198.18.2.0/24"
LINK = "ground0"
API = f"https://{NODE}:6443"
REGISTRY = f"{NODE}:5000"
ADMIN_KUBECONFIG = RUN / "admin.kubeconfig"
S3 = {
    "AWS_ENDPOINT_URL_S3": f"http://{NODE}:9000",
    "AWS_ACCESS_KEY_ID": "ground",
    "AWS_SECRET_ACCESS_KEY": "ground-secret",
    "AWS_REGION": "us-east-1",
}
TOKENS = {
    "admin": ("ground-admin", "admin", "system:masters"),
    "node": ("ground-node", "system:node:node-1", "system:nodes"),
}
"""Who may speak to the API server: token, user, group. They are worth nothing outside the ground."""

BASE_IMAGE = "docker.io/library/python:3.11-slim-bookworm"
PAUSE_IMAGE = "docker.io/ground/pause:1"
TARGETS = ("operator", "preflight", "azure", "runner")
"""Of the project's Dockerfile: an image each."""
