"""Where a job on Azure ML puts its result, and where its mailbox lies: the manifest's output; or, in place of a folder of this
machine, one of the workspace's default datastore, from where the result is brought at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from millwright_api.errors import InvalidManifest
from millwright_api.v1alpha1 import Output
from millwright_runner.azure.coordinates import Coordinates
from millwright_runner.plan import Settings, open_output
from millwright_runner.published import SIGNATURE, point_to, read_published, refuse_other
from millwright_runner.record import PAGE, REPORT
from millwright_runner.remote.errand import Errand
from millwright_runner.remote.naming import family
from millwright_runner.stores import Conflict, Store, open_store
from millwright_runner.trees import MANIFEST

FOLDER = "millwright"
"""Of the datastore."""

CLAIM, TRIALS = ".claim", "trials/"


@dataclass(frozen=True)
class Place:
    """An output that Azure ML reaches.

    Attributes:
        output: as the manifest of the job there has it.
        store: the same, open.
        datastore: the datastore that it lies in, with output.path.
        target: the folder of this machine that the result is brought to, with output.path.
        replace: whether another result there may be replaced.
    """

    output: Output
    store: Store
    datastore: str | None = None
    target: Path | None = None
    replace: bool = False


def place_of(errand: Errand, workspace: Coordinates, home: Path) -> Place:
    """Returns where the result goes; the store is not asked yet, but the workspace is, with output.path.

    Raises:
        InvalidManifest: output.path on a cluster: no pod of the cluster makes the result.
        MillwrightError: see `datastores.datastore_place`.
    """
    output = errand.job.spec.output
    if output.path is None:
        return Place(output, open_output(output, Settings(errand.base, home)))
    check_output(errand)
    from millwright_runner.azure.datastores import datastore_place
    from millwright_runner.azure.workspace import asking_workspace, client

    with asking_workspace(workspace):
        datastore = str(client(workspace).datastores.get_default().name)
    found = datastore_place(workspace, datastore, f"{FOLDER}/{family(errand).rstrip('-')}")
    # the datastore's folder is this job's own: what may be replaced is asked where the result is brought to
    document = {"azureBlob": {"uri": found.location.uri}, "replace": True, "sign": output.sign}
    store = open_store(found.location, found.where, credential=found.credential)
    target = errand.base / Path(output.path).expanduser()
    return Place(Output.model_validate(document), store, datastore, target, output.replace)


def check_output(errand: Errand) -> None:
    """Refuses a folder of a pod as the output.

    Raises:
        InvalidManifest: the result would be made on Azure ML.
    """
    if errand.uid is not None and errand.job.spec.output.path is not None:
        raise InvalidManifest(
            "Azure ML does not reach a folder of the cluster's pods",
            where="spec.output.path",
            hint="take azureBlob or s3; `millwright submit` brings a result to a folder",
        )


def bring(place: Place) -> str | None:
    """Brings what was published to this machine's folder, its manifest last; returns where the model lies then.

    Files that are there are not fetched again. None where there is nothing to bring.

    Raises:
        OutputExists: the folder holds another result, which may not be replaced.
        MillwrightError: see `Store.get`.
    """
    found = read_published(place.store) if place.target is not None else None
    if found is None or place.target is None:
        return None
    source, target = place.store, open_store(place.target)
    target.check(write=True)
    there = read_published(target)
    refuse_other(target, there, found.fingerprint, replace=place.replace)
    prefix = found.tree.prefix
    for file in [*found.files, *found.beside]:
        _fetch(source, target, f"{prefix}/{file.path}", file.sha256)
    for entry in source.list(TRIALS):
        _fetch(source, target, entry.key, None)
    for name in (f"{prefix}/{MANIFEST}", f"{prefix}/{CLAIM}", REPORT, PAGE, SIGNATURE):
        blob = source.read(name)
        if blob is not None:
            target.write(name, blob.data)
        elif name == SIGNATURE:
            target.delete([name])
    try:
        target.write(MANIFEST, found.manifest, if_absent=there is None, if_match=there.etag if there else None)
    except Conflict:  # another process has published there meanwhile: what it holds now decides
        refuse_other(target, read_published(target), found.fingerprint, replace=False)
    point_to(target, prefix)
    return f"{target.uri}{prefix}/"


def _fetch(source: Store, target: Store, key: str, sha256: str | None) -> None:
    path = target.local(key)
    assert path is not None  # a folder of this machine
    there = target.stat(key)
    if there is not None and sha256 is not None:
        stat = source.stat(key)
        if stat is not None and stat.size == there.size and _digest(path) == sha256:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    source.get(key, path, sha256)


def _digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
