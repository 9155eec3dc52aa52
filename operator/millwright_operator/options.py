"""The operator's settings, from environment variables: what each means, its unit, and why one would change it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from millwright_operator.platform import Platform


class InvalidSetting(ValueError):
    """An environment variable says what cannot be; the message names it, what was found and what is possible."""


def _text(value: str) -> str:
    return value


def _names(value: str) -> tuple[str, ...]:
    return tuple(sorted({name.strip() for name in value.split(",") if name.strip()}))


def _whole(least: int, most: int, possible: str) -> Callable[[str], int]:
    def parse(value: str) -> int:
        """Reads a whole number within the bounds."""
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise InvalidSetting(possible)
        return number

    return parse


_port = _whole(0, 65535, "a port: 1 to 65535, or 0 for any free one")
_positive = _whole(1, 10**9, "a whole number, 1 or more")


def _flag(value: str) -> bool:
    if value not in ("0", "1", ""):
        raise InvalidSetting("1 or 0")
    return value == "1"


def _file(value: str) -> Path | None:
    return Path(value) if value else None


def _object(value: str) -> dict[str, Any]:
    try:
        found = json.loads(value or "{}")
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise InvalidSetting('a JSON object: {"limits": {"memory": "1Gi"}}')
    return found


def _one_of(*possible: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        """Takes one of the possible words."""
        if value not in possible:
            raise InvalidSetting(f"one of {', '.join(possible)}")
        return value

    return parse


def _setting(name: str, parse: Callable[[str], Any], default: str, about: str) -> Any:
    return field(
        default_factory=lambda: parse(default),
        metadata={"name": name, "parse": parse, "default": default, "about": about},
    )


@dataclass(frozen=True)
class Options:
    """All settings; `python -m millwright_operator --help` lists them with their meaning."""

    namespaces: tuple[str, ...] = _setting(
        "MILLWRIGHT_NAMESPACES", _names, "", "Namespaces to work in, with commas between. Empty: all of the cluster."
    )
    runner_image: str = _setting(
        "MILLWRIGHT_RUNNER_IMAGE", _text, "millwright/runner", "Image of stages, unless a job names its own."
    )
    preflight_image: str = _setting(
        "MILLWRIGHT_PREFLIGHT_IMAGE", _text, "millwright/preflight", "Image of preflights and reports: light, no torch."
    )
    azure_image: str = _setting(
        "MILLWRIGHT_AZURE_IMAGE",
        _text,
        "millwright/azure",
        "Image of preflights and reports of jobs that name something in Azure, and of the pods that run a job on Azure ML.",
    )
    image_pull_policy: str = _setting(
        "MILLWRIGHT_IMAGE_PULL_POLICY",
        _one_of("", "Always", "IfNotPresent", "Never"),
        "",
        "imagePullPolicy of all pods. Empty: as Kubernetes decides.",
    )
    preflight_resources: Mapping[str, Any] = _setting(
        "MILLWRIGHT_PREFLIGHT_RESOURCES", _object, "{}", "Resources of pods that do no passes, as JSON."
    )
    preflight_deadline: int = _setting(
        "MILLWRIGHT_PREFLIGHT_DEADLINE",
        _positive,
        "600",
        "Seconds that a preflight may take, image pull and waiting for a node included.",
    )
    allow_remote_code: bool = _setting(
        "MILLWRIGHT_ALLOW_REMOTE_CODE", _flag, "0", "1: models may bring Python code when their manifest asks for it."
    )
    progress_url: str = _setting(
        "MILLWRIGHT_PROGRESS_URL", _text, "", "Where pods report to: https://host:8443/v1/progress. Empty: nowhere."
    )
    progress_ca: Path | None = _setting(  # noqa: RUF009
        "MILLWRIGHT_PROGRESS_CA",
        _file,
        "",
        "File with the CA of the endpoint's certificate; read again when it changes.",
    )
    tls_cert: Path | None = _setting(  # noqa: RUF009
        "MILLWRIGHT_TLS_CERT", _file, "", "File with the endpoint's certificate. Empty: there is no endpoint."
    )
    tls_key: Path | None = _setting(  # noqa: RUF009
        "MILLWRIGHT_TLS_KEY", _file, "", "File with the endpoint's private key."
    )
    progress_port: int = _setting("MILLWRIGHT_PROGRESS_PORT", _port, "8443", "Port of the progress endpoint.")
    metrics_port: int = _setting("MILLWRIGHT_METRICS_PORT", _port, "8080", "Port of /metrics, for Prometheus.")
    probes_port: int = _setting("MILLWRIGHT_PROBES_PORT", _port, "8081", "Port of /healthz and /readyz.")
    lease_name: str = _setting(
        "MILLWRIGHT_LEASE_NAME", _text, "millwright", "Name of the Lease that elects the leader."
    )
    lease_namespace: str = _setting(
        "MILLWRIGHT_LEASE_NAMESPACE",
        _text,
        "",
        "Namespace of the Lease. Empty: no election; then at most one operator may run.",
    )
    workers: int = _setting(
        "MILLWRIGHT_WORKERS", _positive, "32", "Jobs reconciled at once; each holds at most one connection."
    )
    resync_seconds: int = _setting(
        "MILLWRIGHT_RESYNC_SECONDS",
        _positive,
        "300",
        "Seconds between two comparisons of what was watched with what is there: finds a watch that fell silent.",
    )
    log_format: str = _setting("MILLWRIGHT_LOG_FORMAT", _one_of("json", "plain"), "plain", "json or plain.")
    log_level: str = _setting(
        "MILLWRIGHT_LOG_LEVEL", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "DEBUG, INFO, WARNING or ERROR."
    )
    pod_name: str = _setting(
        "POD_NAME", _text, "", "The operator's own pod: the leader labels it, so that the Service finds the leader."
    )
    pod_namespace: str = _setting("POD_NAMESPACE", _text, "", "The operator's own namespace.")
    certificate_secret: str = _setting(
        "MILLWRIGHT_CERTIFICATE_SECRET", _text, "", "`certificate` only: name of the Secret to create."
    )
    certificate_dns: tuple[str, ...] = _setting(
        "MILLWRIGHT_CERTIFICATE_DNS", _names, "", "`certificate` only: names that it is good for, with commas between."
    )

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Options:
        """Returns the settings that an environment has.

        Raises:
            InvalidSetting: one of them cannot be understood.
        """
        found: dict[str, Any] = {}
        for setting in fields(cls):
            name, text = setting.metadata["name"], environment.get(setting.metadata["name"])
            if text is None:
                continue
            try:
                found[setting.name] = setting.metadata["parse"](text)
            except InvalidSetting as possible:
                raise InvalidSetting(f"{name}: {text!r} is not possible; it takes {possible}") from None
        options = cls(**found)
        if (options.tls_cert is None) != (options.tls_key is None):
            raise InvalidSetting("MILLWRIGHT_TLS_CERT and MILLWRIGHT_TLS_KEY belong together; one of them is not set")
        return options

    @classmethod
    def describe(cls) -> str:
        """Returns all settings with their defaults and meaning, for people."""
        lines: list[str] = []
        for setting in fields(cls):
            default = setting.metadata["default"]
            lines += [f"  {setting.metadata['name']}" + (f"={default}" if default else "")]
            lines += [f"      {setting.metadata['about']}"]
        return "\n".join(lines)

    def check_certificate(self) -> None:
        """Checks what making a certificate needs.

        Raises:
            InvalidSetting: something of it is not set.
        """
        needed = {
            "MILLWRIGHT_CERTIFICATE_SECRET": self.certificate_secret,
            "MILLWRIGHT_CERTIFICATE_DNS": self.certificate_dns,
            "POD_NAMESPACE": self.pod_namespace,
        }
        if missing := [name for name, value in needed.items() if not value]:
            raise InvalidSetting(f"{', '.join(missing)}: not set; a certificate needs all of {', '.join(needed)}")

    def platform(self, progress_ca: str | None) -> Platform:
        """Returns what jobs' children are made with.

        Args:
            progress_ca: PEM of the endpoint's CA, as it is now; without one nothing can be reported.
        """
        reports = bool(self.progress_url and progress_ca)
        return Platform(
            runner_image=self.runner_image,
            preflight_image=self.preflight_image,
            azure_image=self.azure_image,
            image_pull_policy=self.image_pull_policy or None,
            progress_url=self.progress_url if reports else None,
            progress_ca=progress_ca if reports else None,
            allow_remote_code=self.allow_remote_code,
            preflight_resources=self.preflight_resources,
            preflight_deadline=self.preflight_deadline,
        )
