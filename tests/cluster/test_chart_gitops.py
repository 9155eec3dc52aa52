"""What docs/gitops.md tells: a changed recipe through Helm, and through Argo CD, which replaces by force as kubectl does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.arena import OPTJOB, Arena
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import holds, probe, until

PAGE = Path(__file__).parents[2] / "docs" / "gitops.md"


def snippet(after: str) -> str:
    """The first block of YAML below a heading of the page."""
    section = PAGE.read_text().split(f"## {after}\n")[1]
    found = re.search(r"```yaml\n(.*?)```", section, re.S)
    assert found is not None
    return found[1]


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A team's own chart, with the template that the page shows."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: team\nversion: 1.0.0\n")
    (tmp_path / "templates" / "job.yaml").write_text(snippet("Helm"))
    return tmp_path


class TestHelm:
    def upgrade(self, arena: Arena, cluster: Cluster, chart: Path, spec: dict[str, Any]) -> set[str]:
        """Installs or upgrades a team's release; returns the names of its jobs."""
        (chart / "job.yaml").write_text(yaml.safe_dump(spec))
        cluster.helm("upgrade", "--install", "team", str(chart), "--namespace", arena.namespace)
        return {job["metadata"]["name"] for job in arena.list(OPTJOB) if job["metadata"]["name"].startswith("phi3-")}

    def test_a_changed_recipe_is_another_job_and_the_same_one_is_left_alone(
        self, arena: Arena, installed: Cluster, chart: Path
    ) -> None:
        spec = arena.manifest("helm", probe(units=1), suspend=True)["spec"]

        first = self.upgrade(arena, installed, chart, spec)
        again = self.upgrade(arena, installed, chart, spec)
        other = self.upgrade(arena, installed, chart, spec | {"retry": {"maxAttempts": 1}})

        assert len(first) == 1
        assert again == first
        assert len(other - first) == 1
        until("the old one to go", lambda: not {job["metadata"]["name"] for job in arena.list(OPTJOB)} & first)
        installed.helm("uninstall", "team", "--namespace", arena.namespace)


class TestArgoCD:
    def test_a_started_job_takes_no_changed_recipe_and_is_replaced_by_force(self, arena: Arena) -> None:
        arena.start("synced", probe(units=2))
        before = arena.wait("synced", lambda job: "startTime" in job.get("status", {}), "synced to start")
        changed = arena.manifest("synced", probe(units=3), output={"replace": True})

        with pytest.raises(AssertionError, match=r"passes.*(frozen|started)"):
            arena.apply(changed)
        arena.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(changed))

        after = arena.complete("synced")
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert after["spec"]["passes"][0]["custom"]["options"]["units"] == 3

    def test_the_same_manifest_applied_again_changes_nothing(self, arena: Arena) -> None:
        body = arena.manifest("drift", probe(units=1))
        arena.apply(body)
        arena.wait("drift", holds("Finished"), "drift to end")
        before = arena.job("drift")["metadata"]

        arena.apply(body)

        after = arena.job("drift")["metadata"]
        assert (after["generation"], after["resourceVersion"]) == (before["generation"], before["resourceVersion"])
