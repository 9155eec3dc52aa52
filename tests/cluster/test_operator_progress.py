"""The progress endpoint as pods meet it: through its Service, with tokens that this API server made."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.cluster.cluster import RELEASE, RELEASE_NAMESPACE, Cluster, Object
from tests.cluster.jobs import until
from tests.cluster.pods import pod

HOST = f"{RELEASE}-progress.{RELEASE_NAMESPACE}.svc"
AUDIENCE = "progress.millwright.dev"
LABELS = {"millwright.dev/job": "talker", "millwright.dev/role": "stage", "millwright.dev/stage": "0"}
TALK = """
import http.client, json, os, ssl, time
context = ssl.create_default_context(cadata=os.environ["CA"])
report = json.dumps({"stepName": "merge", "stepIndex": 0, "steps": 1, "done": 1, "total": 2})

def post(token=None, body=report, path="/v1/progress"):
    connection = http.client.HTTPSConnection(os.environ["HOST"], 8443, context=context, timeout=60)
    bearer = {"Authorization": "Bearer " + open("/tokens/" + token).read()} if token else {}
    connection.request("POST", path, body, bearer)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()

def first(token):  # the operator may just have started, and its watch bring this very pod a moment later
    for _ in range(120):
        try:
            status, text = post(token)
        except OSError as error:
            status, text = 0, str(error)
        if status and (status != 403 or os.environ["OURS"] == "0"):
            break
        time.sleep(0.5)
    return status, text

said = {"good": first("good")}
said["other audience"] = post("other")
said["no token"] = post()
said["too much"] = post("good", body="x" * 20000)
said["no progress"] = post("good", body="{}")
said["other path"] = post("good", path="/v1/else")
said["often"] = [post("good")[0] for _ in range(15)]
try:
    untrusting = http.client.HTTPSConnection(os.environ["HOST"], 8443, timeout=60)
    untrusting.request("POST", "/v1/progress", report)
    said["another CA"] = "accepted"
except ssl.SSLCertVerificationError:
    said["another CA"] = "refused"
print(json.dumps(said))
"""


def talker(cluster: Cluster, *, ours: bool) -> Object:
    """A pod that says all sorts of things to the endpoint."""
    secret = cluster.get("secret", f"{RELEASE}-progress-tls", RELEASE_NAMESPACE)
    assert secret is not None
    authority = base64.b64decode(secret["data"]["ca.crt"]).decode()
    environment = {"CA": authority, "HOST": HOST, "OURS": "1" if ours else "0"}
    body = pod("talker", cluster.images["preflight"], "python", "-c", TALK)
    container = body["spec"]["containers"][0]
    container["name"] = "runner"
    container["env"] = [{"name": name, "value": value} for name, value in environment.items()]
    container["volumeMounts"] = [{"name": "tokens", "mountPath": "/tokens"}]
    tokens = [
        {"serviceAccountToken": {"path": path, "audience": audience, "expirationSeconds": 3600}}
        for path, audience in (("good", AUDIENCE), ("other", "somebody.else"))
    ]
    body["spec"]["volumes"] = [{"name": "tokens", "projected": {"sources": tokens}}]
    body["spec"]["securityContext"] |= {"runAsUser": 65532, "fsGroup": 65532}
    return body


def talk(cluster: Cluster, namespace: str, body: Object, labels: dict[str, str]) -> dict[str, Any]:
    """Runs it as a Job's pod and returns what it was answered."""
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": body["metadata"]["name"], "namespace": namespace, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": body["spec"]}},
    }
    cluster.apply(job)
    name = body["metadata"]["name"]

    def ended() -> Object | None:
        found = cluster.get("job", name, namespace) or {}
        return found if (found.get("status") or {}).get("conditions") else None

    until(f"the Job {name} to end", ended)
    said = cluster.kubectl("logs", f"job/{name}", "-n", namespace)
    assert said.startswith("{"), said
    return dict(json.loads(said))


@pytest.fixture(scope="module")
def answers(installed: Cluster, shared_namespace: str) -> dict[str, Any]:
    """What a stage's pod was answered."""
    return talk(installed, shared_namespace, talker(installed, ours=True), LABELS)


class TestAStagesPod:
    def test_is_heard(self, answers: dict[str, Any]) -> None:
        assert answers["good"] == [204, ""]

    def test_is_not_heard_with_a_token_for_somebody_else(self, answers: dict[str, Any]) -> None:
        assert answers["other audience"][0] == 401

    def test_is_not_heard_without_a_token(self, answers: dict[str, Any]) -> None:
        assert answers["no token"] == [401, "a bearer token is needed"]

    def test_is_refused_when_it_says_too_much_or_nothing_of_use(self, answers: dict[str, Any]) -> None:
        assert answers["too much"][0] == 413
        assert answers["no progress"][0] == 400
        assert answers["other path"][0] == 404

    def test_is_told_to_slow_down(self, answers: dict[str, Any]) -> None:
        assert set(answers["often"]) == {204, 429}
        assert answers["often"][0] == 204

    def test_can_tell_the_endpoint_from_another_server(self, answers: dict[str, Any]) -> None:
        assert answers["another CA"] == "refused"


class TestAnyOtherPod:
    def test_is_not_heard_though_its_token_is_for_us(self, installed: Cluster, namespace: str) -> None:
        answers = talk(installed, namespace, talker(installed, ours=False), {"app": "stranger"})

        assert answers["good"][0] == 403
        assert "belongs to no job" in answers["good"][1]
