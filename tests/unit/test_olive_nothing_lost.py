"""Nothing of a workflow is dropped in silence: each leaf is taken over, noted, or listed; and an unknown key anywhere is found."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from tests.olive.samples import NAMES, SAMPLES, imported, sample

from millwright_api.errors import UserError
from millwright_runner.olive import Imported, convert
from millwright_runner.olive.trace import Path, leaves, show

STRANGE = "zq_surplus"


def fates(found: Imported) -> dict[str, set[str]]:
    """Returns path → what became of it."""
    out: dict[str, set[str]] = {}
    for path in found.mapped:
        out.setdefault(path, set()).add("taken over")
    for line in found.unmapped:
        out.setdefault(line.path, set()).add("listed")
    return out


def covered_by_note(found: Imported, path: str) -> bool:
    return any(
        note.path and (path == note.path or path.startswith((f"{note.path}.", f"{note.path}["))) for note in found.notes
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_leaf_meets_exactly_one_fate(name: str):
    found = imported(name)
    told = fates(found)

    for path, _ in leaves(sample(name)):
        fate = told.get(show(path), set())
        assert len(fate) <= 1, f"{show(path)} is both taken over and listed"
        assert fate or covered_by_note(found, show(path)), f"{show(path)} is dropped in silence"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_listed_that_is_not_there(name: str):
    there = {show(path) for path, _ in leaves(sample(name))}

    assert set(fates(imported(name))) <= there


def mappings(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yields the path of each mapping."""
    if isinstance(value, dict):
        yield path
        for key, below in value.items():
            yield from mappings(below, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from mappings(item, (*path, index))


def at(config: Any, path: Path) -> Any:
    for part in path:
        config = config[part]
    return config


PLACES = [(name, path) for name in NAMES for path in mappings(sample(name))]


@pytest.mark.parametrize("value", [7, None, {"deeper": [1, {"deepest": True}]}], ids=repr)
@pytest.mark.parametrize(
    ("name", "path"), PLACES, ids=lambda part: part if isinstance(part, str) else show(part) or "root"
)
def test_an_unknown_key_anywhere_is_listed_or_refused(name: str, path: Path, value: Any):
    config = sample(name)
    at(config, path)[STRANGE] = value

    try:
        found = convert(config)
    except UserError as error:
        assert STRANGE in str(error)
        return

    if path[-1:] == ("tags",):  # which may have any name
        assert found.mapped[show((*path, STRANGE))].endswith(f".tags.{STRANGE}")
        return
    listed = [line.path for line in found.unmapped if STRANGE in line.path]
    assert listed, f"{STRANGE} below {show(path)} is dropped in silence"
    assert all(line.startswith(show((*path, STRANGE))) for line in listed)


MAKE_THE_MODEL = [
    ("seed", ()),
    ("seed", ("engine",)),
    ("seed", ("input_model",)),
    ("seed", ("input_model", "config", "hf_config")),
    ("seed", ("input_model", "config", "hf_config", "model_loading_args")),
    ("seed", ("data_configs", 0)),
    ("seed", ("data_configs", 0, "load_dataset_config", "params")),
    ("seed", ("data_configs", 0, "pre_process_data_config")),
    ("seed", ("passes", "lora")),
    ("seed", ("passes", "lora", "config")),
    ("seed", ("passes", "lora", "config", "training_args")),
    ("seed", ("passes", "merge_adapter_weights")),
    ("seed", ("passes", "builder", "config")),
    ("old_azure", ("input_model", "config", "model_path", "config")),
    ("old_azure", ("data_configs", 0, "load_dataset_config", "params", "data_files", "config")),
    ("old_params_config", ("data_configs", 0, "params_config")),
    ("old_params_config", ("data_configs", 0, "params_config", "component_kwargs")),
    ("new_search", ("passes", "builder", 0, "extra_options")),
    ("new_trials", ("search_strategy",)),
    ("new_trials", ("search_strategy", "sampler_config")),
    ("new_trials", ("passes", "tune", 1)),
    ("new_trials", ("passes", "tune", 0, "training_args", "learning_rate")),
    ("new_trials", ("passes", "builder", "int4_algo_config")),
    ("old_trials", ("engine", "search_strategy", "search_algorithm_config")),
]


@pytest.mark.parametrize(
    ("name", "path"), MAKE_THE_MODEL, ids=lambda part: part if isinstance(part, str) else show(part) or "root"
)
def test_an_unknown_key_among_what_makes_the_model_keeps_the_workflow_from_running(name: str, path: Path):
    config = sample(name)
    at(config, path)[STRANGE] = 7

    (line,) = [line for line in convert(config).unmapped if STRANGE in line.path]

    assert line.blocks
    assert line.path == show((*path, STRANGE))
    assert "unknown key" in line.why


AROUND_THE_MODEL = [
    ("seed", ("systems", "aml", "config")),
    ("seed", ("systems", "azure_arc", "config", "aml_docker_config")),
    ("old_azure", ("azureml_client",)),
    ("old_azure", ("systems", "aml", "config", "aml_environment_config")),
    ("old_azure", ("systems", "aml", "config", "resources")),
    ("old_azure", ("systems", "azure_arc", "config", "accelerators", 0)),
    ("old_arc", ("systems", "arc", "config", "azureml_client_config")),
    ("old_arc", ("systems", "arc", "config", "aml_docker_config")),
    ("old_azure", ("evaluators", "common", "metrics", 0)),
    ("old_azure", ("engine", "packaging_config", 0)),
    ("new_tiny", ("systems", "local_system")),
    ("new_search", ("cache_config",)),
    ("new_search", ("data_configs", 1)),
]


@pytest.mark.parametrize(
    ("name", "path"), AROUND_THE_MODEL, ids=lambda part: part if isinstance(part, str) else show(part)
)
def test_an_unknown_key_around_the_model_is_listed_and_does_not_stop_the_run(name: str, path: Path):
    config = sample(name)
    at(config, path)[STRANGE] = 7

    (line,) = [line for line in convert(config).unmapped if STRANGE in line.path]

    assert not line.blocks


def other(value: Any) -> Any:
    """Returns a value of the same type that says something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2
    if isinstance(value, str):
        return f"{value}x"
    return [*value, "another"]


IMPORTED = {name: imported(name) for name in NAMES}
MAPPED = [(name, path) for name in NAMES for path, _ in leaves(sample(name)) if show(path) in IMPORTED[name].mapped]


@pytest.mark.parametrize(("name", "path"), MAPPED, ids=lambda part: part if isinstance(part, str) else show(part))
def test_what_is_taken_over_matters(name: str, path: Path):
    """Another value gives another manifest, or is listed, or refused: `taken over` is no empty word."""
    config = sample(name)
    *parents, last = path
    place = at(config, tuple(parents))
    place[last] = other(copy.deepcopy(place[last]))
    before = IMPORTED[name]

    try:
        found = convert(config, config_path=SAMPLES / f"{name}.json")
    except UserError as error:
        assert str(error)
        return

    gone = show(path) not in found.mapped
    assert gone or found.manifest != before.manifest, f"{show(path)} changes nothing"


@pytest.mark.parametrize("name", NAMES)
def test_the_json_itself_is_left_as_it_is(name: str):
    config = sample(name)

    convert(config)

    assert config == sample(name)
