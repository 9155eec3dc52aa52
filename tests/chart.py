"""The Helm chart as tests see it: rendered by Helm itself, as objects."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.ground.install import program

CHART = Path(__file__).parents[1] / "charts" / "millwright"
RELEASE, NAMESPACE = "millwright", "millwright-system"
Object = dict[str, Any]


@cache
def _program() -> str:
    return str(program("helm"))


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs Helm 4 without a cluster; builds it first where it is absent."""
    words = [_program(), *(str(word) for word in arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def template(values: Object | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `helm template` with these values over the chart's own."""
    flags = [word for key, value in (values or {}).items() for word in ("--set-json", f"{key}={json.dumps(value)}")]
    return helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *flags)


@cache
def _rendered(values: str) -> str:
    done = template(json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(**values: Any) -> list[Object]:
    """All objects of the chart with these values; `a__b=1` sets a.b."""
    text = _rendered(json.dumps({key.replace("__", "."): value for key, value in values.items()}, sort_keys=True))
    return [found for found in yaml.load_all(text, yaml.CSafeLoader) if found]


def refusal(**values: Any) -> str:
    """What Helm says when it refuses these values."""
    done = template({key.replace("__", "."): value for key, value in values.items()})
    assert done.returncode != 0, "helm took them"
    return done.stderr


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """The objects of one kind, by name."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] == kind}


def the(objects: list[Object], kind: str) -> Object:
    """The only object of a kind."""
    (found,) = of_kind(objects, kind).values()
    return found
