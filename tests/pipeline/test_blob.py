"""A whole job in Azure Blob Storage: model, data, cache and output, on a real server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.azurite import BlobContainer
from tests.pipeline.jobs import Here, job, lora

from millwright_runner.published import read_published
from millwright_runner.stores import open_store


def test_model_data_cache_and_output_may_all_lie_in_blob_storage(
    phi3: Path, rows: Path, here: Here, blob: BlobContainer
) -> None:
    inputs = open_store(blob.location("inputs"))
    for file in sorted(phi3.iterdir()):
        inputs.write(f"phi3/{file.name}", file.read_bytes())
    inputs.write("train.jsonl", rows.read_bytes())
    manifest = job(phi3, rows, f"{blob.uri}models/tone", lora(), {"merge": {}}, {"genai": {"precision": "int4"}})
    manifest["spec"]["model"] = {"azureBlob": {"uri": f"{blob.uri}inputs/phi3"}}
    manifest["spec"]["data"][0]["source"] = {"azureBlob": {"uri": f"{blob.uri}inputs/train.jsonl"}}

    first = here.run(manifest, blob.location("cache"))
    again = here.run(manifest, blob.location("cache"))

    assert [entry.cache for entry in first.passes] == ["Miss"] * 3
    assert [entry.cache for entry in again.passes] == ["Hit"] * 3
    output = open_store(blob.location("models/tone"))
    published = read_published(output)
    assert first.artifact is not None
    assert published is not None
    assert published.tree.digest == first.artifact.digest
    assert first.artifact.uri.startswith(f"{blob.uri}models/tone/")
    blob_of = output.read(f"{published.tree.prefix}/provenance.json")
    assert blob_of is not None
    made_of = json.loads(blob_of.data)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [one["uri"] for one in made_of] == [f"{blob.uri}inputs/phi3", f"{blob.uri}inputs/train.jsonl"]
