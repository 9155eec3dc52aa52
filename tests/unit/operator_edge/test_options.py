"""Settings from the environment, and what a person is told of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millwright_operator.options import InvalidSetting, Options


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "millwright_operator", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestReading:
    def test_nothing_needs_to_be_set(self) -> None:
        options = Options.read({})

        assert options.namespaces == ()
        assert (options.progress_port, options.metrics_port, options.probes_port) == (8443, 8080, 8081)
        assert options.tls_cert is None

    def test_what_the_chart_sets_is_understood(self) -> None:
        options = Options.read(
            {
                "MILLWRIGHT_NAMESPACES": "team-b, team-a,",
                "MILLWRIGHT_PREFLIGHT_RESOURCES": '{"limits": {"memory": "1Gi"}}',
                "MILLWRIGHT_ALLOW_REMOTE_CODE": "1",
                "MILLWRIGHT_TLS_CERT": "/etc/millwright/tls/tls.crt",
                "MILLWRIGHT_TLS_KEY": "/etc/millwright/tls/tls.key",
                "SOMETHING_ELSE": "x",
            }
        )

        assert options.namespaces == ("team-a", "team-b")
        assert options.preflight_resources == {"limits": {"memory": "1Gi"}}
        assert options.allow_remote_code is True
        assert options.tls_cert == Path("/etc/millwright/tls/tls.crt")

    @pytest.mark.parametrize(
        ("name", "value", "possible"),
        [
            ("MILLWRIGHT_WORKERS", "many", "a whole number, 1 or more"),
            ("MILLWRIGHT_WORKERS", "0", "a whole number, 1 or more"),
            ("MILLWRIGHT_METRICS_PORT", "70000", "a port: 1 to 65535"),
            ("MILLWRIGHT_METRICS_PORT", "-1", "a port: 1 to 65535"),
            ("MILLWRIGHT_ALLOW_REMOTE_CODE", "yes", "1 or 0"),
            ("MILLWRIGHT_LOG_FORMAT", "xml", "one of json, plain"),
            ("MILLWRIGHT_IMAGE_PULL_POLICY", "always", "Always, IfNotPresent, Never"),
            ("MILLWRIGHT_PREFLIGHT_RESOURCES", "1Gi", "a JSON object"),
            ("MILLWRIGHT_PREFLIGHT_RESOURCES", "[]", "a JSON object"),
        ],
    )
    def test_what_cannot_be_is_refused_with_what_can(self, name: str, value: str, possible: str) -> None:
        with pytest.raises(InvalidSetting, match=f"^{name}: '") as refused:
            Options.read({name: value})

        assert value in str(refused.value)
        assert possible.split(":", maxsplit=1)[0] in str(refused.value)

    def test_a_certificate_without_its_key_is_refused(self) -> None:
        with pytest.raises(InvalidSetting, match="belong together"):
            Options.read({"MILLWRIGHT_TLS_CERT": "/tls.crt"})


class TestWhatJobsAreMadeWith:
    def test_images_and_limits_go_through(self) -> None:
        platform = Options.read({"MILLWRIGHT_RUNNER_IMAGE": "r:1", "MILLWRIGHT_PREFLIGHT_DEADLINE": "90"}).platform(
            None
        )

        assert (platform.runner_image, platform.preflight_deadline, platform.image_pull_policy) == ("r:1", 90, None)

    @pytest.mark.parametrize(("url", "ca"), [("", "PEM"), ("https://p/v1/progress", None)])
    def test_pods_report_only_where_url_and_ca_are_known(self, url: str, ca: str | None) -> None:
        platform = Options.read({"MILLWRIGHT_PROGRESS_URL": url}).platform(ca)

        assert (platform.progress_url, platform.progress_ca) == (None, None)


class TestTheCommand:
    def test_help_teaches_each_setting(self) -> None:
        done = command("--help")

        assert done.returncode == 0
        assert "MILLWRIGHT_NAMESPACES" in done.stdout
        assert "Empty: all of the cluster." in done.stdout
        assert "MILLWRIGHT_PREFLIGHT_DEADLINE=600" in done.stdout

    def test_a_wrong_setting_ends_it_with_one_line(self) -> None:
        done = command(MILLWRIGHT_WORKERS="x")

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "MILLWRIGHT_WORKERS: 'x' is not possible; it takes a whole number, 1 or more\n"

    def test_a_certificate_needs_to_know_its_secret_and_its_names(self) -> None:
        done = command("certificate", MILLWRIGHT_CERTIFICATE_SECRET="tls")

        assert done.returncode == 2
        assert done.stderr.startswith("MILLWRIGHT_CERTIFICATE_DNS, POD_NAMESPACE: not set;")

    def test_without_a_cluster_it_says_so(self, tmp_path: Path) -> None:
        ports = {"MILLWRIGHT_PROBES_PORT": "0", "MILLWRIGHT_METRICS_PORT": "0"}

        done = command(HOME=str(tmp_path), KUBECONFIG=str(tmp_path / "none"), **ports)

        assert done.returncode == 1
        assert "no service account of a pod, and no kubeconfig that can be used" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
