"""input_model → spec.model."""

from __future__ import annotations

from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.azure import KINDS, address, resource, stand_in, unknown_kind
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.values import boolean
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work

PLACE = "spec.model"
LOADING = ("load_kwargs", "from_pretrained_args", "model_loading_args")
LOCAL_RESOURCES = ("file", "folder", "string_name")
CAUSAL = ("text-generation", "text-generation-with-past")
BY_HAND = "it is not read from there: fetch it into {path}, or name another source"
MLFLOW = "PyTorch.MLflow"


def model(work: Work, top: View) -> dict[str, Any]:
    """Returns spec.model.

    Raises:
        InvalidManifest: there is no input_model, or it names no model.
    """
    found = top.get("input_model")
    if found is None:
        written = sorted({key for _, data in top.parts for key in data})
        raise InvalidManifest("there is no input_model", where="the file", hint=f"there are {', '.join(written)}")
    view = View.of(work.trace, found.path, found.value, "config")
    out = view.walk(load().sections["model"], "spec.model", frozenset({"config"}))
    _kind(work, view, found.path)
    hf = view.get("hf_config")
    hf_view = View.of(work.trace, hf.path, hf.value) if hf else View(work.trace, [])
    hf_view.walk(load().sections["hf_config"], "spec.model")
    for place in (view, hf_view):
        task(work, place)
        for key in LOADING:
            loading = place.get(key)
            if loading:
                out |= _loading(work, loading)
    source = _source(work, view, hf_view, found.path)
    _format(work, view, azure="azureML" in source)
    if "huggingFace" in source and "huggingFace.revision" in out:
        source["huggingFace"]["revision"] = out["huggingFace.revision"]
    elif "huggingFace.revision" in out:
        work.trace.note((), "the revision has no meaning for a folder; it is left out")
    return source


def task(work: Work, view: View) -> None:
    """Judges a task: text generation is the only one."""
    found = view.text("task")
    if found is None:
        return
    if found.value in CAUSAL:
        work.trace.note(found.path, "the only one here")
    else:
        work.trace.unmapped(found.path, f"causal language models only: {' or '.join(CAUSAL)}", blocks=True)


def trust(work: Work, found: Found | None) -> None:
    """Takes note of trust_remote_code."""
    if found is None:
        return
    if boolean(found.path, found.value):
        work.trust_remote_code = True
        work.trace.mapped(found.path, "spec.model.trustRemoteCode")
        work.trace.note(
            found.path, "code that comes with the model will run; models that transformers knows do without it"
        )
    else:
        work.trace.note(found.path, "off, as here by default")


def _kind(work: Work, view: View, path: Path) -> None:
    found = view.text("type")
    if found is None:
        raise InvalidManifest("input_model has no type", where=show(path), hint="HfModel or PyTorchModel")
    if found.value.lower() in ("hfmodel", "pytorchmodel"):
        work.trace.mapped(found.path, "spec.model")
    elif found.value.lower().endswith("model"):
        work.trace.unmapped(
            found.path, "a job starts from a model in Hugging Face's form: HfModel or PyTorchModel", blocks=True
        )
    else:
        raise InvalidManifest(
            f"{found.value!r} is no model's type",
            where=show(found.path),
            hint=suggest(found.value, ("HfModel", "PyTorchModel")),
        )


def _format(work: Work, view: View, *, azure: bool) -> None:
    found = view.text("model_file_format")
    if found is None:
        return
    if found.value == "PyTorch.EntireModel":
        work.trace.note(found.path, "Olive's default; it reads Hugging Face's form by hf_config all the same")
    elif azure and found.value == MLFLOW:
        work.trace.note(found.path, "of a model in Azure ML MLflow's form is found by its MLmodel file")
    else:
        work.trace.unmapped(
            found.path, "the model must be a folder in Hugging Face's form: export it first", blocks=True
        )


def _loading(work: Work, found: Found) -> dict[str, Any]:
    view = View.of(work.trace, found.path, found.value, "extra_args")
    out = view.walk(load().sections["loading"], "spec.model", frozenset({"extra_args"}))
    trust(work, view.get("trust_remote_code"))
    dtype = view.get("torch_dtype")
    if dtype:
        work.trace.note(dtype.path, "a tuning pass trains in its own torch_dtype; merged weights keep the model's type")
    return out


def _source(work: Work, view: View, hf: View, path: Path) -> dict[str, Any]:
    found = view.get("model_path") or hf.get("model_path", "model_name") or view.get("model_name")
    if found is None:
        raise InvalidManifest("it names no model", where=show(path), hint="model_path, or hf_config.model_name")
    overruled = hf.get("model_name")
    if overruled and overruled.path != found.path:
        work.trace.note(overruled.path, "model_path goes before it")
    if isinstance(found.value, dict):
        return _resource(work, found)
    if not isinstance(found.value, str) or not found.value.strip():
        wrong(found.path, found.value, "path or name of a model")
    return _by_name(work, found.path, found.value)


def _by_name(work: Work, path: Path, name: str) -> dict[str, Any]:
    if name.startswith("azureml:"):
        found = address(work, Found(path, name), f"{PLACE}.azureML")
        return {"azureML": found} if found else {"path": stand_in(work, "models", name.rpartition("/")[2])}
    if name.startswith(("https://", "http://")):
        return _elsewhere(work, path, name.rstrip("/").rpartition("/")[2])
    if is_repo(work, name):
        work.trace.mapped(path, "spec.model.huggingFace.repo")
        work.trace.note(
            path, "no folder of that name here: taken as a repository of the Hugging Face hub, as Olive does"
        )
        return {"huggingFace": {"repo": name}}
    work.trace.mapped(path, "spec.model.path")
    return {"path": work.paths.manifest(name)}


def is_repo(work: Work, name: str) -> bool:
    """Whether a name is a repository's: no folder here has it, and it has the form owner/name or name."""
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return not looks_local and work.paths.find(name) is None


def _resource(work: Work, found: Found) -> dict[str, Any]:
    """A resource of Olive's: {type, config}."""
    view = View.of(work.trace, found.path, found.value, "config")
    kind = view.text("type")
    if kind is None:
        raise InvalidManifest("it has no type", where=show(found.path), hint=", ".join((*LOCAL_RESOURCES, *KINDS)))
    if kind.value in LOCAL_RESOURCES:
        name = view.text("path", "name")
        if name is None:
            raise InvalidManifest("it names no path", where=show(found.path))
        work.trace.note(kind.path, "a path or a name")
        return _by_name(work, name.path, name.value)
    if kind.value not in KINDS:
        raise unknown_kind(kind, LOCAL_RESOURCES)
    made = resource(work, view, kind, f"{PLACE}.azureML")
    return {"azureML": made} if made else {"path": stand_in(work, "models", "model")}


def _elsewhere(work: Work, path: Path, name: str) -> dict[str, Any]:
    place = stand_in(work, "models", name)
    work.trace.unmapped(path, BY_HAND.format(path=place), blocks=True)
    return {"path": place}
