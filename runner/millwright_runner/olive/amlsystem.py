"""One system of type AzureML → spec.execution.azureML."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from millwright_api.azureml import AzureML
from millwright_api.errors import InvalidManifest
from millwright_runner.olive.azure import EXECUTION, coordinates, remark, settle, word
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work
from millwright_runner.problems import describe

ALIASES = (
    "azurend12ssystem", "azurend24rssystem", "azurend24ssystem", "azurendv2system", "azurend6ssystem", "azurend96a100system",
    "azurend96asystem",
)  # fmt: skip
"""Names of Olive's for AzureML on certain machines; which machine it is, aml_compute decides all the same."""

TOKEN = "hf-token"
"""The secret's name in Key Vault, which is fixed in Olive."""

AT_THE_END = "of a system that nothing uses, at the manifest's end"

NO_ENVIRONMENT = "no environment: aml_docker_config, or aml_environment_config"
NOT_COMPLETE = "the system has no environment of its own: add spec.execution.azureML by hand"


def is_azure(system: Found) -> bool:
    """Whether a system is of Azure ML."""
    kind = system.value.get("type") if isinstance(system.value, dict) else None
    return str(kind).lower() in ("azureml", *ALIASES)


def read_client(work: Work, top: View) -> View | None:
    """Takes note of the whole file's azureml_client, which what has none of its own has."""
    found = top.get("azureml_client")
    if found is None:
        return None
    client = View.of(work.trace, found.path, found.value)
    work.azure.client = {key: value for key, (_, value) in coordinates(work, client).items()}
    return client


class AzureSystem:
    """Reads a system.

    Args:
        found: the system.
        client: the whole file's azureml_client.
    """

    def __init__(self, work: Work, found: Found, client: View | None) -> None:
        self._work, self._found = work, found
        self._view = View.of(work.trace, found.path, found.value, "config")
        own = self._view.get("azureml_client_config")
        self._own = View.of(work.trace, own.path, own.value) if own else None
        self._client = self._own or client
        self._taken: list[tuple[Found, str]] = []

    def use(self) -> dict[str, Any] | None:
        """Returns spec.execution, None where it is made by hand: Olive builds the environment itself.

        Raises:
            InvalidManifest: something is missing or wrong.
        """
        work, missing = self._work, self._lacks()
        if missing == NO_ENVIRONMENT and self._view.get("olive_managed_env"):
            self._list(NOT_COMPLETE)
            work.azure.system = None
            work.azure.incomplete.append(self._found.path)
            return None
        if missing:
            raise InvalidManifest(f"it names {missing}", where=show(self._found.path))
        made = self._read()
        for found, to in self._taken:
            work.trace.mapped(found.path, EXECUTION + (f".{to}" if to else ""))
            remark(work, found)
        work.trace.origins[EXECUTION] = show(self._found.path)
        work.azure.execution = {key: made[key] for key in self._coordinates()}
        if self._own:
            settle(work, self._own, [EXECUTION])
        elif self._client:
            work.azure.places.append(EXECUTION)
        return {"azureML": made}

    def as_alternative(self) -> dict[str, Any] | None:
        """Returns the same for a system that nothing uses; None where it is not one that would do."""
        work = self._work
        if missing := self._lacks():
            self._list(f"it names {missing}; and nothing in the workflow runs there")
            return None
        made = self._read()
        try:
            AzureML.model_validate(made)
        except ValidationError as error:
            self._list(f"it is not possible here, and nothing runs there: {describe(error, AzureML)}")
            return None
        for found, _ in [*self._taken, *(self._coordinates().values() if self._own else ())]:
            if found.path[: len(self._found.path)] == self._found.path:
                work.trace.covered(found.path)
            elif work.trace.is_open(found.path):
                work.trace.note(found.path, AT_THE_END)
            remark(work, found)
        if self._own:
            settle(work, self._own, [])
        elif self._client:
            work.azure.at_the_end = True
        return {"azureML": made}

    def _list(self, why: str) -> None:
        self._work.trace.unmapped(self._found.path, why, blocks=False)

    def _lacks(self) -> str | None:
        view = self._view
        if view.get("aml_compute") is None:
            return "no aml_compute"
        both = (view.get("aml_docker_config"), view.get("aml_environment_config"))
        return None if any(found and found.value for found in both) else NO_ENVIRONMENT

    def _coordinates(self) -> dict[str, tuple[Found, str]]:
        return coordinates(self._work, self._client) if self._client else {}

    def _take(self, found: Found, to: str) -> Any:
        self._taken.append((found, to))
        return found.value

    def _read(self) -> dict[str, Any]:
        view = self._view
        view.walk(load().sections["azureml_system"], EXECUTION, frozenset({"config"}))
        out: dict[str, Any] = {key: value for key, (_, value) in self._coordinates().items()}
        if kind := view.get("type"):
            self._take(kind, "")
        if compute := view.text("aml_compute"):
            out["compute"] = self._take(compute, "compute")
        out |= self._resources()
        self._nodes(view)
        out["environment"] = self._environment()
        # In Olive a job always acts as who submits it.
        out["identity"] = {"type": "User"}
        text = "Olive's default, written out: identity User, the job acts as who submits it"
        self._work.trace.note((), text)
        if tags := self._tags():
            out["tags"] = tags
        if secrets := self._secrets():
            out["secrets"] = secrets
        return out

    def _resources(self) -> dict[str, str]:
        found = self._view.get("resources")
        if found is None:
            return {}
        view = View.of(self._work.trace, found.path, found.value)
        view.walk(load().sections["azureml_resources"], EXECUTION)
        self._nodes(view)
        kind = view.get("instance_type")
        if kind is None:
            return {}
        one = kind.value[0] if isinstance(kind.value, list) and len(kind.value) == 1 else kind.value
        if not isinstance(one, str):
            wrong(kind.path, kind.value, "instance type's name")
        self._take(kind, "instanceType")
        return {"instanceType": one}

    def _nodes(self, view: View) -> None:
        count = view.whole("instance_count")
        if count is None:
            return
        if count.value == 1:
            self._work.trace.note(count.path, "one node, as here")
        else:
            why = "this version trains on one node; further ones would each train the same"
            self._work.trace.unmapped(count.path, why, blocks=False)

    def _environment(self) -> dict[str, Any]:
        named, docker = self._view.get("aml_environment_config"), self._view.get("aml_docker_config")
        if not named or not named.value:
            return self._docker(docker) if docker else {}
        if docker:
            why = (
                "Olive takes it only where the environment of aml_environment_config is missing; here that is an error"
            )
            self._work.trace.unmapped(docker.path, why, blocks=False)
        view = View.of(self._work.trace, named.path, named.value)
        view.walk(load().sections["azureml_environment"], EXECUTION)
        if view.get("name") is None:
            raise InvalidManifest("it names no environment", where=show(named.path), hint="name, with version or label")
        keys = {key: view.get(key) for key in ("name", "version", "label")}
        return {
            key: word(Found(found.path, self._take(found, f"environment.{key}")))
            for key, found in keys.items()
            if found
        }

    def _docker(self, found: Found) -> dict[str, Any]:
        work = self._work
        view = View.of(work.trace, found.path, found.value)
        view.walk(load().sections["azureml_docker"], EXECUTION)
        keys = ("base_image", "build_context_path", "dockerfile", "conda_file_path")
        image, context, dockerfile, conda = (view.text(key) for key in keys)
        if context:
            for other in (image, conda):
                if other:
                    work.trace.note(other.path, "no effect beside build_context_path, as in Olive")
            build = {"path": work.paths.manifest(self._take(context, "environment.build.path"))}
            if dockerfile:
                build["dockerfile"] = self._take(dockerfile, "environment.build.dockerfile")
            return {"build": build}
        if image is None:
            raise InvalidManifest(
                "it names no image", where=show(found.path), hint="base_image, or build_context_path with dockerfile"
            )
        if dockerfile:
            work.trace.note(dockerfile.path, "no effect without build_context_path, as in Olive")
        made = {"image": self._take(image, "environment.image")}
        if conda:
            made["condaFile"] = work.paths.manifest(self._take(conda, "environment.condaFile"))
        return made

    def _tags(self) -> dict[str, str]:
        found = self._view.get("tags")
        if found is None:
            return {}
        if not isinstance(found.value, dict):
            wrong(found.path, found.value, "mapping")
        if not found.value:
            self._work.trace.note(found.path, "nothing is set")
        tags: dict[str, str] = {}
        for key, value in found.value.items():
            path: Path = (*found.path, key)
            if isinstance(value, dict | list) or value is None:
                wrong(path, value, "text")
            tags[key] = str(self._take(Found(path, value), f"tags.{key}"))
        return tags

    def _secrets(self) -> list[dict[str, Any]]:
        asked = self._view.flag("hf_token")
        if asked is None:
            return []
        if not asked.value:
            self._work.trace.note(asked.path, "off")
            return []
        self._take(asked, "secrets[0]")
        secret = {"secret": TOKEN}
        if vault := self._client.text("keyvault_name") if self._client else None:
            secret["vault"] = self._take(vault, "secrets[0].keyVault.vault")
        else:
            text = f"no keyvault_name: the secret {TOKEN} is read from the workspace's own Key Vault"
            self._work.trace.note((), text)
        return [{"name": "HF_TOKEN", "keyVault": secret}]
