"""Provenance: an in-toto Statement v1 with SLSA's predicate, version 1 (slsa.dev/spec/v1.0/provenance).

It names what was made and of what, each by digest, and holds no time, no host and no folder of a machine: the same job
gives the same bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from millwright_api.names import ENV_IMAGE
from millwright_api.v1alpha1 import DataSource, Model
from millwright_runner.artifact import FileDigest
from millwright_runner.beside.chosen import Chosen
from millwright_runner.beside.public import public_path, public_spec, volume_uri
from millwright_runner.cache import library_versions
from millwright_runner.plan import Plan
from millwright_runner.signing import STATEMENT_TYPE

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://millwright.dev/optimization-job/v1"
BUILDER = "https://millwright.dev/runner"

DIGEST = "millwrightTree"
"""The name of our own digests among a resource's: of a model's files or of a data set with its format; see the docs."""

_PINNED = re.compile(r"(?:.*/)?([^/@:]+)(?::[^/@]*)?@sha256:([0-9a-f]{64})")


def provenance(
    plan: Plan, files: Sequence[FileDigest], before: bytes | None = None, *, chosen: Chosen | None = None
) -> bytes:
    """Returns the statement as JSON.

    Args:
        plan: of the run.
        files: the published model's.
        before: the statement that lies beside this very model already. Who made the model is taken over from it: a run
            that finds everything in its place made nothing.
        chosen: the trial of a search that the model is of. What was asked for is the search then, and the trial is an internal
            parameter: nobody asked for it.
    """
    trial = {"trial": {"number": chosen.number, "parameters": dict(chosen.at)}} if chosen else {}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": file.path, "digest": {"sha256": file.sha256}} for file in files],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": public_spec(chosen.job if chosen else plan.job),
                "internalParameters": {
                    "fingerprint": plan.fingerprint,
                    **trial,
                    "steps": [{"name": s.step.name, "pass": s.step.pass_.name, "key": s.key} for s in plan.steps],
                },
                "resolvedDependencies": [_model(plan), *_data(plan)],
            },
            "runDetails": {"builder": _builder(plan)},
        },
    }
    made = _run_details(before, statement["subject"])
    if made is not None:
        statement["predicate"]["runDetails"] = made  # type: ignore[index]
    return json.dumps(statement, indent=1, ensure_ascii=False).encode() + b"\n"


def image_of(reference: str) -> list[dict[str, Any]]:
    """Returns an image by its name and digest, without its registry; nothing where the reference has no digest.

    Args:
        reference: as a pod has it: `registry/group/name:tag@sha256:…`.
    """
    found = _PINNED.fullmatch(reference)
    return [{"name": found[1], "digest": {"sha256": found[2]}}] if found else []


def _builder(plan: Plan) -> dict[str, Any]:
    libraries = {name for step in plan.steps for name in step.step.pass_.libraries}
    image = image_of(os.environ.get(ENV_IMAGE, ""))
    return {
        "id": BUILDER,
        "version": library_versions(("millwright", *sorted(libraries))),
        **({"builderDependencies": image} if image else {}),
    }


def _run_details(before: bytes | None, subject: Any) -> Any:
    try:
        said = json.loads(before or b"null")
        return said["predicate"]["runDetails"] if said["subject"] == subject else None
    except (ValueError, KeyError, TypeError):
        return None


def _model(plan: Plan) -> dict[str, Any]:
    model, found = plan.job.spec.model, plan.model
    known: dict[str, str] = {DIGEST: found.digest}
    if found.commit is not None:
        known["gitCommit"] = found.commit
    return {"name": "model", "uri": _uri(model, "models", found.commit, found.facts.where), "digest": known}


def _data(plan: Plan) -> Iterable[dict[str, Any]]:
    for entry in plan.job.spec.data:
        found = plan.data[entry.name]
        uri = _uri(entry.source, "datasets", None, found.where)
        yield {"name": f"data/{entry.name}", "uri": uri, "digest": {DIGEST: found.digest}}


def _uri(source: Model | DataSource, kind: str, commit: str | None, where: str) -> str:
    """Returns the address of a source; `where` is what messages call it."""
    if source.hugging_face is not None:
        revision = commit or source.hugging_face.revision
        return f"hf://{kind}/{source.hugging_face.repo}{f'@{revision}' if revision else ''}"
    stored = source.s3 or source.azure_blob
    if stored is not None:
        return stored.uri
    if source.azure_ml is not None:
        return where
    if source.volume is not None:
        return volume_uri(source.volume)
    return f"file:{public_path(str(source.path))}"
