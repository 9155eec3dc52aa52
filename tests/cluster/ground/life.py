"""The ground's life: up, down, and what a shell needs to use it."""

from __future__ import annotations

import os
import shlex
import shutil
import time

from tests.cluster.ground import configuration, images, namespaces, programs
from tests.cluster.ground.install import add_debian_packages, install
from tests.cluster.ground.settings import ADMIN_KUBECONFIG, BIN, HOME, RUN, S3
from tests.cluster.ground.shell import GroundError, locked, say, wait

KEPT = RUN / "kept"
"""There while somebody wants this ground to stay up; tests then use it instead of a fresh one."""

LEAST_FREE = 1_000_000_000
"""Bytes for what runs: etcd, logs, the tests' buckets and volumes."""


def demand_root() -> None:
    """Says what is missing on a machine where the ground can't be.

    Raises:
        GroundError: we are not root.
    """
    if os.geteuid() != 0:
        raise GroundError(
            "the test cluster needs root, as it makes namespaces and runs a kubelet; "
            "be root, or name another cluster with MILLWRIGHT_TEST_KUBECONFIG"
        )


def demand_space() -> None:
    """Says when the disk is too full: a program would end, or the kubelet evict pods, and what is told then is not why.

    Raises:
        GroundError: it is.
    """
    disk = shutil.disk_usage(HOME)
    needed = LEAST_FREE + disk.total // 100  # below this one percent the kubelet evicts
    if disk.free < needed:
        raise GroundError(
            f"{HOME} has {disk.free / 1e9:.1f} GB free, and the test cluster needs {needed / 1e9:.1f}, besides 30 for "
            "programs and images: make room, or name a folder on another disk with MILLWRIGHT_GROUND_HOME"
        )


def up(*, keep: bool = False, reuse: bool = False) -> None:
    """A fresh, empty cluster; the one that is up already is taken down first, with all that is in it.

    Args:
        keep: tests use it too, and leave it up.
        reuse: one that is up already is taken as it is.

    Raises:
        GroundError: we are not root, the disk is full, another ground is up, something can't be built, or a program does
            not get ready.
    """
    demand_root()
    add_debian_packages()
    install()
    began = time.monotonic()
    with locked(HOME / "life.lock"):
        if not (reuse and namespaces.is_up()):
            namespaces.remove()
            namespaces.demand_free()
            demand_space()
            RUN.mkdir(parents=True)
            configuration.write()
            images.collect_garbage()
            namespaces.make()
            _start_programs()
        if keep:
            KEPT.touch()
    say(f"up after {time.monotonic() - began:.0f} s")


def _start_programs() -> None:
    for name in ("etcd", "kube-apiserver", "s3", "registry", "containerd"):
        programs.start(name)
    programs.wait_until_ready("containerd")
    images.load_pause()
    programs.wait_until_ready("kube-apiserver")
    for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "dns"):
        programs.start(name)
    wait("the node", lambda: programs.kubectl("get", "node", "node-1"))
    programs.start("kube-proxy")  # it ends when it finds no node
    for name in ("s3", "registry", "kubelet"):
        programs.wait_until_ready(name)
    wait("the default service account", lambda: programs.kubectl("get", "serviceaccount", "default"))


def down() -> None:
    """Takes the ground down and removes every trace but programs and images; that it is down is fine."""
    demand_root()
    with locked(HOME / "life.lock"):
        namespaces.remove()


def is_kept() -> bool:
    """Whether the ground that is up shall stay: by `up --keep`. CI takes a fresh one in any case."""
    return namespaces.is_up() and KEPT.exists() and not os.environ.get("CI")


def environment() -> dict[str, str]:
    """What a shell needs to use the ground, with kubectl and helm first in PATH."""
    return {"KUBECONFIG": str(ADMIN_KUBECONFIG), **S3, "PATH": f"{BIN}:{os.environ.get('PATH', '')}"}


def exports() -> str:
    """The same, for a shell's `eval`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment().items())
