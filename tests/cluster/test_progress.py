"""How far a job is: told by its pod over TLS, shown in its status and in the columns of kubectl."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.arena import Arena
from tests.cluster.jobs import holds, probe, until


def reported(arena: Arena, name: str) -> dict[str, Any] | None:
    """What status says while the pass is under way, not before and not after, once there is enough to estimate from."""
    progress = arena.status(name).get("progress") or {}
    return progress if 0 < progress.get("percent", 0) < 100 and "eta" in progress else None


class TestProgress:
    def test_is_in_the_status_while_a_pass_is_under_way(self, arena: Arena) -> None:
        arena.start("told", probe("slow", units=80))

        progress = until("progress", lambda: reported(arena, "told"))

        assert progress["pass"] == "slow"
        assert progress["message"] == "probing"
        assert progress["totalSteps"] == 80
        assert progress["percent"] == 100 * progress["step"] // 80
        assert 0 < progress["loss"] <= 1
        assert progress["eta"].endswith("s")
        columns = arena.kubectl("get", "optjob", "told", "-n", arena.namespace).splitlines()
        assert columns[0].split() == ["NAME", "PHASE", "PASS", "PROGRESS", "ETA", "AGE"]
        assert columns[1].split()[1:4] == ["Running", "slow", "1/1"]
        arena.complete("told")

    def test_is_not_taken_from_whoever_has_no_tokens_for_it(self, arena: Arena) -> None:
        arena.start("victim", probe(units=100))
        until("progress", lambda: reported(arena, "victim"))
        (pod,) = arena.live_pods("victim", "stage")
        url = next(e["value"] for e in pod["spec"]["containers"][0]["env"] if e["name"] == "MILLWRIGHT_PROGRESS_URL")
        token = arena.kubectl("create", "token", "default", "-n", arena.namespace).strip()
        (other,) = arena.children("pods", "victim", "preflight")
        forged = arena.kubectl(
            "create", "token", "default", "-n", arena.namespace, "--audience=progress.millwright.dev",
            "--bound-object-kind=Pod", f"--bound-object-name={other['metadata']['name']}",
        ).strip()  # fmt: skip
        script = (
            "import ssl, sys, urllib.error, urllib.request\n"
            "for token in sys.argv[2:]:\n"
            "    request = urllib.request.Request(sys.argv[1], b'{}', {'Authorization': f'Bearer {token}'})\n"
            "    try:\n"
            "        urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=60)\n"
            "    except urllib.error.HTTPError as error:\n"
            "        print(error.code, end=' ')\n"
        )

        said = arena.kubectl(
            "exec", pod["metadata"]["name"], "-n", arena.namespace, "--", "python", "-c", script, url, token, forged
        )

        assert said.split() == ["401", "403"]  # another audience; a pod that runs no stage
        arena.kubectl("delete", "optjob", "victim", "-n", arena.namespace)

    @pytest.mark.alone
    def test_a_job_ends_well_while_nobody_listens(self, arena: Arena, operator_pods: Any) -> None:
        arena.start("unheard", probe(units=40))
        arena.wait("unheard", holds("Running"), "the job to run")

        operator_pods.scale(0)
        try:
            until(
                "the Job's end",
                lambda: [j for j in arena.children("jobs", "unheard", "stage") if j["status"].get("succeeded")],
            )
        finally:
            operator_pods.scale(1)

        assert arena.complete("unheard")["status"]["attempts"] == 1
