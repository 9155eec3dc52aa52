"""The images: built with buildah, kept in the ground's registry, pulled from there by the node."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, cast

from tests.cluster.ground.install import add_debian_packages
from tests.cluster.ground.programs import ctr
from tests.cluster.ground.settings import (
    BASE_IMAGE,
    BIN,
    HOME,
    PAUSE_IMAGE,
    PROJECT,
    REGISTRY,
    RUN,
    STORE,
    TARGETS,
)
from tests.cluster.ground.shell import locked, run, say

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
NAME = "millwright"
BASE_PACKAGES = "ca-certificates,python3.11,python3-pip,python3-venv"


def build_all() -> None:
    """Builds the project's images.

    Raises:
        GroundError: a build failed.
    """
    # The stage that no image is made from has a name too, so that a prune leaves it for the next build.
    for target in ("code", *TARGETS):
        build(f"{NAME}/{target}:dev", "--target", target, str(PROJECT))
    _drop_untagged()


def push_all() -> dict[str, str]:
    """Pushes them and returns their references by target. The node keeps no older ones: a runner takes ten gigabytes there."""
    references = {target: push(f"{NAME}/{target}:dev") for target in TARGETS}
    prune()
    return references


def build(name: str, *options: str) -> None:
    """Builds an image. Layers are kept, so that a change to the code alone takes seconds.

    The machine's certificates are in the build, as PIP_CERT too, for machines behind a proxy with certificates of its own.

    Args:
        name: as in millwright/runner:dev.
        options: of `buildah build`, and the context.
    """
    add_debian_packages()
    with locked(HOME / "images.lock"):
        _make_base()
        began = time.monotonic()
        trust: list[str] = []
        if Path(CERTIFICATES).exists():
            trust = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--build-arg", f"PIP_CERT={CERTIFICATES}"]
        how = ("--isolation", "chroot", "--pull=never", "--layers", "--force-rm")
        _buildah("build", *how, *trust, "--tag", f"{REGISTRY}/{name}", *options)
        say(f"{name}: built in {time.monotonic() - began:.1f} s")


def push(name: str) -> str:
    """Pushes an image to the ground's registry and has the node pull it, which takes minutes for a large one's first time.

    Returns:
        Its reference by digest: a change of the code is another one.
    """
    tag = f"{REGISTRY}/{name}"
    with tempfile.NamedTemporaryFile("r") as digest:
        began = time.monotonic()
        _buildah("push", "--quiet", "--tls-verify=false", "--digestfile", digest.name, tag)
        reference = f"{tag.rpartition(':')[0]}@{digest.read().strip()}"
    ctr("images", "pull", "--hosts-dir", RUN / "registries", reference)
    say(f"{name}: pushed and pulled in {time.monotonic() - began:.1f} s")
    return reference


def remove(name: str) -> None:
    """Removes an image from buildah's store, with the layers that it alone has."""
    _buildah("rmi", f"{REGISTRY}/{name}")


def megabytes(name: str) -> float:
    """An image's size on disk, in units of 10^6 bytes: all layers, uncompressed."""
    listed = json.loads(_buildah("images", "--json", f"{REGISTRY}/{name}"))
    number, unit = listed[0]["size"].split()
    return float(number) * {"KB": 1e-3, "MB": 1.0, "GB": 1e3}[unit.upper()]


def inspect(name: str) -> dict[str, Any]:
    """An image's configuration as OCI has it."""
    found = json.loads(_buildah("inspect", "--type", "image", f"{REGISTRY}/{name}"))
    return cast("dict[str, Any]", found["OCIv1"])


def _buildah(*arguments: object) -> str:
    """Runs buildah on a store of the ground's own: what else this machine builds is none of its business."""
    return run("buildah", "--root", STORE / "buildah", "--runroot", HOME / "buildah-run", *arguments)


def _make_base() -> None:
    """Stands in for Python's official image where no public image registry is in reach: Debian 12 with its Python 3.11."""
    if BASE_IMAGE in _buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return
    say("making the base image with debootstrap, about a minute, once per machine")
    root = STORE / "base"
    shutil.rmtree(root, ignore_errors=True)
    run("debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", "bookworm", root)
    for folder in ("var/lib/apt/lists", "var/cache/apt/archives"):
        shutil.rmtree(root / folder)
    (root / "usr/bin/python").symlink_to("python3.11")
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    container = _buildah("from", "scratch").strip()
    _buildah("add", "--quiet", container, root, "/")
    _buildah("config", "--cmd", "python3", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
    _buildah("commit", "--quiet", "--rm", container, BASE_IMAGE)
    shutil.rmtree(root)


def load_pause() -> None:
    """Gives the node the image of a pod's first container: one layer with one static file, written here."""
    if PAUSE_IMAGE in ctr("images", "list", "--quiet"):
        return
    root = RUN / "pause"
    root.mkdir()
    shutil.copy(BIN / "pause", root / "pause")
    run("tar", "-C", root, "-cf", root / "layer.tar", "pause")
    digest = run("sha256sum", root / "layer.tar").split()[0]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    name = PAUSE_IMAGE.removeprefix("docker.io/")
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    (root / "config.json").write_text(json.dumps(config))
    (root / "manifest.json").write_text(json.dumps(manifest))
    run("tar", "-C", root, "-cf", RUN / "pause.tar", "manifest.json", "config.json", "layer.tar")
    ctr("images", "import", RUN / "pause.tar")


def collect_garbage() -> None:
    """Removes from the registry what no tag names any more; only while it does not run."""
    if (STORE / "registry" / "docker").exists():
        run(BIN / "registry", "garbage-collect", "--delete-untagged", RUN / "registry.yaml")


def prune() -> None:
    """Removes older images from buildah's store and from the node: disk does not grow without bound."""
    _drop_untagged()
    with locked(HOME / "images.lock"):
        kept = {digest_in_registry(target) for target in TARGETS}
        rows = [line.split() for line in ctr("images", "list").splitlines()[1:]]
        names = outdated([(row[0], row[2]) for row in rows], kept)
        if names:
            ctr("images", "remove", "--sync", *names)
            say(f"removed {len(names)} names of older images from the node")


def _drop_untagged() -> None:
    with locked(HOME / "images.lock"):
        _buildah("rmi", "--prune")


def outdated(images: list[tuple[str, str]], kept: set[str]) -> list[str]:
    """Returns the names on the node that stand for images of ours which the registry has no longer.

    The kubelet's own names of an image (sha256:ID) go with its last other name; they hold its layers else.

    Args:
        images: name and digest of each.
        kept: digests that the registry has.
    """
    ours = [(name, digest) for name, digest in images if name.startswith(f"{REGISTRY}/{NAME}/")]
    gone = {name for name, _ in ours if is_outdated(name, kept)}
    named = {digest for name, digest in images if not name.startswith("sha256:") and name not in gone}
    return [name for name, digest in images if name in gone or (name.startswith("sha256:") and digest not in named)]


def is_outdated(name: str, kept: set[str]) -> bool:
    """Whether the node has an image of ours under this name that the registry has no longer."""
    repository, _, digest = name.partition("@")
    return repository.startswith(f"{REGISTRY}/{NAME}/") and bool(digest) and digest not in kept


def digest_in_registry(target: str) -> str:
    """The digest that the registry has for an image of ours; empty where there is none."""
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    request = urllib.request.Request(
        f"http://{REGISTRY}/v2/{NAME}/{target}/manifests/dev", headers=accept, method="HEAD"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return str(answer.headers["Docker-Content-Digest"])
    except urllib.error.HTTPError:
        return ""
