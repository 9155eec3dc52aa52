"""PersistentVolumeClaims: a model and rows from one, a model into one, as a user that is not root."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cluster.arena import Arena
from tests.cluster.jobs import condition, lora, probe, until

CLAIM = "shared"


def claim(arena: Arena, name: str, folder: str) -> None:
    """A volume on the node, and a claim on it: what a storage class would make."""
    volume = f"{arena.namespace}-{name}"
    spec: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    arena.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": spec
            | {
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
                "claimRef": {"namespace": arena.namespace, "name": name},
            },
        }
    )
    arena.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": arena.namespace},
            "spec": spec | {"volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        }
    )


@pytest.fixture(scope="module")
def volume(trainable: Arena, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A claim whose folder the test sees as well; it holds the model and the rows of the bucket."""
    folder = tmp_path_factory.mktemp("volume")
    folder.parent.parent.chmod(0o755)
    folder.parent.chmod(0o755)
    folder.chmod(0o777)
    for key in [*trainable.keys("model/"), "train.jsonl"]:
        (folder / key).parent.mkdir(exist_ok=True)
        trainable.s3.download_file(trainable.bucket, key, str(folder / key))
    claim(trainable, CLAIM, str(folder))
    yield folder
    trainable.kubectl("delete", "pvc", CLAIM, "-n", trainable.namespace, "--wait=false")
    trainable.kubectl("delete", "pv", f"{trainable.namespace}-{CLAIM}", "--wait=false")


def at(path: str) -> dict[str, Any]:
    return {"volume": {"claimName": CLAIM, "path": path}, "s3": None}


class TestVolumes:
    def test_source_and_output_in_one_claim(self, trainable: Arena, volume: Any) -> None:
        job = trainable.manifest("claimed", lora(), {"merge": {}}, model=at("model"), output=at("models/claimed"))
        job["spec"]["data"][0]["source"] = {"volume": {"claimName": CLAIM, "path": "train.jsonl"}}

        trainable.apply(job)

        ended = trainable.complete("claimed")
        published = json.loads((volume / "models/claimed/manifest.json").read_text())
        assert published["kind"] == "PublishedModel"
        assert "models/claimed" in ended["status"]["artifacts"][0]["uri"]

    def test_a_claim_that_is_only_read_is_mounted_read_only(self, trainable: Arena, volume: Any) -> None:
        trainable.start("reader", probe(), model=at("model"))

        trainable.complete("reader")

        for pod in trainable.children("pods", "reader"):
            mounts = {m["mountPath"]: m for m in pod["spec"]["containers"][0]["volumeMounts"]}
            assert mounts[f"/volumes/{CLAIM}"]["readOnly"] is True

    def test_a_claim_that_is_not_there_is_named(self, arena: Arena) -> None:
        arena.start("unclaimed", probe(), model={"volume": {"claimName": "nobodys", "path": ""}, "s3": None})

        said = until("the finding", lambda: condition(arena.job("unclaimed"), "Stalled") or None)

        assert said["reason"] == "VolumeNotFound"
        assert "nobodys" in said["message"]
