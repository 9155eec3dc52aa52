"""The definition on a real API server: what it refuses and with which words, what it fills in, what it keeps as it is."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import until
from tests.cluster.manifests.azure import ALL_AZURE, BAD_AZURE, BLOB, FULL_LISTS, ML, ON_AZURE, THERE
from tests.cluster.manifests.bad import BAD_MANIFESTS
from tests.cluster.manifests.base import (
    CONSTRAINTS,
    DELETE,
    EVALUATED,
    EVALUATION,
    GOOD,
    LORA,
    METRICS,
    PARAMETERS,
    SEARCH,
    SEARCHED,
    TEXT,
    Bad,
    Changes,
    Good,
    changed,
)
from tests.cluster.manifests.good import GOOD_MANIFESTS
from tests.cluster.manifests.judge import judge
from tests.cluster.manifests.searches import BAD_SEARCHES

from millwright_api.errors import UserError
from millwright_api.search import MAX_CHOICES, MAX_TRIALS
from millwright_api.status import BestTrial, SearchStatus, TrialStatus
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import kubeyaml, registry

ROOT = Path(__file__).parents[2]
CRD = ROOT / "crds" / "millwright.dev_optimizationjobs.yaml"
GROUP, VERSION, PLURAL = "millwright.dev", "v1alpha1", "optimizationjobs"
EXAMPLES = [
    *sorted((ROOT / "examples" / "cluster").glob("*.yaml")),
    *(ROOT / "examples" / name / "job-cluster.yaml" for name in ("emotion", "search", "azure")),
]
STARTED = "2026-11-21T08:22:00Z"
AT_ONCE = 8
"""Requests of a table that are under way together."""
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """An API server that has the definition, and a namespace there."""

    objects: client.CustomObjectsApi
    namespace: str
    cluster: Cluster

    def create(self, body: Manifest, *, dry: bool = True, validation: str = "Strict") -> Manifest:
        """Sends an object as a plain client does; dry: everything but storing it."""
        options: dict[str, Any] = {"dry_run": "All"} if dry else {}
        made = self.objects.create_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, body, field_validation=validation, **options
        )
        return dict(made)

    def answer(self, body: Manifest) -> Manifest:
        """What the server says to an object, without storing it: how it would be stored, or the Status that it is refused
        with, whose message is what kubectl prints."""
        try:
            return self.create(body)
        except ApiException as error:
            if error.status not in (400, 422):
                raise
            return dict(json.loads(error.body))

    def answers(self, bodies: Sequence[Manifest]) -> list[Manifest]:
        """The same of many, several at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.answer, bodies))

    def refused(self, body: Manifest) -> Manifest:
        """The Status that the server refuses an object with."""
        answer = self.answer(body)
        assert answer["kind"] == "Status", answer
        return answer

    def patch(self, name: str, spec: Manifest) -> Manifest:
        """Changes a stored object's spec by a merge patch."""
        return dict(
            self.objects.patch_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name, {"spec": spec})
        )

    def status(self, name: str, status: Manifest) -> Manifest:
        """Changes a stored object's status as the operator does: by the subresource."""
        return dict(
            self.objects.patch_namespaced_custom_object_status(
                GROUP, VERSION, self.namespace, PLURAL, name, {"status": status}
            )
        )

    def row(self, name: str, status: Manifest) -> list[list[Any]]:
        """The rows that kubectl would print of an object with this status; in one request, since an operator may write
        another one at any time."""
        api = self.objects.api_client
        request = api.param_serialize(
            "PATCH", f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}/{name}/status",
            header_params={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io", "Content-Type": "application/merge-patch+json"},
            body={"status": status}, auth_settings=["BearerToken"],
        )  # fmt: skip
        table = json.loads(api.call_api(*request).read())
        return [row["cells"] for row in table["rows"]]

    def read_by_kubectl(self, documents: Mapping[str, str]) -> tuple[dict[str, Manifest], str]:
        """What `kubectl create` makes of YAML documents, in one go: the objects, by name, and what it says of the others."""
        done = self.kubectl(
            "create", "--dry-run=server", "-o", "json", "-f", "-", stdin="\n---\n".join(documents.values())
        )
        objects, text, decoder = {}, done.stdout.lstrip(), json.JSONDecoder()
        while text:
            made, end = decoder.raw_decode(text)
            objects[made["metadata"]["name"]] = made
            text = text[end:].lstrip()
        return objects, done.stderr

    def explained(self, path: str) -> str:
        """What `kubectl explain` says of a place, as one line. Of a fresh definition the server tells a moment later."""
        place = f"optjob.{path}"
        shown = until(f"an explanation of {place}", lambda: self.kubectl("explain", place).stdout)
        return " ".join(shown.split())

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl in the namespace."""
        return self.cluster.command("kubectl", "-n", self.namespace, *arguments, stdin=stdin)


@pytest.fixture(scope="module")
def server(installed: Cluster, shared_namespace: str) -> Server:
    """The cluster's API server, with the definition that the chart brought."""
    api = config.new_client_from_config(str(installed.kubeconfig))
    return Server(client.CustomObjectsApi(api), shared_namespace, installed)


@pytest.fixture
def stored(server: Server) -> Manifest:
    """A job that the server keeps; suspended."""
    return server.create(changed({"metadata.name": f"job-{uuid.uuid4().hex[:8]}"}), dry=False)


@pytest.fixture(scope="module")
def answers(server: Server) -> dict[str, Manifest]:
    """What the server says to the tables' manifests, by their names."""
    cases = [*GOOD_MANIFESTS, *BAD_MANIFESTS]
    told = server.answers([changed(case.changes) for case in cases])
    return {case.name: answer for case, answer in zip(cases, told, strict=True)}


class TestManifests:
    @pytest.mark.parametrize("case", GOOD_MANIFESTS, ids=lambda case: case.name)
    def test_a_good_one_is_taken(self, answers: dict[str, Manifest], case: Good) -> None:
        made = answers[case.name]

        assert made["kind"] == "OptimizationJob", made
        OptimizationJob.model_validate({key: made[key] for key in ("apiVersion", "kind", "metadata", "spec")})

    @pytest.mark.parametrize("case", BAD_MANIFESTS, ids=lambda case: case.name)
    def test_a_bad_one_is_refused_with_the_place_and_the_reason(self, answers: dict[str, Manifest], case: Bad) -> None:
        status = answers[case.name]

        assert status["kind"] == "Status", "it was taken"
        causes = status.get("details", {}).get("causes", [])
        told = [f"{cause.get('field', '')}: {cause['message']}" for cause in causes] or [status["message"]]
        assert any(case.path in line and case.server in line for line in told), told
        assert case.server in status["message"]

    def test_kubectl_prints_what_the_server_says(self, server: Server, answers: dict[str, Manifest]) -> None:
        (case,) = [case for case in BAD_MANIFESTS if case.name == "ranks by orders of magnitude"]

        done = server.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(changed(case.changes)))

        name = GOOD["metadata"]["name"]
        told = answers[case.name]["message"].partition(" is invalid: ")[2]
        assert done.stderr == f'The OptimizationJob "{name}" is invalid: {told}\n'

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
    def test_an_example_for_a_cluster_is_taken(self, server: Server, path: Path) -> None:
        job = kubeyaml.read(path.read_bytes(), path.name).value
        job["metadata"].pop("namespace", None)

        made = server.create(job)

        assert made["spec"].keys() >= job["spec"].keys()

    def test_there_are_enough_of_them(self) -> None:
        assert len(BAD_MANIFESTS) >= 60
        assert len(BAD_SEARCHES) >= 60
        assert len(BAD_AZURE) >= 30
        assert len({case.name for case in [*GOOD_MANIFESTS, *BAD_MANIFESTS]}) == len(GOOD_MANIFESTS) + len(
            BAD_MANIFESTS
        )

    def test_rules_are_affordable_with_all_lists_full(self, server: Server) -> None:
        made = server.create(full(modules=256))

        assert len(made["spec"]["passes"]) == 32

    def test_rules_about_azure_ml_are_too(self, server: Server) -> None:
        sources = {f"spec.data.{i}.source": {"azureBlob": {"uri": f"{BLOB}/{'k' * 900}"}} for i in range(16)}

        made = server.create(changed({**sources, ML: {**ON_AZURE, **FULL_LISTS}}, full(modules=256)))

        assert len(made["spec"]["execution"]["azureML"]["tags"]) == 32


def full(modules: int) -> Manifest:
    """A manifest with lists and texts as long as they may be, but for the modules of each pass: those as many as asked
    for."""
    rows = {
        "source": {"s3": {"uri": "s3://abc/" + "k" * 900}},
        "text": {"columns": ["c" * 128] * 64, "template": "{" + "c" * 128 + "}"},
    }
    data = [{"name": f"d{i:02}" + "x" * 60, **rows} for i in range(16)]
    lora = {"trainData": data[-1]["name"], "evalData": data[-2]["name"], "targetModules": ["m" * 256] * modules}
    passes = [{"name": f"p{i:02}" + "x" * 60, "lora": lora} for i in range(32)]
    metrics = [{"name": f"m{i:02}" + "x" * 60, "perplexity": {}, "data": data[-1]["name"]} for i in range(16)]
    constraints = [{"metric": metrics[-1]["name"], "max": i} for i in range(32)]
    evaluation = {"data": data[-1]["name"], "metrics": metrics, "constraints": constraints}
    values = [f"{i:02}" + "m" * 62 for i in range(MAX_CHOICES)]
    parameters = [{"pass": step["name"], "option": "targetModules", "choice": values} for step in passes[:11]]
    objectives = [{"metric": metric["name"], "direction": "Minimize"} for metric in metrics[:4]]
    search = {"parameters": [*parameters, {"oneOf": [step["name"] for step in passes[-8:]]}], "objectives": objectives}
    return changed(
        {"metadata.name": "full", "spec.data": data, "spec.passes": passes, "spec.evaluation": evaluation, "spec.search": search}
    )  # fmt: skip


def places(value: Any, path: str = "spec") -> Iterator[str]:
    """All places of a manifest, as dotted paths."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield f"{path}.{key}"
        yield from places(below, f"{path}.{key}")


ODD = [
    0,
    -1,
    1,
    1.5,
    2**31,
    "",
    "x",
    "X y",
    "../a",
    "a\n",
    "1",
    "auto",
    True,
    [],
    {},
    ["a"],
    ["a", "a"],
    {"a": "b"},
    "x" * 2000,
]
"""Put at each place in turn. No null: clients leave it out, or not."""


class TestAgreement:
    PLACES: ClassVar[list[str]] = [
        *places(GOOD["spec"]), *places(EVALUATION, "spec.evaluation"), *places(SEARCH, "spec.search"),
        *(path for path in places(changed(ALL_AZURE)["spec"]) if "azure" in path),
    ]  # fmt: skip
    STARTS: ClassVar[dict[str, Changes]] = {
        "azure": ALL_AZURE, "spec.search": SEARCHED, "spec.evaluation": EVALUATED, "spec": {},
    }  # fmt: skip

    @pytest.mark.parametrize("path", PLACES)
    def test_the_server_and_the_runner_are_of_one_opinion(self, server: Server, path: str) -> None:
        start = next(start for part, start in self.STARTS.items() if part in path)
        bodies = [changed({**start, path: value}) for value in ODD]

        there = [answer.get("message", "") for answer in server.answers(copy.deepcopy(bodies))]
        here = [said(body) for body in bodies]

        opinions = zip(ODD, there, here, strict=True)
        assert [opinion for opinion in opinions if bool(opinion[1]) != bool(opinion[2])] == []


def said(body: Manifest) -> str:
    """What the runner says of a manifest; nothing when it is good."""
    try:
        judge(body)
    except UserError as error:
        return str(error)
    return ""


class TestDefaults:
    def test_a_fresh_object_has_no_status_but_an_observed_generation_of_minus_one(self, server: Server) -> None:
        forged = {**changed({"metadata.name": "forged"}), "status": {"startTime": STARTED, "phase": "Succeeded"}}

        made = server.create(forged, dry=False)

        assert made["status"] == {"observedGeneration": -1}

    @pytest.mark.parametrize("case", GOOD_MANIFESTS, ids=lambda case: case.name)
    def test_what_is_filled_in_gives_the_same_passes_as_the_manifest_as_it_was_written(
        self, answers: dict[str, Manifest], case: Good
    ) -> None:
        written = changed(case.changes)

        made = answers[case.name]

        assert keys(made) == keys(written)
        assert searched(made) == searched(written)

    def test_the_spec_is_the_same_too(self, server: Server) -> None:
        made = server.create(GOOD)

        kept = {key: made[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": GOOD["metadata"]}
        there, here = (OptimizationJob.model_validate(job).spec for job in (kept, GOOD))
        assert there.model_copy(update={"passes": ()}) == here.model_copy(update={"passes": ()})
        assert there.execution == here.execution

    def test_kopfs_own_notes_are_kept_whatever_they_hold(self, server: Server, stored: Manifest) -> None:
        notes = {"progress": {"on_event": {"retries": 3, "purpose": None}}, "dummy": "2026"}

        made = server.status(stored["metadata"]["name"], {"kopf": notes})

        assert made["status"]["kopf"]["progress"]["on_event"]["retries"] == 3

    def test_what_the_status_does_not_have_is_dropped(self, server: Server, stored: Manifest) -> None:
        made = server.status(stored["metadata"]["name"], {"phase": "Running", "mood": "fine"})

        assert made["status"]["phase"] == "Running"
        assert "mood" not in made["status"]

    def test_all_that_is_said_of_a_search_is_kept(self, server: Server, stored: Manifest) -> None:
        trial = TrialStatus(
            number=0, phase="Succeeded", at="[0.0001,32]", values=[0.9, -1.5], figures={"finetune": 0.5}, reason="x"
        )
        best = BestTrial(number=3, parameters={"finetune.r": "8"}, values={"accuracy": 0.9})
        trials = [trial.model_copy(update={"number": number}) for number in range(MAX_TRIALS)]
        search = SearchStatus(
            summary="200/200", space=600, running=1, succeeded=2, constraints_not_met=3, pruned=4, failed=5, best=best,
            front=list(range(MAX_TRIALS)), trials=trials,
        )  # fmt: skip
        told = search.model_dump(mode="json")

        made = server.status(stored["metadata"]["name"], {"search": told})

        assert made["status"]["search"] == told


def searched(job: Manifest) -> str:
    """What is searched, with its defaults; as text, which tells 16 and 16.0 apart."""
    search = OptimizationJob.model_validate({k: job[k] for k in ("apiVersion", "kind", "metadata", "spec")}).spec.search
    return "" if search is None else search.model_dump_json()


def keys(job: Manifest) -> list[Any]:
    """What the cache keys are made of: of each step its pass and options; a plug-in's options as they are."""
    parsed = OptimizationJob.model_validate({k: job[k] for k in ("apiVersion", "kind", "metadata", "spec")})
    known = [
        registry.get(step.pass_name).model_validate(step.options).key_options() if not step.custom else step.options
        for step in parsed.spec.passes
    ]
    return [
        [step.name, step.pass_name, json.dumps(options, sort_keys=True)]
        for step, options in zip(parsed.spec.passes, known, strict=True)
    ]


FROZEN: list[tuple[str, Changes]] = [
    ("model", {"spec.model.huggingFace.revision": "main"}),
    ("model", {"spec.model.trustRemoteCode": True}),
    ("data", {f"{TEXT}.maxLength": 4096}),
    ("data", {"spec.data.2": {"name": "more", "source": {"s3": {"uri": "s3://abc/x.jsonl"}}, "text": {}}}),
    ("passes", {f"{LORA}.r": 32}),
    ("passes", {f"{LORA}.training.seed": 7}),
    ("passes", {"spec.passes": [GOOD["spec"]["passes"][i] for i in (0, 2, 1)]}),
    ("passes", {"spec.passes.2.resources.requests.cpu": "8"}),
    ("passes", {"spec.passes.2.resources": DELETE}),
    ("evaluation", EVALUATED),
    ("search", SEARCHED),
    ("passes", {"spec.passes.3": {"custom": {"pass": "x", "options": {"a": 1}}}}),
    ("target", {"spec.target": {"executionProvider": "CUDAExecutionProvider"}}),
    ("output", {"spec.output.replace": True}),
    ("cache", {"spec.cache": {"mode": "ReadOnly"}, "spec.passes.2.resources": DELETE}),
    ("checkpoint", {"spec.checkpoint": {"everySteps": 5}}),
    ("execution", {"spec.execution.kubernetes.queue": "team-a"}),
    ("execution", {"spec.execution.kubernetes.podTemplate.nodeSelector": {"zone": "b"}}),
    ("execution", THERE),
    ("credentials", {"spec.credentials": [{"secretName": "other"}]}),
    ("activeDeadlineSeconds", {"spec.activeDeadlineSeconds": 60}),
]


class TestFreezing:
    """From the first stage's start on, the recipe stays what it is."""

    def replace(self, server: Server, stored: Manifest, changes: Changes) -> Manifest:
        """Puts a changed object; again when the operator wrote its status in between."""
        body, name = changed(changes, stored), stored["metadata"]["name"]
        for _ in range(20):
            current = server.objects.get_namespaced_custom_object(GROUP, VERSION, server.namespace, PLURAL, name)
            body["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
            try:
                made = server.objects.replace_namespaced_custom_object(
                    GROUP, VERSION, server.namespace, PLURAL, name, body
                )
            except ApiException as error:
                if error.status != 409:
                    raise
            else:
                return dict(made)
        raise AssertionError(f"{name} never stays as it is")

    def refused(self, server: Server, stored: Manifest, changes: Changes) -> list[Manifest]:
        with pytest.raises(ApiException) as caught:
            self.replace(server, stored, changes)
        return list(json.loads(caught.value.body)["details"]["causes"])

    @pytest.mark.parametrize(("field", "changes"), FROZEN, ids=lambda value: value if isinstance(value, str) else "")
    def test_a_change_is_refused_and_the_field_is_named(
        self, server: Server, stored: Manifest, field: str, changes: Changes
    ) -> None:
        server.status(stored["metadata"]["name"], {"startTime": STARTED})

        causes = self.refused(server, stored, changes)

        assert (f"spec.{field}", "FieldValueForbidden") in [(cause["field"], cause["reason"]) for cause in causes]
        assert any(f"spec.{field} is frozen since the job started" in cause["message"] for cause in causes)

    @pytest.mark.parametrize(("field", "changes"), FROZEN, ids=lambda value: value if isinstance(value, str) else "")
    def test_before_that_it_is_free(self, server: Server, stored: Manifest, field: str, changes: Changes) -> None:
        made = self.replace(server, stored, changes)

        assert made["metadata"]["generation"] == 2

    def test_every_field_of_the_spec_is_frozen_or_known_to_be_free(self) -> None:
        fields = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
            "spec"
        ]

        free = {"suspend", "retry", "ttlSecondsAfterFinished"}
        assert set(fields["properties"]) - free == {field for field, _ in FROZEN}

    def test_an_option_of_a_plug_in_is_frozen_too(self, server: Server) -> None:
        step = {"custom": {"pass": "x", "options": {"deep": {"a": 1}}}}
        job = server.create(changed({"metadata.name": "plugin", "spec.passes.1": step}), dry=False)
        server.status("plugin", {"startTime": STARTED})

        causes = self.refused(server, job, {"spec.passes.1.custom.options.deep.a": 2})

        assert [cause["field"] for cause in causes] == ["spec.passes"]

    def test_the_longest_recipe_is_frozen_at_a_cost_that_the_server_bears(self, server: Server) -> None:
        job = server.create(full(modules=64), dry=False)
        server.status("full", {"startTime": STARTED})

        causes = self.refused(server, job, {"spec.passes.31.lora.r": 8})

        assert [cause["field"] for cause in causes] == ["spec.passes"]
        assert "is frozen" in causes[0]["message"]

    @pytest.mark.parametrize(
        "changes",
        [
            {f"{CONSTRAINTS}.1.max": 50}, {f"{METRICS}.0.name": "right", f"{CONSTRAINTS}.0.metric": "right"}, {"spec.evaluation.onViolation": "Warn"},
            {"spec.evaluation.after": ["each"]}, {"spec.evaluation": DELETE},
        ],
        ids=lambda changes: next(iter(changes)),
    )  # fmt: skip
    def test_the_bar_stays_where_it_is(self, server: Server, changes: Changes) -> None:
        name = f"judged-{uuid.uuid4().hex[:8]}"
        job = server.create(changed({"metadata.name": name, **EVALUATED}), dry=False)
        server.status(name, {"startTime": STARTED})

        causes = self.refused(server, job, changes)

        assert [cause["field"] for cause in causes] == ["spec.evaluation"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"spec.search.maxTrials": 13}, {"spec.search.algorithm.tpe.seed": 8}, {f"{PARAMETERS}.3.choice.2": 128}, {f"{PARAMETERS}.3.choice": [32, 16, 64]},
            {f"{PARAMETERS}.0.logUniform.max": 0.01}, {PARAMETERS: SEARCH["parameters"][:3]}, {"spec.search": DELETE},
        ],
        ids=lambda changes: next(iter(changes)),
    )  # fmt: skip
    def test_what_is_searched_stays_as_it_is(self, server: Server, changes: Changes) -> None:
        name = f"searched-{uuid.uuid4().hex[:8]}"
        job = server.create(changed({"metadata.name": name, **SEARCHED}), dry=False)
        server.status(name, {"startTime": STARTED})

        causes = self.refused(server, job, changes)

        assert [cause["field"] for cause in causes] == ["spec.search"]

    def test_taking_a_field_away_is_a_change(self, server: Server) -> None:
        job = server.create(changed({"metadata.name": "limited", "spec.activeDeadlineSeconds": 60}), dry=False)
        server.status("limited", {"startTime": STARTED})

        causes = self.refused(server, job, {"spec.activeDeadlineSeconds": DELETE})

        assert [cause["field"] for cause in causes] == ["spec.activeDeadlineSeconds"]

    @pytest.mark.parametrize(
        "spec", [{"suspend": False}, {"retry": {"maxAttempts": 4}}, {"ttlSecondsAfterFinished": 60}], ids=str
    )
    def test_what_is_no_part_of_the_recipe_may_change(self, server: Server, stored: Manifest, spec: Manifest) -> None:
        server.status(stored["metadata"]["name"], {"startTime": STARTED})

        made = server.patch(stored["metadata"]["name"], spec)

        assert spec.items() <= made["spec"].items()

    def test_attempts_can_only_be_raised(self, server: Server, stored: Manifest) -> None:
        server.status(stored["metadata"]["name"], {"startTime": STARTED})

        causes = self.refused(server, stored, {"spec.retry.maxAttempts": 2})

        assert [(cause["field"], cause["reason"]) for cause in causes] == [
            ("spec.retry.maxAttempts", "FieldValueForbidden")
        ]
        assert "can only be raised" in causes[0]["message"]

    def test_data_sets_in_another_order_are_the_same_data_sets(self, server: Server, stored: Manifest) -> None:
        server.status(stored["metadata"]["name"], {"startTime": STARTED})

        made = self.replace(server, stored, {"spec.data": list(reversed(stored["spec"]["data"]))})

        assert [entry["name"] for entry in made["spec"]["data"]] == ["holdout", "train"]

    @pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client-side", "server-side"])
    def test_applying_the_same_file_again_changes_nothing(self, server: Server, how: list[str]) -> None:
        name = f"again-{len(how)}"
        text = json.dumps(changed({"metadata.name": name}))
        server.kubectl("apply", *how, "-f", "-", stdin=text)
        server.status(name, {"startTime": STARTED})

        done = server.kubectl("apply", *how, "-o", "json", "-f", "-", stdin=text)

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["metadata"]["generation"] == 1

    def test_labels_and_annotations_stay_free(self, server: Server, stored: Manifest) -> None:
        name = stored["metadata"]["name"]
        server.status(name, {"startTime": STARTED})

        done = server.kubectl("annotate", f"{PLURAL}.{GROUP}", name, "millwright.dev/requested-at=now")

        assert done.returncode == 0, done.stderr


class TestUnknownFields:
    """Trap: a plain POST prunes them in silence."""

    TYPO = changed({"metadata.name": "typo", f"{LORA}.ranck": 8})

    def test_a_plain_post_takes_the_object_without_them_and_warns(self, server: Server) -> None:
        made, code, headers = server.objects.create_namespaced_custom_object_with_http_info(
            GROUP, VERSION, server.namespace, PLURAL, copy.deepcopy(self.TYPO), dry_run="All"
        )

        assert code == 201
        assert "ranck" not in made["spec"]["passes"][0]["lora"]
        assert 'unknown field \\"spec.passes[0].lora.ranck\\"' in headers["Warning"]

    @pytest.mark.parametrize("how", [["create"], ["apply"], ["apply", "--server-side"]], ids=" ".join)
    def test_kubectl_refuses_them(self, server: Server, how: list[str]) -> None:
        done = server.kubectl(*how, "--dry-run=server", "-f", "-", stdin=json.dumps(self.TYPO))

        assert done.returncode != 0
        assert "ranck" in done.stderr
        assert "unknown field" in done.stderr or "field not declared in schema" in done.stderr

    @pytest.mark.parametrize("how", ["true", "false"])
    def test_helm_refuses_them_when_it_applies_on_the_server_and_only_warns_otherwise(
        self, server: Server, tmp_path: Path, how: str
    ) -> None:
        (tmp_path / "templates").mkdir()
        (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: typo, version: 0.1.0}")
        (tmp_path / "templates" / "job.yaml").write_text(
            json.dumps(changed({"metadata.name": f"helm-{how}"}, self.TYPO))
        )

        done = server.cluster.command(
            "helm", "-n", server.namespace, "install", f"typo-{how}", str(tmp_path), f"--server-side={how}"
        )

        assert done.returncode == (1 if how == "true" else 0)
        assert "ranck" in done.stderr

    def test_a_client_that_asks_for_it_is_told(self, server: Server) -> None:
        assert 'unknown field "spec.passes[0].lora.ranck"' in server.refused(self.TYPO)["message"]


NUMBERS = [
    ("1e-4", 0.0001), ("1.0e-4", 0.0001), ("1E-4", 0.0001), (".5", 0.5), ("1e0", 1), ("0x1", 1), ("0o1", 1), ("01", 1), ("0b1", 1), ("+1", 1), ("1_0", 10),
]  # fmt: skip
BOOLEANS = ["y", "Y", "yes", "on", "true", "True", "TRUE", "n", "No", "off", "False"]
NO_WORDS = ["Off", "no", "y", "1e-4", "0x10", "null", "~"]


def documents(kind: str, words: Sequence[str], changes: Changes, place: str = "HERE") -> dict[str, str]:
    """Manifests with one word each in the place of another, as it is; by their names."""
    return {
        f"{kind}-{i}": yaml.safe_dump(changed({"metadata.name": f"{kind}-{i}", **changes})).replace(
            place, place.replace("HERE", word)
        )
        for i, word in enumerate(words)
    }


def here(text: str) -> Manifest:
    """The manifest as the runner reads it."""
    return dict(kubeyaml.read(text.encode(), "job.yaml").value)


class TestYamlDialects:
    """Trap: kubectl reads YAML 1.1 by way of JSON. The runner reads the same."""

    WRITTEN: ClassVar[dict[str, str]] = {
        **documents("number", [written for written, _ in NUMBERS], {f"{LORA}.training.learningRate": "HERE"}),
        **documents("boolean", BOOLEANS, {f"{LORA}.useDora": "HERE"}),
        **documents("word", NO_WORDS, {"spec.data.0.name": "HERE"}, "name: HERE"),
        **documents("key", ["y"], {"spec.passes.1": {"custom": {"pass": "x", "options": {"HERE": 1}}}}),
    }

    @pytest.fixture(scope="class")
    def read(self, server: Server) -> tuple[dict[str, Manifest], str]:
        """What kubectl has made of all of these, and what it said of those that the server refused."""
        return server.read_by_kubectl(self.WRITTEN)

    @pytest.mark.parametrize("index", range(len(NUMBERS)), ids=[written for written, _ in NUMBERS])
    def test_a_number_is_the_same_number_on_both_sides(self, read: tuple[dict[str, Manifest], str], index: int) -> None:
        name = f"number-{index}"

        values = [
            job["spec"]["passes"][0]["lora"]["training"]["learningRate"]
            for job in (read[0][name], here(self.WRITTEN[name]))
        ]

        assert values == [NUMBERS[index][1]] * 2

    @pytest.mark.parametrize("index", range(len(BOOLEANS)), ids=BOOLEANS)
    def test_a_boolean_is_the_same_boolean_on_both_sides(
        self, read: tuple[dict[str, Manifest], str], index: int
    ) -> None:
        name = f"boolean-{index}"

        there, mine = (job["spec"]["passes"][0]["lora"]["useDora"] for job in (read[0][name], here(self.WRITTEN[name])))

        assert isinstance(there, bool)
        assert there is mine

    @pytest.mark.parametrize("index", range(len(NO_WORDS)), ids=NO_WORDS)
    def test_a_word_that_is_none_is_refused_on_both_sides(
        self, read: tuple[dict[str, Manifest], str], index: int
    ) -> None:
        name = f"word-{index}"

        objects, told = read

        assert name not in objects
        assert re.search(rf'"{name}" is invalid:[^"]*\s*.*spec\.data\[0\]\.name: ', told), told
        with pytest.raises(ValueError, match=r"spec\.data\.0\.name"):
            OptimizationJob.model_validate(here(self.WRITTEN[name]))

    def test_a_key_that_is_a_boolean_becomes_a_word(self, read: tuple[dict[str, Manifest], str]) -> None:
        there, mine = (
            job["spec"]["passes"][1]["custom"]["options"] for job in (read[0]["key-0"], here(self.WRITTEN["key-0"]))
        )

        assert there == mine == {"true": 1}


class TestWhatKubectlShows:
    def test_headings(self, server: Server, stored: Manifest) -> None:
        narrow = server.kubectl("get", "optjob", stored["metadata"]["name"]).stdout.splitlines()
        wide = server.kubectl("get", "optjob", stored["metadata"]["name"], "-o", "wide").stdout.splitlines()

        assert narrow[0].split() == ["NAME", "PHASE", "PASS", "PROGRESS", "ETA", "AGE"]
        assert wide[0].split() == [
            "NAME",
            "PHASE",
            "PASS",
            "PROGRESS",
            "ETA",
            "REASON",
            "TRIALS",
            "ATTEMPTS",
            "ARTIFACT",
            "AGE",
        ]

    def test_a_row(self, server: Server, stored: Manifest) -> None:
        name = stored["metadata"]["name"]
        status = {
            "phase": "Running", "attempts": 2, "search": {"summary": "5/12"}, "progress": {"pass": "finetune", "summary": "1/3 41%", "eta": "1h20m", "reportedTime": STARTED},
            "artifacts": [{"uri": "s3://team-a/models/x", "format": "hf", "sha256": "0" * 64, "bytes": 1, "files": 1}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "StageRunning", "message": "", "lastTransitionTime": STARTED, "observedGeneration": 1}],
        }  # fmt: skip

        (row,) = server.row(name, status)

        assert row[:-1] == [
            name,
            "Running",
            "finetune",
            "1/3 41%",
            "1h20m",
            "StageRunning",
            "5/12",
            2,
            "s3://team-a/models/x",
        ]

    @pytest.mark.parametrize("name", ["optjob", "optimizationjobs.millwright.dev", "optimizationjob", "millwright"])
    def test_it_goes_by_several_names(self, server: Server, stored: Manifest, name: str) -> None:
        shown = server.kubectl("get", name, "-o", "name").stdout

        assert f"optimizationjob.millwright.dev/{stored['metadata']['name']}" in shown

    def test_explain_teaches_an_option_with_unit_bounds_and_default(self, server: Server) -> None:
        shown = server.explained("spec.passes.lora.training.maxSteps")

        assert "maxSteps <integer>" in shown
        assert "Optimizer steps; overrides epochs. Default: as epochs give. Bounds: 1 to" in shown

    def test_explain_lists_the_options_of_a_pass(self, server: Server) -> None:
        shown = server.explained("spec.passes.lora")

        assert "Trains a low-rank adapter on the model" in shown
        assert "Rank of the adapter's matrices. Default: 64 (QLoRA paper, Olive). Bounds: 1 to 4096." in shown
        assert "trainData <string> -required-" in shown

    def test_explain_teaches_what_is_measured_and_what_it_has_to_reach(self, server: Server) -> None:
        metric = server.explained("spec.evaluation.metrics.exactMatch")
        constraint = server.explained("spec.evaluation.constraints.maxDrop")

        assert "In share; higher is better. Needs a data set that names its right answers." in metric
        assert "How much worse it may be than what relativeTo names, in the metric's unit." in constraint

    def test_explain_teaches_what_can_be_searched(self, server: Server) -> None:
        parameters = server.explained("spec.search.parameters")

        assert "an option of a pass, whether a pass runs, or which of several does" in parameters
        assert "logUniform <Object> A number between two, by order of magnitude." in parameters
        assert (
            "oneOf <[]string> Names of steps; in each trial exactly one of them runs. Bounds: 2 to 8 entries."
            in parameters
        )
        assert "option <string> Option of that pass, by name or path: precision, training.learningRate." in parameters

    def test_explain_teaches_where_azure_ml_runs_it_and_where_secrets_are(self, server: Server) -> None:
        there = server.explained(ML)
        secret = server.explained(f"{ML}.secrets")

        assert "As a command job of Azure ML. Default: on the cluster." in there
        assert "compute <string> Name of the compute. Default: serverless, by instanceType." in there
        assert "environment <Object> -required- What it runs in." in there
        assert "keyVault <Object> Its value is this secret." in secret

    def test_client_side_apply_has_room_for_its_annotation(self, server: Server) -> None:
        compact = json.dumps(yaml.safe_load(CRD.read_text()), separators=(",", ":"))

        assert len(compact.encode()) < 262_144
