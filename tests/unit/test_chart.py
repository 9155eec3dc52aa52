"""charts/millwright as Helm renders it; tests/cluster/test_chart.py installs it."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
import yaml
from tests.chart import CHART, NAMESPACE, Object, helm, of_kind, refusal, render, template, the

from millwright_operator.options import Options

DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGES = ("operator", "preflight", "azure", "runner")


def pod(objects: list[Object], kind: str = "Deployment") -> Object:
    return the(objects, kind)["spec"]["template"]["spec"]


def environment(objects: list[Object], kind: str = "Deployment") -> dict[str, Any]:
    (container,) = pod(objects, kind)["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


class TestTheChart:
    def test_helm_finds_no_fault(self) -> None:
        done = helm("lint", "--strict", CHART)

        assert done.returncode == 0, done.stdout

    def test_its_values_name_the_images_of_its_own_version(self) -> None:
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())

        assert {values["images"][name]["tag"] for name in IMAGES} == {chart["appVersion"]}

    def test_every_object_says_what_it_belongs_to(self) -> None:
        without = [
            (found["kind"], found["metadata"]["name"])
            for found in render(networkPolicy__enabled=True, podDisruptionBudget__enabled=True)
            if found["kind"] != "CustomResourceDefinition"
            and found["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "millwright"
        ]

        assert without == []

    def test_nothing_is_left_by_uninstall_for_want_of_an_owner(self) -> None:
        hooks = [found["metadata"]["name"] for found in render() if "helm.sh/hook" in str(found["metadata"])]

        assert hooks == []

    def test_rendered_twice_it_is_the_same(self) -> None:
        first, second = (helm("template", "m", CHART).stdout for _ in range(2))

        assert first == second != ""

    @pytest.mark.parametrize("release", ["a" * 53, "millwright-" + "b" * 42, "m"])
    def test_names_stay_within_what_kubernetes_takes(self, release: str) -> None:
        text = helm("template", release, CHART, "--namespace", "n" * 63).stdout
        names = [found["metadata"]["name"] for found in yaml.load_all(text, yaml.CSafeLoader) if found]

        assert [name for name in names if ":" not in name and "." not in name and len(name) > 60] == []

    def test_a_release_with_dots_in_its_name_has_a_service_without(self) -> None:
        text = helm("template", "team.a", CHART).stdout

        assert the(list(filter(None, yaml.load_all(text, yaml.CSafeLoader))), "Service")["metadata"]["name"] == (
            "team-a-millwright-progress"
        )

    def test_names_that_yaml_would_read_as_numbers_or_truth_are_text(self) -> None:
        flags = ("--set-string", "serviceAccount.name=42,priorityClassName=7,progress.tls.existingSecret=1")
        text = helm("template", "true", CHART, "--namespace", "1234", "--set-json", 'watchNamespaces=["99"]', *flags)
        objects = [found for found in yaml.load_all(text.stdout, yaml.CSafeLoader) if found]

        named = [found["metadata"] for found in objects] + [
            role for found in objects for role in found.get("subjects", [])
        ]
        namespaces = {each["namespace"] for each in named if "namespace" in each}
        deployment = the(objects, "Deployment")["spec"]

        assert namespaces == {"1234", "99"}
        assert deployment["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "true"
        assert pod(objects)["serviceAccountName"] == "42"
        assert pod(objects)["priorityClassName"] == "7"
        assert pod(objects)["volumes"][1]["secret"]["secretName"] == "1"
        assert {type(value) for value in environment(objects).values()} == {str, dict}


class TestTheOperatorsPod:
    def test_it_is_restricted(self) -> None:
        for kind in ("Deployment", "Job"):
            spec = pod(render(), kind)

            assert spec["securityContext"] == {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert [c["securityContext"] for c in spec["containers"]] == [
                {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
            ]

    @pytest.mark.parametrize("name", IMAGES)
    def test_a_digest_wins_over_the_tag(self, name: str) -> None:
        objects = render(**{f"images__{name}__digest": DIGEST})

        used = {
            "operator": pod(objects)["containers"][0]["image"],
            "preflight": environment(objects)["MILLWRIGHT_PREFLIGHT_IMAGE"],
            "azure": environment(objects)["MILLWRIGHT_AZURE_IMAGE"],
            "runner": environment(objects)["MILLWRIGHT_RUNNER_IMAGE"],
        }
        assert used == {other: f"millwright/{other}:0.1.0" for other in IMAGES} | {name: f"millwright/{name}@{DIGEST}"}

    def test_the_job_for_the_certificate_has_the_operators_image(self) -> None:
        objects = render(images__operator={"repository": "mirror/op", "digest": DIGEST})

        assert pod(objects, "Job")["containers"][0]["image"] == f"mirror/op@{DIGEST}"

    def test_its_namespaces_are_told(self) -> None:
        assert environment(render())["MILLWRIGHT_NAMESPACES"] == ""
        assert environment(render(watchNamespaces=["team-a", "team-b"]))["MILLWRIGHT_NAMESPACES"] == "team-a,team-b"

    def test_models_bring_no_code_unless_the_platform_says_so(self) -> None:
        assert "MILLWRIGHT_ALLOW_REMOTE_CODE" not in environment(render())
        assert environment(render(allowRemoteCode=True))["MILLWRIGHT_ALLOW_REMOTE_CODE"] == "1"

    def test_probes_reach_ports_that_it_has(self) -> None:
        (container,) = pod(render())["containers"]
        ports = {port["name"] for port in container["ports"]}
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}

        assert {probe["port"] for probe in probes.values()} <= ports
        assert {name: probe["path"] for name, probe in probes.items()} == {
            "startup": "/healthz",
            "liveness": "/healthz",
            "readiness": "/readyz",
        }

    def test_an_upgrade_never_leaves_it_without_a_standby(self) -> None:
        assert the(render(), "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}

    def test_what_places_a_pod_is_passed_on(self) -> None:
        placed = {
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "system", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
            ],
            "priorityClassName": "system-cluster-critical",
            "imagePullSecrets": [{"name": "registry"}],
        }

        spec = pod(render(**placed))

        assert {name: spec[name] for name in placed} == placed

    def test_labels_of_ones_own_do_not_displace_those_it_is_found_by(self) -> None:
        deployment = the(render(podLabels={"team": "ml", "app.kubernetes.io/name": "other"}), "Deployment")["spec"]

        labels = deployment["template"]["metadata"]["labels"]
        assert labels["team"] == "ml"
        assert labels.items() >= deployment["selector"]["matchLabels"].items()

    def test_no_key_stands_twice_whatever_labels_and_annotations_are_given(self) -> None:
        # Kustomize, and so Flux's and Argo CD's post-rendering, refuses a mapping that has a key twice
        values = {
            "podLabels": {"app.kubernetes.io/name": "other", "app.kubernetes.io/part-of": "other"},
            "podAnnotations": {"kubectl.kubernetes.io/default-container": "other"},
        }

        rendered = template(values | {"crds.enabled": False}).stdout

        assert [list(found) for found in yaml.load_all(rendered, NoKeyTwice) if found] != []


class NoKeyTwice(yaml.SafeLoader):
    """Refuses a mapping with a key that stands in it twice, which PyYAML itself takes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert sorted(set(keys)) == sorted(keys), f"twice: {keys}{node.start_mark}"
        return super().construct_mapping(node, deep)


class TestTheCertificatesPod:
    """It has to get past what the namespace demands of pods, as the operator has: else nothing starts."""

    def test_it_is_labelled_placed_and_limited_as_the_operator_is(self) -> None:
        placed = {
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "system", "operator": "Exists"}],
            "priorityClassName": "system-cluster-critical",
            "imagePullSecrets": [{"name": "registry"}],
            "resources": {"limits": {"cpu": "1", "memory": "384Mi"}},
        }
        more = {"podLabels": {"team": "ml"}, "podAnnotations": {"sidecar.example/inject": "false"}}

        template = the(render(**placed, **more), "Job")["spec"]["template"]

        assert template["metadata"]["labels"]["team"] == "ml"
        assert template["metadata"]["annotations"] == {"sidecar.example/inject": "false"}
        assert template["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "1"
        assert {name: template["spec"][name] for name in placed if name != "resources"} == {
            name: value for name, value in placed.items() if name != "resources"
        }

    def test_it_goes_to_the_operators_nodes_but_not_away_from_its_pods(self) -> None:
        near: Object = {"preferredDuringSchedulingIgnoredDuringExecution": []}

        spec = pod(render(affinity={"nodeAffinity": near, "podAntiAffinity": near}), "Job")

        assert spec["affinity"] == {"nodeAffinity": near}

    @pytest.mark.parametrize(
        ("values", "same"),
        [
            ({"logLevel": "DEBUG"}, True),
            ({"resources__limits__memory": "1Gi"}, False),
            ({"podLabels": {"a": "b"}}, False),
        ],
        ids=str,
    )
    def test_another_pod_is_a_job_of_another_name(self, values: dict[str, Any], same: bool) -> None:
        # Rendered by a GitOps controller the revision is always 1, and a Job's pods can't be changed
        first, second = (the(render(**each), "Job")["metadata"]["name"] for each in ({}, values))

        assert (first == second) is same


class TestTheOperatorsSettings:
    """millwright_operator/options.py and the chart know the same names."""

    def plain(self, objects: list[Object], kind: str = "Deployment") -> dict[str, str]:
        return {name: value for name, value in environment(objects, kind).items() if isinstance(value, str)}

    @pytest.mark.parametrize("kind", ["Deployment", "Job"])
    def test_each_variable_is_one_that_it_reads(self, kind: str) -> None:
        known = {setting.metadata["name"] for setting in fields(Options)}

        assert set(environment(render(allowRemoteCode=True), kind)) - known <= {"HOME"}

    def test_the_defaults_of_the_chart_are_understood(self) -> None:
        options = Options.read(self.plain(render()))

        assert options.namespaces == ()
        assert options.preflight_resources["limits"] == {"memory": "1Gi"}
        assert options.preflight_deadline == 600
        assert (options.lease_name, options.lease_namespace) == ("millwright", NAMESPACE)
        assert options.log_format == "json"

    def test_other_values_arrive(self) -> None:
        values = {
            "watchNamespaces": ["team-b", "team-a"],
            "preflight": {"resources": {"requests": {"cpu": 1}}, "deadlineSeconds": 60},
            "allowRemoteCode": True,
            "logFormat": "plain",
            "logLevel": "DEBUG",
            "imagePullPolicy": "Always",
        }

        options = Options.read(self.plain(render(**values)))

        assert options.namespaces == ("team-a", "team-b")
        assert options.preflight_resources["requests"]["cpu"] == 1
        assert (options.preflight_deadline, options.allow_remote_code) == (60, True)
        assert (options.log_format, options.log_level) == ("plain", "DEBUG")
        assert options.image_pull_policy == "Always"

    def test_half_a_core_may_be_a_number_as_in_any_pod(self) -> None:
        half = {"limits": {"cpu": 0.5}}

        objects = render(resources=half, preflight={"resources": half, "deadlineSeconds": 60})

        assert pod(objects)["containers"][0]["resources"]["limits"]["cpu"] == 0.5
        assert Options.read(self.plain(objects)).preflight_resources["limits"] == {"cpu": 0.5, "memory": "1Gi"}

    def test_its_ports_are_those_that_it_listens_on(self) -> None:
        options = Options.read(self.plain(render()))
        (container,) = pod(render())["containers"]

        assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
            "metrics": options.metrics_port,
            "probes": options.probes_port,
            "progress": options.progress_port,
        }


class TestProgress:
    def test_its_service_finds_the_leader_among_the_operators_pods(self) -> None:
        objects = render()
        labels = the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]

        selector = the(objects, "Service")["spec"]["selector"]

        assert selector["millwright.dev/leader"] == "true"
        assert {key: labels[key] for key in selector if key != "millwright.dev/leader"}.items() <= selector.items()

    def test_pods_are_sent_to_the_name_that_the_certificate_is_for(self) -> None:
        objects = render()
        host = f"{the(objects, 'Service')['metadata']['name']}.{NAMESPACE}.svc"

        assert environment(objects)["MILLWRIGHT_PROGRESS_URL"] == f"https://{host}:8443/v1/progress"
        assert environment(objects, "Job")["MILLWRIGHT_CERTIFICATE_DNS"] == host
        assert the(objects, "Service")["spec"]["ports"][0]["port"] == 8443

    def test_the_secret_that_is_made_is_the_one_that_is_mounted(self) -> None:
        objects = render()
        (volume,) = [v for v in pod(objects)["volumes"] if v["name"] == "tls"]

        assert volume["secret"]["secretName"] == environment(objects, "Job")["MILLWRIGHT_CERTIFICATE_SECRET"]

    def test_a_secret_that_is_there_is_used_and_none_is_made(self) -> None:
        objects = render(progress__tls__existingSecret="ours")
        (volume,) = [v for v in pod(objects)["volumes"] if v["name"] == "tls"]

        assert volume["secret"]["secretName"] == "ours"
        assert of_kind(objects, "Job") == {}

    def test_cert_manager_can_make_it(self) -> None:
        objects = render(
            progress__tls__certManager={"enabled": True, "issuerRef": {"name": "ca", "kind": "ClusterIssuer"}}
        )
        (volume,) = [v for v in pod(objects)["volumes"] if v["name"] == "tls"]
        certificate = the(objects, "Certificate")["spec"]

        assert certificate["secretName"] == volume["secret"]["secretName"]
        assert certificate["issuerRef"] == {"name": "ca", "kind": "ClusterIssuer"}
        assert certificate["dnsNames"] == [f"millwright-progress.{NAMESPACE}.svc"]
        assert of_kind(objects, "Job") == {}

    def test_no_key_is_made_by_a_template(self) -> None:
        # Argo CD and Flux render again and again: each time the CA would be another one
        text = "".join(path.read_text() for path in (CHART / "templates").iterdir())

        assert re.findall(r"genCA|genSelfSignedCert|genSignedCert|genPrivateKey|rand[A-Z]\w+|lookup", text) == []

    def test_off_it_leaves_nothing_behind(self) -> None:
        objects = render(progress__enabled=False)

        assert [kind for kind in ("Service", "Job", "Certificate") if of_kind(objects, kind)] == []
        assert [name for name in environment(objects) if "PROGRESS" in name or "TLS" in name] == []
        assert "secret" not in str(pod(objects)["volumes"])


class TestTheDefinition:
    def test_it_is_the_generated_one_to_the_letter(self) -> None:
        definition = the(render(crds__keep=False), "CustomResourceDefinition")

        assert definition == yaml.load((CHART / "files" / "crd.yaml").read_text(), yaml.CSafeLoader)

    def test_it_stays_when_the_release_goes(self) -> None:
        kept = the(render(), "CustomResourceDefinition")

        assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert kept["spec"] == the(render(crds__keep=False), "CustomResourceDefinition")["spec"]

    def test_somebody_else_may_install_it(self) -> None:
        assert of_kind(render(crds__enabled=False), "CustomResourceDefinition") == {}


class TestOptions:
    def test_a_disruption_budget_is_for_those_who_ask(self) -> None:
        assert of_kind(render(), "PodDisruptionBudget") == {}
        budget = the(render(podDisruptionBudget__enabled=True), "PodDisruptionBudget")["spec"]
        labels = the(render(), "Deployment")["spec"]["template"]["metadata"]["labels"]

        assert budget["minAvailable"] == 1
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert budget["selector"]["matchLabels"].items() <= labels.items()

    def test_a_network_policy_lets_in_reports_and_probes_only(self) -> None:
        policy = the(render(networkPolicy__enabled=True), "NetworkPolicy")["spec"]

        assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["probes", "progress"]
        assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 443, 6443]

    def test_a_network_policy_holds_for_the_certificates_job_too(self) -> None:
        # In a namespace that denies by default it would reach no API server, and the operator would wait for its Secret
        objects = render(networkPolicy__enabled=True)

        chosen = the(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()

        for kind in ("Deployment", "Job"):
            assert chosen <= the(objects, kind)["spec"]["template"]["metadata"]["labels"].items()

    def test_a_network_policy_lets_in_who_reads_metrics(self) -> None:
        monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}

        policy = the(render(networkPolicy__enabled=True, networkPolicy__metricsFrom=[monitoring]), "NetworkPolicy")

        assert {"from": [monitoring], "ports": [{"port": "metrics"}]} in policy["spec"]["ingress"]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("values", "where", "what"),
        [
            ({"replica": 2}, "''", "'replica' not allowed"),
            ({"images__operator__name": "x"}, "'/images/operator'", "'name' not allowed"),
            ({"images__runner__tag": ""}, "'/images/runner/tag'", "minLength"),
            ({"images__runner__tag": 1.0}, "'/images/runner/tag'", "got number, want string"),
            ({"images__runner__digest": "sha256:12"}, "'/images/runner/digest'", "does not match pattern"),
            ({"images__runner__repository": "runner@sha256"}, "'/images/runner/repository'", "does not match pattern"),
            ({"imagePullPolicy": "always"}, "'/imagePullPolicy'", "'Always', 'IfNotPresent', 'Never'"),
            ({"imagePullSecrets": ["registry"]}, "'/imagePullSecrets/0'", "want object"),
            ({"replicas": 9}, "'/replicas'", "got 9, want 3"),
            ({"replicas": "2"}, "'/replicas'", "want integer"),
            ({"watchNamespaces": "team-a"}, "'/watchNamespaces'", "want array"),
            ({"watchNamespaces": ["Team_A"]}, "'/watchNamespaces/0'", "does not match pattern"),
            ({"watchNamespaces": ["a", "a"]}, "'/watchNamespaces'", "items at 0 and 1 are equal"),
            ({"allowRemoteCode": "yes"}, "'/allowRemoteCode'", "want boolean"),
            ({"progress__tls__certManager__enabled": True}, "issuerRef'", "missing property 'name'"),
            ({"progress__tls__secret": "x"}, "'/progress/tls'", "'secret' not allowed"),
            ({"resources__limits__memory": "lots"}, "'/resources/limits/memory'", "does not match pattern"),
            ({"preflight__deadlineSeconds": 1}, "'/preflight/deadlineSeconds'", "want 30"),
            ({"logLevel": "debug"}, "'/logLevel'", "'DEBUG'"),
            ({"logFormat": "xml"}, "'/logFormat'", "'json', 'plain'"),
            ({"fullnameOverride": "x" * 37}, "'/fullnameOverride'", "maxLength"),
            ({"networkPolicy__apiServerPorts": []}, "'/networkPolicy/apiServerPorts'", "minItems"),
            ({"networkPolicy__apiServerPorts": None}, "'/networkPolicy'", "missing property 'apiServerPorts'"),
            ({"preflight__deadlineSeconds": None}, "'/preflight'", "missing property 'deadlineSeconds'"),
            ({"preflight__resources": None}, "'/preflight'", "missing property 'resources'"),
            ({"logLevel": None}, "''", "missing property 'logLevel'"),
            ({"serviceAccount": None}, "''", "missing property 'serviceAccount'"),
            ({"fullnameOverride": "1st"}, "'/fullnameOverride'", "does not match pattern"),
            (
                {"progress__tls__existingSecret": "My_Secret"},
                "'/progress/tls/existingSecret'",
                "does not match pattern",
            ),
        ],
        ids=str,
    )
    def test_it_is_named_with_its_place(self, values: dict[str, Any], where: str, what: str) -> None:
        told = refusal(**values)

        assert where in told
        assert what in told

    def test_a_certificate_from_two_places_is_refused_in_words(self) -> None:
        told = refusal(
            progress__tls={"existingSecret": "ours", "certManager": {"enabled": True, "issuerRef": {"name": "ca"}}}
        )

        assert "the certificate comes from existingSecret (ours) or from certManager, not from both" in told

    @pytest.mark.parametrize(
        "repository", ["https://registry.example/op", "registry.example/op:1.2", "registry.example/Team/op", "op/"]
    )
    def test_what_is_no_repository_is_refused_in_words(self, repository: str) -> None:
        told = refusal(images__azure__repository=repository)

        assert (
            f"images.azure.repository: {repository} is none; it has the form registry:port/path in lower case" in told
        )

    @pytest.mark.parametrize(
        "repository", ["op", "registry.example:5000/a_b/c--d.e", "[fd00::1]:5000/op", "10.0.0.1/op"]
    )
    def test_what_is_a_repository_is_taken(self, repository: str) -> None:
        assert pod(render(images__operator__repository=repository))["containers"][0]["image"] == f"{repository}:0.1.0"

    def test_a_release_whose_service_could_not_be_made_is_refused_in_words(self) -> None:
        assert "choose another release name, or set fullnameOverride" in helm("template", "1st", CHART).stderr

    def test_no_object_of_the_schema_takes_keys_it_does_not_know(self) -> None:
        def open_objects(schema: Any, path: str = "") -> list[str]:
            if not isinstance(schema, dict):
                return []
            here = [path] if "properties" in schema and "type" in schema and schema.get("additionalProperties") else []
            return here + [found for key, part in schema.items() for found in open_objects(part, f"{path}/{key}")]

        schema = yaml.safe_load((CHART / "values.schema.json").read_text())
        named = [key for key in schema["properties"] if key != "global"]

        assert open_objects(schema) == []
        assert sorted(named) == sorted(yaml.safe_load((CHART / "values.yaml").read_text()))


class TestTheNotes:
    def notes(self, *flags: str) -> str:
        done = helm("install", "m", CHART, "--dry-run=client", "--namespace", "mw", *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("NOTES:")[1]

    def test_they_say_what_is_watched(self) -> None:
        assert "watches all namespaces." in self.notes()
        assert "watches the namespaces a, b." in self.notes("--set", "watchNamespaces={a,b}")

    def test_they_warn_of_a_drain_that_would_wait_forever(self) -> None:
        assert "Set replicas to 2" in self.notes("--set", "podDisruptionBudget.enabled=true")
        assert "Set replicas to 2" not in self.notes("--set", "podDisruptionBudget.enabled=true,replicas=2")
