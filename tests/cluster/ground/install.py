"""Builds the ground's programs, once per machine: each has a stamp of what it was built from beside it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.ground.settings import (
    BIN,
    DEBIAN,
    HERE,
    HOME,
    KUBERNETES,
    KWOK,
    KWOK_STAGES,
    KWOK_VERSION,
    MODULES,
    OPTIONAL,
    PROJECT,
)
from tests.cluster.ground.shell import GroundError, locked, run, say

MINUTES = {"kubernetes": 9, "dns": 2, "versitygw": 2, "registry": 2, "helm": 4, "kwok": 2}
FOLDERS = ("kubernetes", "dns")
PROGRAMS = (*FOLDERS, *MODULES, "pause", "kubectl")


def install(names: Iterable[str] = ()) -> None:
    """Builds what is not there yet: these programs, or all but the optional ones.

    Raises:
        GroundError: a name is none of the programs', or a build failed.
    """
    wanted = list(names) or [name for name in PROGRAMS if name not in OPTIONAL]
    for name in wanted:
        if name not in PROGRAMS:
            raise GroundError(f"{name} is none of the ground's programs; there are {', '.join(PROGRAMS)}")
    with locked(HOME / "install.lock"):
        BIN.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            source = _source(name)
            if not is_built(name, source):
                _build(name)
                (BIN / f"{name}.stamp").write_text(source)


def program(name: str) -> Path:
    """Where a program is; builds it when it is not there yet."""
    install([name])
    return BIN / name


def is_built(name: str, source: str) -> bool:
    """Whether a program is there, built from this source."""
    stamp = BIN / f"{name}.stamp"
    return (BIN / name).exists() and stamp.exists() and stamp.read_text() == source


def add_debian_packages() -> None:
    """Installs what of Debian's packages is absent.

    Raises:
        GroundError: it can't; the message names them.
    """
    absent = [packages for name, packages in DEBIAN.items() if not _found(name)]
    if absent:
        say(f"installing {', '.join(absent)} with apt-get")
        words = [word for packages in absent for word in packages.split()]
        run(PROJECT / "tools" / "apt.sh", "what the test cluster needs", *words)


def _found(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _source(name: str) -> str:
    """What a program is made from, as text: another text is another build."""
    if name in FOLDERS:
        return "".join(file.read_text() for file in sorted((HERE / name).iterdir()))
    if name == "pause":
        return (HERE / "pause.c").read_text()
    if name == "kubectl":
        return _kubectl()
    return MODULES[name]


def _kubectl() -> str:
    return f'#!/bin/sh\nexec {BIN}/kubernetes kubectl "$@"\n'


def _build(name: str) -> None:
    began = time.monotonic()
    if name == "kubectl":
        _write_script(BIN / name, _kubectl())
        return
    if name == "pause":
        run("gcc", "-static", "-O2", "-o", BIN / name, HERE / "pause.c")
        return
    say(f"building {name}, about {MINUTES[name]} min, once per machine")
    go = run(PROJECT / "tools" / "go.sh").strip()
    env = os.environ | {"CGO_ENABLED": "0", "GOBIN": str(BIN), "GOTOOLCHAIN": "local"}
    if name in FOLDERS:
        flags = f"-s -w {_version_flags()}"
        run(
            go,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            flags,
            "-o",
            BIN / name,
            ".",
            cwd=HERE / name,
            env=env,
        )
    else:
        run(go, "install", "-trimpath", "-ldflags", "-s -w", MODULES[name], env=env)
    if name == "kwok":
        _copy_kwok_stages(go, env)
    say(f"built {name} in {time.monotonic() - began:.0f} s")


def _version_flags() -> str:
    """Client and server say their version from variables that the linker sets."""
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    base, client = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
    return (
        f"-X {base}.gitVersion={KUBERNETES} -X {client}.gitVersion={KUBERNETES}"
        f" -X {base}.gitMajor={major} -X {base}.gitMinor={minor}"
    )


def _copy_kwok_stages(go: str, env: dict[str, str]) -> None:
    """kwok simulates nothing without its stages, which lie in its module."""
    module = Path(run(go, "env", "GOMODCACHE", env=env).strip()) / f"{KWOK}@{KWOK_VERSION}"
    shutil.rmtree(KWOK_STAGES, ignore_errors=True)
    for kind in ("node", "pod"):
        shutil.copytree(module / "kustomize" / "stage" / kind, KWOK_STAGES / kind)


def _write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
