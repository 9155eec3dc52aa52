"""Provenance, and what else lies beside a published model: written with it, kept right, never a part of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from tests.azurite import BlobContainer
from tests.conftest import S3Bucket
from tests.keys import Pair
from tests.tiny import make_model_files
from tests.unit.test_judging import Entry, Length, Write
from tests.unit.test_pipeline import Listening

from millwright_api.errors import InvalidKey
from millwright_api.report import RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import catalog, pipeline
from millwright_runner.artifact import Artifact
from millwright_runner.beside.provenance import image_of, provenance
from millwright_runner.catalog import Catalog
from millwright_runner.passes import Context, StopFlag
from millwright_runner.plan import Plan, Settings, make_plan
from millwright_runner.published import Published, Signer, read_published
from millwright_runner.signing import PublicKey, SigningKey
from millwright_runner.trees import sealed, unsealed

LENGTH = {"metrics": [{"name": "length", "custom": {"metric": "length"}}]}
COMMIT = "0a67737cc96d2554230f90338b163bc6380a2a85"


class Card(Write):
    """Writes a model that has a card of its own."""

    name: ClassVar[str] = "card"

    def run(self, artifact: Artifact, context: Context) -> None:
        super().run(artifact, context)
        (context.folder / "README.md").write_text("the pass's own")


@pytest.fixture(autouse=True)
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    groups = {
        "millwright.passes": {"write": Entry(Write), "card": Entry(Card)},
        "millwright.metrics": {"length": Entry(Length)},
    }
    monkeypatch.setattr(catalog, "_entry_points", groups.__getitem__)
    Catalog.get.cache_clear()
    yield
    Catalog.get.cache_clear()


class Ground:
    """A model of zeros, and jobs that write a letter to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_model_files(folder / "base")
        (folder / "base" / "README.md").write_text("---\nlicense: mit\n---\n")
        self.output: dict[str, Any] = {"path": "out"}

    def plan(self, text: str = "a", kind: str = "write", signer: Signer | None = None, **spec: Any) -> Plan:
        self.settings = Settings(base=self.folder, home=self.folder / "home", signer=signer)
        passes = [{"name": "letter", "custom": {"pass": kind, "options": {"text": text}}}]
        job = {
            "apiVersion": "millwright.dev/v1alpha1", "kind": "OptimizationJob", "metadata": {"name": "test"},
            "spec": {"model": {"path": "base"}, "passes": passes, "output": self.output, **spec},
        }  # fmt: skip
        plan = make_plan(OptimizationJob.model_validate(job), self.settings)
        self.store = plan.output
        return plan

    def run(self, text: str = "a", kind: str = "write", signer: Signer | None = None, **spec: Any) -> RunReport:
        plan = self.plan(text, kind, signer, **spec)
        return pipeline.run(plan, self.settings, Listening(), StopFlag())

    @property
    def published(self) -> Published:
        found = read_published(self.store)
        assert found is not None
        return found

    def read(self, name: str) -> bytes:
        there = self.published
        blob = self.store.read(f"{there.tree.prefix}/{name}")
        assert blob is not None
        return blob.data

    @property
    def statement(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.read("provenance.json"))
        return read

    def fits(self) -> bool:
        """Whether all that lies beside the model is what the manifest says."""
        there = {file.path: file.sha256 for file in self.published.beside}
        return there == {name: hashlib.sha256(self.read(name)).hexdigest() for name in there} != {}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.load(Pair.make().private, "key.pem")


class TestTheStatement:
    def test_it_is_slsas_provenance_of_every_file(self, ground: Ground) -> None:
        ground.run()

        said = ground.statement
        assert (said["_type"], said["predicateType"]) == (
            "https://in-toto.io/Statement/v1",
            "https://slsa.dev/provenance/v1",
        )
        assert said["subject"] == [
            {"name": file.path, "digest": {"sha256": file.sha256}} for file in ground.published.files
        ]

    def test_it_names_what_was_asked_for_and_of_what_it_was_made(self, ground: Ground) -> None:
        ground.run(evaluation=LENGTH)

        built = ground.statement["predicate"]["buildDefinition"]
        plan = ground.plan()
        assert built["externalParameters"]["model"] == {"path": "base"}
        assert built["externalParameters"]["evaluation"]["metrics"][0]["name"] == "length"
        assert built["internalParameters"]["steps"] == [{"name": "letter", "pass": "write", "key": plan.steps[0].key}]
        assert built["resolvedDependencies"] == [
            {"name": "model", "uri": "file:base", "digest": {"millwrightTree": plan.model.digest}}
        ]

    def test_a_hubs_model_is_named_with_its_commit(self, ground: Ground) -> None:
        plan = ground.plan()
        spec = yaml.safe_load("{huggingFace: {repo: microsoft/Phi-3}}")
        written = plan.job.model_dump(mode="json", exclude_unset=True)
        written["spec"]["model"] = spec
        from_hub = replace(plan, job=OptimizationJob.model_validate(written), model=replace(plan.model, commit=COMMIT))

        (model,) = json.loads(provenance(from_hub, []))["predicate"]["buildDefinition"]["resolvedDependencies"]

        assert model["uri"] == f"hf://models/microsoft/Phi-3@{COMMIT}"
        assert model["digest"]["gitCommit"] == COMMIT

    def test_what_lies_in_a_workspace_is_named_without_whose_it_is(self, ground: Ground) -> None:
        plan, where = ground.plan(), "azureml://registries/azureml/models/phi/versions/3"
        written = plan.job.model_dump(mode="json", exclude_unset=True)
        written["spec"]["model"] = {
            "azureML": {
                "name": "phi",
                "subscriptionId": "subscription-1",
                "resourceGroup": "group-1",
                "workspace": "ws-1",
            }
        }
        model = replace(plan.model, facts=replace(plan.model.facts, where=where))
        from_workspace = replace(plan, job=OptimizationJob.model_validate(written), model=model)

        said = provenance(from_workspace, []).decode()

        assert json.loads(said)["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"] == where
        assert not [name for name in ("subscription-1", "group-1", "ws-1") if name in said]

    def test_it_holds_no_folder_of_the_machine(self, ground: Ground) -> None:
        ground.output = {"path": str(ground.folder / "out")}
        ground.run(model={"path": str(ground.folder / "base")})

        assert str(ground.folder) not in ground.read("provenance.json").decode()
        assert str(ground.folder) not in ground.read("README.md").decode()

    def test_another_machine_gives_the_same_bytes(self, ground: Ground, tmp_path: Path) -> None:
        other = Ground(tmp_path / "elsewhere")
        for one in (ground, other):
            one.run(evaluation=LENGTH)

        assert ground.read("provenance.json") == other.read("provenance.json")
        assert ground.read("README.md") == other.read("README.md")
        assert ground.published.manifest == other.published.manifest

    @pytest.mark.parametrize(
        ("image", "told"),
        [
            (
                f"registry.local:5000/team/runner:1.2@sha256:{'a' * 64}",
                [{"name": "runner", "digest": {"sha256": "a" * 64}}],
            ),
            ("runner:latest", []),
            ("", []),
        ],
    )
    def test_an_image_is_named_when_it_is_pinned(self, image: str, told: list[Any]) -> None:
        assert image_of(image) == told

    def test_a_pods_image_is_a_dependency_of_the_builder(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MILLWRIGHT_IMAGE", f"registry.local/runner@sha256:{'b' * 64}")
        ground.run()

        builder = ground.statement["predicate"]["runDetails"]["builder"]
        assert builder["builderDependencies"] == [{"name": "runner", "digest": {"sha256": "b" * 64}}]


class TestBesideTheModel:
    def test_the_manifest_names_both_files_and_the_model_has_neither(self, ground: Ground) -> None:
        report = ground.run()

        assert [file.path for file in ground.published.beside] == ["README.md", "provenance.json"]
        assert {file.path for file in ground.published.files}.isdisjoint({"README.md", "provenance.json"})
        assert ground.fits()
        assert report.artifact is not None
        assert report.artifact.digest == report.passes[-1].digest

    def test_the_licence_is_carried_over(self, ground: Ground) -> None:
        ground.run()

        assert "\nlicense: mit\n" in ground.read("README.md").decode()

    def test_a_second_run_writes_nothing(self, ground: Ground) -> None:
        ground.run(evaluation=LENGTH)
        before = ground.published

        ground.run(evaluation=LENGTH)

        assert ground.published == before  # its etag too

    def test_a_model_with_a_card_of_its_own_keeps_it(self, ground: Ground) -> None:
        ground.run(kind="card")

        assert ground.read("README.md") == b"the pass's own"
        assert b"# test" in ground.read("README.millwright.md")
        assert ground.fits()

    def test_figures_that_come_later_are_in_the_card_and_the_model_stays(self, ground: Ground) -> None:
        first = ground.run()

        second = ground.run(evaluation=LENGTH)

        assert b"| length | letters |" in ground.read("README.md")
        assert ground.fits()
        assert first.artifact is not None
        assert second.artifact is not None
        assert second.artifact.digest == first.artifact.digest

    @pytest.mark.parametrize("name", ["README.md", "provenance.json"])
    @pytest.mark.parametrize("damage", [b"", b"changed by hand", None])
    def test_what_was_damaged_is_mended_by_the_next_run(self, name: str, damage: bytes | None, ground: Ground) -> None:
        ground.run()
        whole, manifest = ground.read(name), ground.published.manifest
        file = ground.folder / "out" / "model" / name
        file.unlink() if damage is None else file.write_bytes(damage)

        report = ground.run()

        assert report.passes[0].cache == "Hit"
        assert ground.read(name) == whole
        assert ground.published.manifest == manifest

    def test_who_made_the_model_stays_said_by_later_runs(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MILLWRIGHT_IMAGE", f"runner@sha256:{'a' * 64}")
        ground.run()
        made = ground.statement["predicate"]["runDetails"]
        monkeypatch.setenv("MILLWRIGHT_IMAGE", f"runner@sha256:{'b' * 64}")

        ground.run(evaluation=LENGTH)

        assert ground.statement["predicate"]["runDetails"] == made
        assert "evaluation" in ground.statement["predicate"]["buildDefinition"]["externalParameters"]

    def test_they_go_with_the_model_that_is_replaced_and_a_persons_file_stays(self, ground: Ground) -> None:
        ground.run("a")
        old = ground.folder / "out" / ground.published.tree.prefix
        (old / "notes.txt").write_text("a person's")
        ground.output = {"path": "out", "replace": True}

        ground.run("b")

        assert [path.name for path in old.iterdir()] == ["notes.txt"]
        assert ground.fits()

    def test_an_output_of_an_earlier_release_gets_them(self, ground: Ground) -> None:
        ground.run()
        manifest = ground.folder / "out" / "manifest.json"
        body = unsealed(manifest.read_bytes(), "PublishedModel")
        assert body is not None
        manifest.write_bytes(sealed({k: v for k, v in body.items() if k not in ("beside", "replacedBeside")}))
        (ground.folder / "out" / "model" / "README.md").unlink()

        ground.run()

        assert [file.path for file in ground.published.beside] == ["README.md", "provenance.json"]
        assert ground.fits()

    @pytest.mark.parametrize("kind", ["s3", "blob"])
    def test_in_a_store_of_objects_it_is_the_same(
        self, ground: Ground, request: pytest.FixtureRequest, kind: str
    ) -> None:
        bucket: S3Bucket | BlobContainer = request.getfixturevalue(kind)
        ground.output = {"s3" if kind == "s3" else "azureBlob": {"uri": f"{bucket.uri}models/a/"}}
        ground.run()
        before = ground.published

        ground.run()

        assert ground.fits()
        assert ground.published == before


class TestSigned:
    @pytest.fixture
    def objection(self, ground: Ground, key: SigningKey) -> Callable[[], str | None]:
        def ask() -> str | None:
            file = ground.folder / "out" / "manifest.json.sig"
            public: PublicKey = key.public
            return public.objection(file.read_bytes() if file.exists() else None, ground.published.manifest)

        return ask

    def test_without_a_key_nothing_is_signed(self, ground: Ground, objection: Callable[[], str | None]) -> None:
        ground.run()

        assert objection() == "not signed"

    def test_with_one_the_manifest_is(
        self, ground: Ground, key: SigningKey, objection: Callable[[], str | None]
    ) -> None:
        ground.run(signer=key)

        assert objection() is None

    def test_what_is_published_already_is_signed_too(
        self, ground: Ground, key: SigningKey, objection: Callable[[], str | None]
    ) -> None:
        ground.run()

        ground.run(signer=key)

        assert objection() is None

    def test_a_right_signature_is_not_written_again(self, ground: Ground, key: SigningKey) -> None:
        ground.run(signer=key)
        file = ground.folder / "out" / "manifest.json.sig"
        written = file.stat().st_mtime_ns

        ground.run(signer=key)

        assert file.stat().st_mtime_ns == written

    def test_a_run_without_the_key_that_changes_nothing_leaves_it(
        self, ground: Ground, key: SigningKey, objection: Callable[[], str | None]
    ) -> None:
        ground.run(signer=key)

        ground.run()

        assert objection() is None

    def test_one_that_changes_the_manifest_takes_it_away(
        self, ground: Ground, key: SigningKey, objection: Callable[[], str | None]
    ) -> None:
        ground.run(signer=key)

        ground.run(evaluation=LENGTH)

        assert objection() == "not signed"

    def test_new_figures_are_signed_anew(
        self, ground: Ground, key: SigningKey, objection: Callable[[], str | None]
    ) -> None:
        ground.run(signer=key)

        ground.run(signer=key, evaluation=LENGTH)

        assert objection() is None

    def test_a_job_that_has_to_be_signed_runs_nothing_without_a_key(self, ground: Ground) -> None:
        ground.output = {"path": "out", "sign": True}
        Write.ran.clear()

        with pytest.raises(InvalidKey, match=r"spec\.output\.sign: the result has to be signed, and there is no key"):
            ground.run()

        assert Write.ran == []

    def test_with_one_it_is_signed(self, ground: Ground, key: SigningKey, objection: Callable[[], str | None]) -> None:
        ground.output = {"path": "out", "sign": True}

        ground.run(signer=key)

        assert objection() is None
