"""Models of the Hugging Face hub, against a small hub on loopback. Each look is a process of its own: the client reads
its settings once, when it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.hub_server import COMMIT, TOKEN, Hub, Repo
from tests.tiny import TENSORS, make_model_files

SCRIPT = """
import json, sys
from pathlib import Path
from millwright_api.errors import MillwrightError
from millwright_api.v1alpha1 import Model
from millwright_runner.models import find_model

base, told = Path(sys.argv[1]), []
for source, fetch in json.loads(sys.argv[2]):
    try:
        found = find_model(Model.model_validate(source), base, base / "home")
        one = {"digest": found.digest, "tensors": found.facts.tensors, "where": found.facts.where, "bytes": found.facts.bytes,
               "tokenizer": sorted(path.name for path in found.tokenizer.iterdir())}
        if fetch:
            one["files"] = {path.name: path.stat().st_size for path in found.fetch().folder.iterdir()}
    except MillwrightError as error:
        one = {"error": error.reason, "message": str(error), "exit": error.exit_code}
    told.append(one)
heavy = [name for name in ("torch", "transformers", "datasets") if name in sys.modules]
print(json.dumps({"told": told, "heavy": heavy}))
"""


@dataclass
class Place:
    """A hub, and a machine that looks at it."""

    hub: Hub
    base: Path

    def look_at_all(self, *sources: dict[str, Any], fetch: bool = False, **env: str) -> list[dict[str, Any]]:
        settings = {
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.base / "hf"),
            "HF_TOKEN": "",
            **env,
        }
        asked = [
            ({"huggingFace": {k: v for k, v in s.items() if k != "trusted"}, "trustRemoteCode": "trusted" in s}, fetch)
            for s in sources
        ]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(self.base), json.dumps(asked)],
            env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["heavy"] == []
        return list(told["told"])

    def look(self, source: dict[str, Any], *, fetch: bool = False, **env: str) -> dict[str, Any]:
        return self.look_at_all(source, fetch=fetch, **env)[0]


def repo(folder: Path, leave_out: tuple[str, ...] = (), **more: bytes) -> Repo:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in leave_out}
    return Repo({**files, "README.md": b"# Hello\n", "pytorch_model.bin": b"pickled" * 1000, **more})


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = make_model_files(tmp_path_factory.mktemp("model"))
    weights = (folder / "model.safetensors").read_bytes()
    new = json.dumps({"model_type": "brand_new", "auto_map": {"AutoModelForCausalLM": "modeling.Model"}}).encode()
    whole = repo(folder)
    hub = Hub({
        "models/team/phi3": whole,
        "models/team/torn": repo(folder, **{"model.safetensors": weights[:-5]}),
        "models/team/pickled": repo(folder, ("model.safetensors",)),
        "models/team/empty": Repo({"README.md": b"#"}),
        "models/team/new": repo(folder, **{"config.json": new, "modeling.py": b"print('hello')"}),
        "models/team/private": Repo(whole.files, private=True),
        "models/team/gated": Repo(whole.files, gated=True),
    })  # fmt: skip
    yield hub
    hub.stop()


@pytest.fixture
def place(hub: Hub, tmp_path: Path) -> Iterator[Place]:
    hub.asked.clear()
    yield Place(hub, tmp_path)
    hub.failing = None


def test_facts_are_known_before_the_weights_are_fetched(place: Place) -> None:
    told = place.look({"repo": "team/phi3"})

    assert {name: tuple(shape) for name, shape in told["tensors"].items()} == TENSORS
    assert told["where"] == "hf://models/team/phi3"
    assert told["tokenizer"] == ["README.md", "config.json", "tokenizer.json", "tokenizer_config.json"]
    asked = [line for line in place.hub.asked if "model.safetensors" in line]
    assert asked
    assert all("bytes=0-" in line for line in asked)


def test_a_fetched_model_has_all_it_needs_and_nothing_else(place: Place) -> None:
    told = place.look({"repo": "team/phi3", "revision": "main"}, fetch=True)

    names = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(told["files"]) == names
    assert told["files"]["model.safetensors"] == told["bytes"]
    assert not any("pytorch_model.bin" in line for line in place.hub.asked)


def test_what_was_fetched_is_not_fetched_again(place: Place) -> None:
    first = place.look({"repo": "team/phi3"}, fetch=True)
    place.hub.asked.clear()

    assert place.look({"repo": "team/phi3"}, fetch=True)["files"] == first["files"]
    assert not any(line.startswith("GET") and line.endswith("model.safetensors") for line in place.hub.asked)


def test_the_digest_names_repository_and_commit_however_written(place: Place) -> None:
    sources = [{"repo": "team/phi3", **more} for more in ({}, {"revision": "main"}, {"revision": COMMIT})]

    told = place.look_at_all(*sources, {"repo": "team/new", "trusted": True})

    assert len({one["digest"] for one in told[:3]}) == 1
    assert told[3]["digest"] != told[0]["digest"]


def test_what_was_fetched_once_needs_no_network(place: Place) -> None:
    online = place.look({"repo": "team/phi3"}, fetch=True)
    place.hub.asked.clear()

    offline = place.look({"repo": "team/phi3"}, fetch=True, HF_HUB_OFFLINE="1")

    assert offline["files"] == online["files"]
    assert offline["digest"] == online["digest"]
    assert place.hub.asked == []


@pytest.mark.parametrize("looked_at_before", [False, True])
def test_offline_what_was_never_fetched_is_refused_without_asking(place: Place, looked_at_before: bool) -> None:
    if looked_at_before:
        place.look({"repo": "team/phi3"})
        place.hub.asked.clear()

    told = place.look({"repo": "team/phi3"}, HF_HUB_OFFLINE="1")

    assert (told["error"], told["exit"]) == ("ModelNotFound", 2)
    assert "HF_HUB_OFFLINE" in told["message"]
    assert place.hub.asked == []


def test_what_cannot_be_used_is_said_in_one_message(place: Place) -> None:
    expected = [
        ({"repo": "team/phi4"}, "ModelNotFound", "no such repository"),
        ({"repo": "a/b/c"}, "ModelNotFound", "no repository's name"),
        ({"repo": "team/phi3", "revision": "v9"}, "ModelNotFound", "no such revision"),
        ({"repo": "team/torn"}, "InvalidModel", "hf://models/team/torn/model.safetensors: torn safetensors file"),
        ({"repo": "team/pickled"}, "InvalidModel", "only pytorch_model.bin"),
        ({"repo": "team/empty"}, "InvalidModel", "no config.json"),
        ({"repo": "team/new"}, "InvalidModel", "trustRemoteCode: true"),
        ({"repo": "team/private"}, "ModelNotFound", "HF_TOKEN"),
        ({"repo": "team/gated"}, "AccessDenied", "gated"),
    ]

    told = place.look_at_all(*(source for source, _, _ in expected))

    for one, (source, reason, found) in zip(told, expected, strict=True):
        assert (one["error"], one["exit"]) == (reason, 2), source
        assert found in one["message"]


def test_a_token_of_the_environment_opens_what_is_held_back(place: Place) -> None:
    told = place.look_at_all({"repo": "team/private"}, {"repo": "team/gated"}, fetch=True, HF_TOKEN=TOKEN)

    assert all("model.safetensors" in one["files"] for one in told)


def test_code_is_fetched_only_when_it_may_run(place: Place) -> None:
    told = place.look({"repo": "team/new", "trusted": True}, fetch=True)

    assert "modeling.py" in told["files"]


def test_a_hub_that_is_not_there_is_unreachable(place: Place) -> None:
    told = place.look({"repo": "team/phi3"}, HF_ENDPOINT="http://127.0.0.1:1")

    assert (told["error"], told["exit"]) == ("StoreUnreachable", 2)
    assert "http://127.0.0.1:1" in told["message"]


def test_a_hub_that_fails_may_be_tried_again(place: Place) -> None:
    place.hub.failing = 500

    told = place.look({"repo": "team/phi3"})

    assert (told["error"], told["exit"]) == ("StoreUnavailable", 75)
