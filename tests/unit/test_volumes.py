"""Volumes: a claim's place in a pod, as source and as output, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cliground import CliGround
from tests.podground import DATA, PodGround, obey

from millwright_api.errors import AccessDenied, InvalidManifest, MillwrightError
from millwright_api.sources import VolumeLocation
from millwright_runner.volumes import place_of


def location(path: str = "models/phi", claim: str = "team") -> VolumeLocation:
    return VolumeLocation.model_validate({"claimName": claim, "path": path})


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    (tmp_path / "volumes" / "team" / "models").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "token").write_text("of somebody else")
    return tmp_path / "volumes"


class TestPlaces:
    def test_a_place_lies_below_its_claim_and_need_not_exist(self, volumes: Path) -> None:
        assert place_of(location(), volumes, "spec.output.volume") == volumes / "team" / "models" / "phi"

    def test_without_a_path_it_is_the_volumes_root(self, volumes: Path) -> None:
        assert place_of(location(""), volumes, "spec.output.volume") == volumes / "team"

    def test_without_a_cluster_there_is_none(self) -> None:
        with pytest.raises(InvalidManifest) as caught:
            place_of(location(), None, "spec.model.volume")

        assert str(caught.value) == (
            "spec.model.volume: a volume is there only on a cluster (use path or s3 on this machine)"
        )

    def test_a_claim_that_is_not_mounted_is_named(self, volumes: Path) -> None:
        with pytest.raises(InvalidManifest, match="'nobodys' is not mounted"):
            place_of(location(claim="nobodys"), volumes, "spec.model.volume")


class TestEscapes:
    def escape(self, volumes: Path, path: str) -> MillwrightError:
        with pytest.raises(AccessDenied) as caught:
            place_of(location(path), volumes, "spec.model.volume")
        return caught.value

    def test_a_link_to_a_folder_outside_is_refused(self, volumes: Path) -> None:
        (volumes / "team" / "link").symlink_to(volumes.parent / "secret")

        error = self.escape(volumes, "link")

        assert error.where == "spec.model.volume"
        assert "a link out of its volume" in error.message

    def test_so_is_a_link_on_the_way(self, volumes: Path) -> None:
        (volumes / "team" / "link").symlink_to(volumes.parent)

        self.escape(volumes, "link/secret")

    def test_so_is_a_file_in_a_models_folder_that_leads_outside(self, volumes: Path) -> None:
        (volumes / "team" / "models" / "config.json").symlink_to(volumes.parent / "secret" / "token")

        assert "config.json" in self.escape(volumes, "models").message

    def test_so_is_another_claim(self, volumes: Path) -> None:
        (volumes / "other").mkdir()
        (volumes / "team" / "link").symlink_to(volumes / "other")

        self.escape(volumes, "link")

    def test_a_link_within_the_volume_is_followed(self, volumes: Path) -> None:
        (volumes / "team" / "latest").symlink_to("models")

        assert place_of(location("latest"), volumes, "spec.model.volume").resolve() == volumes / "team" / "models"

    @pytest.mark.parametrize("path", ["../other", "a/../../b", "/etc", ".", "a//b", "a/./b"])
    def test_a_path_that_is_written_so_is_no_path_of_a_volume(self, path: str) -> None:
        with pytest.raises(ValueError, match="path"):
            location(path)


class TestInJobs:
    def test_model_data_and_output_may_all_lie_in_volumes(self, tmp_path: Path) -> None:
        pod = PodGround.make(tmp_path)
        pod.write(passes=[obey("one")])

        word = pod.run("stage")

        assert word.code == 0, word.out
        made = pod.claim / "out" / "model"
        assert (made / "config.json").read_text() == (pod.claim / "model" / "config.json").read_text()

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"model": {"volume": {"claimName": "team"}}}, "spec.model.volume"),
            ({"data": [DATA]}, "spec.data[train].source.volume"),
            ({"output": {"volume": {"claimName": "team"}}}, "spec.output.volume"),
        ],
        ids=["model", "data", "output"],
    )
    def test_on_this_machine_they_are_refused_with_their_path(
        self, tmp_path: Path, change: dict[str, Any], where: str
    ) -> None:
        ground = CliGround.make(tmp_path)
        ground.write_job(**change)

        said = ground.run("run", "job.yaml", "--json")

        assert said.code == 2
        report = json.loads(said.out)
        assert report["reason"] == "InvalidManifest"
        assert where in report["message"]
        assert "only on a cluster" in report["message"]
