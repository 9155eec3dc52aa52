"""The namespaces of network, mounts and processes that the ground lives in, and how to get into them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.cluster.ground.settings import BIN, HOST, LINK, NODE, RUN, SERVICES
from tests.cluster.ground.shell import GroundError, run, succeeds, wait

SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
"""The kubelet sets them for the whole machine: they are put back."""


def anchor() -> int:
    """The process that holds the ground's namespaces open: its id as seen from outside.

    Raises:
        GroundError: there is none, so the ground is down.
    """
    try:
        pid = int((RUN / "anchor.pid").read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == "pause":
            return pid
    except (OSError, ValueError):
        pass
    raise GroundError("the ground is down: make cluster-up")


def is_up() -> bool:
    """Whether the ground's namespaces are there."""
    try:
        anchor()
    except GroundError:
        return False
    return True


def inside(*command: object) -> list[str]:
    """A command line that runs another one inside the ground."""
    return ["nsenter", "-t", str(anchor()), "-n", "-m", "-p", *map(str, command)]


def make() -> None:
    """Makes the namespaces and the link to them.

    Raises:
        GroundError: this machine does not let us.
    """
    _remember_sysctls()
    with (RUN / "logs" / "anchor.log").open("w") as log:
        outer = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", str(BIN / "pause")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    wait(
        "the namespaces", lambda: Path("/proc", children.read_text().strip(), "comm").read_text().strip() == "pause", 10
    )
    (RUN / "anchor.pid").write_text(children.read_text().strip())
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "ground1", "netns", anchor())
    run("ip", "addr", "add", f"{HOST}/24", "dev", LINK)
    run("ip", "link", "set", LINK, "up")
    run(*inside("sh", "-ec", f"""
        mount --make-rshared /
        mount --bind {RUN}/varlog /var/log
        ip link set lo up
        ip addr add {NODE}/24 dev ground1
        ip link set ground1 up
        ip route add {SERVICES} dev ground1
        sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
    """))  # fmt: skip


def demand_free() -> None:
    """Sees to it that no other ground has the addresses or the folder.

    Raises:
        GroundError: one has: that of another home, or one that lost the file with its first process's id.
    """
    taken = f"the device {LINK}" if succeeds("ip", "link", "show", LINK) else str(RUN) if RUN.exists() else ""
    if taken:
        first = ", ".join(map(str, _firsts())) or "which is not seen from here"
        raise GroundError(
            f"another ground is up: it has {taken}; take it down with the MILLWRIGHT_GROUND_HOME that it was "
            f"started with, or kill -9 its first process: {first}"
        )


def _firsts() -> list[int]:
    """The first processes of grounds on this machine, by what they are and who started them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text() == "pause\n":
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if Path("/proc", parent, "comm").read_text() == "unshare\n":
                    found.append(int(folder.name))
    return found


def remove() -> None:
    """Ends every process of the ground and takes back what it changed on the machine; that none is up is fine."""
    if is_up():
        pid = anchor()
        os.kill(pid, signal.SIGKILL)  # the first process of its namespace: every other one ends with it
        wait("the ground's processes to end", lambda: not Path("/proc", str(pid)).exists(), 60)
        wait("the ground's network to go", lambda: not succeeds("ip", "link", "show", LINK), 60)
    _remove_cgroups()
    _restore_sysctls()
    shutil.rmtree(RUN, ignore_errors=True)


def _remember_sysctls() -> None:
    values = {name: Path("/proc/sys", name).read_text().strip() for name in SYSCTLS}
    (RUN / "sysctl.json").write_text(json.dumps(values))


def _restore_sysctls() -> None:
    with contextlib.suppress(FileNotFoundError):
        for name, value in json.loads((RUN / "sysctl.json").read_text()).items():
            Path("/proc/sys", name).write_text(value)


def _remove_cgroups() -> None:
    """Removes what the kubelet made; the kernel takes a moment to let go of each."""
    roots = [Path("/sys/fs/cgroup/kubepods"), *Path("/sys/fs/cgroup").glob("*/kubepods")]
    end = time.monotonic() + 10
    while time.monotonic() < end:
        stuck = [path for root in roots for path in _deepest_first(root) if not _removed(path)]
        if not stuck:
            return
        time.sleep(0.2)


def _deepest_first(root: Path) -> list[Path]:
    return [*sorted((path for path in root.rglob("*/")), reverse=True), root] if root.is_dir() else []


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
