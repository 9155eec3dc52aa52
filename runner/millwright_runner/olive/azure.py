"""Olive's words for Azure ML: the workspace (`azureml_client`), models and files there → sources of ours."""

from __future__ import annotations

import re
from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import Path, show, shown, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work, label

EXECUTION = "spec.execution.azureML"

COORDINATES = {"subscription_id": "subscriptionId", "resource_group": "resourceGroup", "workspace_name": "workspace"}

KINDS = ("azureml_registry_model", "azureml_model", "azureml_datastore", "azureml_job_output")

_WORKSPACE = (
    r"subscriptions/(?P<subscriptionId>[^/]+)/resource_?groups/(?P<resourceGroup>[^/]+)"
    r"/(?:providers/Microsoft\.MachineLearningServices/)?workspaces/(?P<workspace>[^/]+)/"
)
_VERSION = r"(?:/versions/(?P<version>[^/]+)|/labels/(?P<label>[^/]+))?"
ADDRESSES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"azureml:/{{0,2}}(?:{_WORKSPACE})?datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)",
        rf"azureml:/{{0,2}}registries/(?P<registry>[^/]+)/models/(?P<name>[^/]+){_VERSION}",
        rf"azureml:/{{0,2}}{_WORKSPACE}models/(?P<name>[^/]+){_VERSION}",
        r"azureml:(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))?",
        r"azureml:/{0,2}jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/(?P<path>.*))?",
    )
)
FORMS = "azureml:NAME:VERSION, azureml://registries/REGISTRY/models/NAME/versions/VERSION, azureml://datastores/NAME/paths/PATH"

JOB_OUTPUT = (
    "a job's output has no address of its own here: find its place in the studio, where a job that chose none has it in the "
    "datastore workspaceblobstore at azureml/{job}/{output}/, and name it as azureML: {{datastore, path}}"
)

PLACEHOLDER = re.compile(
    r"^\s*(your\b|<.+>$|\$?\{.+\}$|\[.+\]$|(to ?do|tbd|x{3,}|change[ _-]?me|replace[ _-]?me)\b)", re.IGNORECASE
)


def remark(work: Work, found: Found) -> None:
    """Says of a value that was taken over, where it looks like a placeholder, that it is to be replaced."""
    if isinstance(found.value, str) and PLACEHOLDER.search(found.value):
        work.trace.note(found.path, f"{shown(found.path, found.value)} looks like a placeholder: put your own there")


def word(found: Found) -> str:
    """Returns a text, or a number as one: versions are written both ways. Raises InvalidManifest for all else."""
    if isinstance(found.value, bool) or not isinstance(found.value, str | int) or found.value == "":
        wrong(found.path, found.value, "text")
    return str(found.value)


def coordinates(work: Work, client: View) -> dict[str, tuple[Found, str]]:
    """Returns a workspace's coordinates, by our key: where each stands, and its value for the manifest.

    Raises:
        InvalidManifest: some of the three names are missing.
    """
    if file := client.text("aml_config_path"):
        return {"configFile": (file, work.paths.manifest(file.value))}
    named = {ours: client.text(olives) for olives, ours in COORDINATES.items()}
    given = {ours: (found, found.value) for ours, found in named.items() if found}
    if given and len(given) < len(named):
        missing = [olives for olives, ours in COORDINATES.items() if ours not in given]
        raise InvalidManifest(
            f"it names no {' and no '.join(missing)}",
            where=show(client.parts[0][0]),
            hint=f"{', '.join(COORDINATES)} together, or aml_config_path",
        )
    return given


def settle(work: Work, client: View, places: list[str], why: str = "no workspace is needed for it") -> None:
    """Says what became of an azureml_client.

    Args:
        places: where in the manifest its coordinates stand; none: nothing needs them.
        why: what is said of them then.
    """
    client.walk(load().sections["azureml_client"], "")
    taken = coordinates(work, client)
    for key, (found, _) in taken.items():
        if not work.trace.is_open(found.path):
            continue
        if places:
            work.trace.mapped(found.path, *(f"{place}.{key}" for place in places))
            remark(work, found)
        else:
            work.trace.note(found.path, why)
    for name in COORDINATES:
        overruled = client.get(name)
        if overruled and "configFile" in taken:
            work.trace.note(overruled.path, "aml_config_path goes before it")
    vault = client.text("keyvault_name")
    if vault and work.trace.is_open(vault.path):
        work.trace.note(vault.path, "no system that is used asks for a secret (hf_token)")
    work.trace.rest(client.parts[0][0])


def workspace(work: Work, view: View, place: str) -> dict[str, str]:
    """Returns the coordinates that a source needs besides those of spec.execution.

    Args:
        view: the resource, which may have an azureml_client of its own.
        place: where the source is in the manifest.
    """
    found = view.get("azureml_client")
    if found is None:
        keys = work.azure.client
        if keys and keys != work.azure.execution:
            work.azure.places.append(place)
    else:
        client = View.of(work.trace, found.path, found.value)
        keys = {key: value for key, (_, value) in coordinates(work, client).items()}
        settle(work, client, [EXECUTION if keys == work.azure.execution else place])
    return {} if keys == work.azure.execution else dict(keys)


def resource(work: Work, view: View, kind: Found, place: str) -> dict[str, Any] | None:
    """Returns the source that a resource of Azure ML names; None where it was listed as not taken over.

    Args:
        kind: its type, one of KINDS.
        place: where the source is in the manifest.

    Raises:
        InvalidManifest: a part is missing or wrong.
    """
    view.walk(load().sections["azureml_resource"], place, frozenset({"config"}))
    if kind.value == "azureml_datastore" and (url := view.text("datastore_url")):
        for name in ("datastore_name", "relative_path"):
            if other := view.get(name):
                work.trace.note(other.path, "datastore_url goes before it")
        made = address(work, url, place, view)
        if made is not None:
            work.trace.mapped(kind.path, place)
        return made
    needed = {
        "azureml_registry_model": {"registry_name": "registry", "name": "name", "version": "version"},
        "azureml_model": {"name": "name", "version": "version"},
        "azureml_datastore": {"datastore_name": "datastore", "relative_path": "path"},
        "azureml_job_output": {"job_name": "job", "output_name": "output", "relative_path": "path"},
    }[kind.value]
    parts: dict[str, str] = {}
    for olives, ours in needed.items():
        found = view.get(olives)
        if found is None:
            raise InvalidManifest(
                f"it names no {olives}", where=show(view.parts[0][0]), hint=f"{kind.value} has {', '.join(needed)}"
            )
        parts[ours] = word(found)
    if "job" in parts:
        _job_output(work, view.parts[0][0], parts)
        return None
    work.trace.mapped(kind.path, place)
    for olives, ours in needed.items():
        if found := view.get(olives):
            work.trace.mapped(found.path, f"{place}.{ours}")
            remark(work, found)
    return {**_of_workspace(work, view, place, registry="registry" in parts), **parts}


def _of_workspace(work: Work, view: View, place: str, *, registry: bool) -> dict[str, str]:
    """A registry is found without a workspace."""
    if not registry:
        return workspace(work, view, place)
    if found := view.get("azureml_client"):
        settle(work, View.of(work.trace, found.path, found.value), [])
    return {}


def address(work: Work, found: Found, place: str, view: View | None = None) -> dict[str, Any] | None:
    """Returns the source that an `azureml:` address names; None where it was listed as not taken over.

    Args:
        view: the resource around it, if any.

    Raises:
        InvalidManifest: it has none of the forms.
    """
    match = next((match for match in (form.fullmatch(found.value) for form in ADDRESSES) if match), None)
    if match is None:
        raise InvalidManifest(f"{found.value!r} is no address in Azure ML", where=show(found.path), hint=FORMS)
    parts = {key: value for key, value in match.groupdict().items() if value}
    if "job" in parts:
        _job_output(work, found.path, parts)
        return None
    around = view or View(work.trace, [])
    if "workspace" not in parts:
        keys = _of_workspace(work, around, place, registry="registry" in parts)
    else:
        if client := around.get("azureml_client"):
            settle(work, View.of(work.trace, client.path, client.value), [])
        keys = {key: parts.pop(key) for key in COORDINATES.values()}
        keys = {} if keys == work.azure.execution else keys
    work.trace.mapped(found.path, place)
    return {**keys, **parts}


def _job_output(work: Work, path: Path, parts: dict[str, str]) -> None:
    work.trace.unmapped(path, JOB_OUTPUT.format(job=parts["job"], output=parts["output"]), blocks=True)


def unknown_kind(kind: Found, others: tuple[str, ...]) -> InvalidManifest:
    """Returns what is wrong with a resource of another type."""
    hint = suggest(str(kind.value), (*others, *KINDS))
    return InvalidManifest(f"{kind.value!r} is no type of a resource", where=show(kind.path), hint=hint)


def stand_in(work: Work, folder: str, name: str) -> str:
    """Returns a path for what has to be fetched by hand."""
    return work.paths.manifest(f"{folder}/{label(name, 63)}")
