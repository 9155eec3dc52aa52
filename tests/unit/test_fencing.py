"""Two writers at once, an old pod that does not know it is to go and a new one: neither damages what the other made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import S3Bucket

from millwright_runner.artifact import HF
from millwright_runner.cache import Cache, prefix
from millwright_runner.checkpoints import StoredCheckpoints
from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.published import Published, damaged_files, publish, read_published
from millwright_runner.stores import Store, open_store
from millwright_runner.trees import load_tree, verify_tree

KEY, NAMES = "a" * 64, ("model.bin", "config.json", "tokenizer.json")


class Between:
    """A store that does something else right after one of its writer's calls: the other writer's turn."""

    def __init__(self, store: Store, operation: str, number: int, turn: Callable[[], object]) -> None:
        self._store, self._operation, self._left, self._turn = store, operation, number, turn

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if name != self._operation:
            return found

        def called(*arguments: object, **options: object) -> object:
            result = found(*arguments, **options)
            self._left -= 1
            if self._left == 0:
                self._turn()
            return result

        return called


class Ground:
    """A store that two pods write to, each with a result of its own: same recipe, other bytes."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.memo = DigestMemo(folder / "home")
        for pod in ("old", "new"):
            (folder / pod).mkdir()
            for name in NAMES:
                (folder / pod / name).write_text(f"{name} of the {pod} pod")

    def between(self, operation: str, number: int, turn: Callable[[], object]) -> Store:
        return Between(self.store, operation, number, turn)  # type: ignore[return-value]

    def keep(self, pod: str, store: Store | None = None) -> str:
        files, _ = digest_folder(self.folder / pod, self.memo)
        return Cache(store or self.store, True, self.memo).keep(KEY, self.folder / pod, {"pod": pod}, files).digest

    def publish(self, pod: str, store: Store | None = None) -> Published:
        files, _ = digest_folder(self.folder / pod, self.memo)
        return publish(
            store or self.store, KEY, folder=self.folder / pod, files=files, cached=None, memo=self.memo, format=HF,
            meta={"pod": pod}, replace=False,
        )  # fmt: skip

    def checkpoints(self, pod: str, store: Store | None = None) -> StoredCheckpoints:
        return StoredCheckpoints(store or self.store, KEY, 10, self.folder / f"scratch-{pod}", self.memo)

    def digest(self, pod: str) -> str:
        return digest_folder(self.folder / pod, self.memo)[1]


@pytest.fixture(params=["folder", "s3"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    if request.param == "folder":
        return Ground(tmp_path, open_store(tmp_path / "out"))
    s3: S3Bucket = request.getfixturevalue("s3")
    return Ground(tmp_path, open_store(s3.location("out/")))


CALLS = [("put", 1), ("put", 2), ("put", 3), ("read", 1), ("read", 2), ("list", 1), ("write", 1)]


@pytest.mark.parametrize(("operation", "number"), CALLS)
class TestResults:
    def test_whoever_comes_first_the_result_in_the_cache_is_whole(
        self, ground: Ground, operation: str, number: int
    ) -> None:
        told: list[str] = []

        old = ground.keep("old", ground.between(operation, number, lambda: told.append(ground.keep("new"))))
        new = told[0] if told else ground.keep("new")

        tree = load_tree(ground.store, prefix(KEY))
        assert tree is not None
        assert verify_tree(ground.store, tree, ground.memo) == []
        assert old == new == tree.digest

    def test_an_output_holds_one_whole_model_and_both_say_the_same(
        self, ground: Ground, operation: str, number: int
    ) -> None:
        told: list[Published] = []

        old = ground.publish("old", ground.between(operation, number, lambda: told.append(ground.publish("new"))))
        new = told[0] if told else ground.publish("new")

        there = read_published(ground.store)
        assert there is not None
        assert damaged_files(ground.store, there, ground.memo) == []
        assert old.tree.digest == new.tree.digest == there.tree.digest

    def test_a_checkpoint_of_the_same_step_is_one_of_both_and_whole(
        self, ground: Ground, operation: str, number: int
    ) -> None:
        def save() -> None:
            ground.checkpoints("new").save(ground.folder / "new", 20)

        ground.checkpoints("old", ground.between(operation, number, save)).save(ground.folder / "old", 20)
        latest = ground.checkpoints("next").latest()

        assert latest is not None
        assert digest_folder(latest, ground.memo)[1] in {ground.digest("old"), ground.digest("new")}


class TestCheckpoints:
    def test_what_an_old_pod_drops_leaves_the_next_one_a_whole_checkpoint(self, ground: Ground) -> None:
        for step in (10, 20):
            ground.checkpoints("old").save(ground.folder / "old", step)
        ground.checkpoints("new").save(ground.folder / "new", 30)

        ground.checkpoints("old").save(ground.folder / "old", 25)
        latest = ground.checkpoints("next").latest()

        assert latest is not None
        assert digest_folder(latest, ground.memo)[1] == ground.digest("new")

    def test_one_that_is_saved_while_another_pod_clears_up_is_whole_or_passed_over(self, ground: Ground) -> None:
        clear = ground.between("put", 2, lambda: ground.checkpoints("old").clear())

        ground.checkpoints("new", clear).save(ground.folder / "new", 30)
        latest = ground.checkpoints("next").latest()

        assert latest is None or digest_folder(latest, ground.memo)[1] == ground.digest("new")


class TestDamage:
    def test_a_damaged_result_is_made_anew_whoever_finds_it(self, ground: Ground) -> None:
        ground.keep("old")
        tree = load_tree(ground.store, prefix(KEY))
        assert tree is not None
        ground.store.delete([f"{tree.root}/model.bin"])

        assert ground.keep("new") == ground.digest("new")
        assert Cache(ground.store, True, ground.memo).find(KEY) is not None
