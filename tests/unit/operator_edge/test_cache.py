"""The cache: versions only go forward, whatever arrives when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator_edge.bodies import UID, Body, config_map, job, optjob, pod

from millwright_operator.cache import REMEMBERED_DELETIONS, Cache, Kind, version_of
from millwright_operator.observed import Key, Resource, SeenJob, SeenManifest, SeenPod

PHI3 = Key("team-a", "phi3")


def filled() -> Cache:
    cache = Cache()
    cache.put("optimizationjobs", optjob(version=1))
    cache.put("jobs", job("phi3-s0", version=2))
    cache.put("pods", pod("phi3-s0-a", version=3))
    cache.put("configmaps", config_map("phi3-m", version=4))
    return cache


class TestWhatIsSeen:
    def test_a_job_and_its_children_are_kept_as_small_objects(self) -> None:
        cache = filled()

        resource, children = cache.resource(PHI3), cache.children(PHI3)

        assert isinstance(resource, Resource)
        assert resource.uid == UID
        assert [type(c) for c in (*children.jobs, *children.pods, *children.manifests)] == [
            SeenJob,
            SeenPod,
            SeenManifest,
        ]

    def test_news_say_whose_they_are(self) -> None:
        cache = Cache()

        assert cache.put("optimizationjobs", optjob()) == PHI3
        assert cache.put("pods", pod("phi3-s0-a")) == PHI3

    def test_the_same_version_again_is_no_news(self) -> None:
        cache = filled()

        assert cache.put("jobs", job("phi3-s0", version=2)) is None

    def test_an_older_version_that_arrives_late_changes_nothing(self) -> None:
        cache = Cache()
        cache.put("pods", pod("phi3-s0-a", version=9, phase="Succeeded"))

        cache.put("pods", pod("phi3-s0-a", version=5, phase="Running"))

        assert cache.children(PHI3).pods[0].phase == "Succeeded"

    def test_an_object_without_our_labels_is_nobodys(self) -> None:
        cache, stranger = Cache(), job("other")
        del stranger["metadata"]["labels"]

        assert cache.put("jobs", stranger) is None
        assert cache.count("jobs") == 0

    def test_an_object_that_loses_our_label_leaves_its_job(self) -> None:
        cache, changed = filled(), job("phi3-s0", version=8)
        del changed["metadata"]["labels"]

        assert cache.put("jobs", changed) == PHI3
        assert cache.children(PHI3).jobs == ()

    def test_children_of_a_job_that_is_not_known_yet_wait_for_it(self) -> None:
        cache = Cache()
        cache.put("pods", pod("phi3-s0-a"))

        assert cache.resource(PHI3) is None
        assert len(cache.children(PHI3).pods) == 1

    def test_a_version_that_is_no_number_counts_as_the_oldest(self) -> None:
        assert version_of({"resourceVersion": "abc"}) == 0
        assert version_of({}) == 0


class TestWhatIsGone:
    def test_a_deleted_object_leaves(self) -> None:
        cache = filled()

        assert cache.drop("pods", pod("phi3-s0-a", version=7)) == PHI3
        assert cache.children(PHI3).pods == ()

    def test_a_deleted_object_never_comes_back_from_a_list_that_was_older(self) -> None:
        cache = filled()
        cache.drop("pods", pod("phi3-s0-a", version=7))

        assert cache.put("pods", pod("phi3-s0-a", version=6)) is None
        assert cache.children(PHI3).pods == ()

    def test_another_object_of_the_same_name_is_another(self) -> None:
        cache = filled()
        cache.drop("optimizationjobs", optjob(version=7))

        assert cache.put("optimizationjobs", optjob(version=8, uid="another")) == PHI3
        assert cache.resource(PHI3).uid == "another"  # type: ignore[union-attr]

    def test_a_late_word_of_the_former_ones_deletion_leaves_the_new_one(self) -> None:
        cache = Cache()
        cache.put("optimizationjobs", optjob(version=8, uid="another"))

        assert cache.drop("optimizationjobs", optjob(version=7)) is None
        assert cache.resource(PHI3) is not None

    def test_deletions_are_not_remembered_for_ever(self) -> None:
        cache = Cache()

        for number in range(REMEMBERED_DELETIONS + 10):
            cache.drop("pods", pod("p", uid=f"uid-{number}"))

        assert len(cache._deleted) == REMEMBERED_DELETIONS

    def test_nothing_is_left_of_a_job_that_is_gone_with_its_children(self) -> None:
        cache = filled()

        cache.drop("jobs", job("phi3-s0"))
        cache.drop("pods", pod("phi3-s0-a"))
        cache.drop("configmaps", config_map("phi3-m"))
        cache.drop("optimizationjobs", optjob())

        assert dict(cache._children) == {}
        assert list(cache.resources()) == []


class TestComparing:
    def test_a_list_brings_what_was_missed(self) -> None:
        cache = filled()

        news = cache.compare("pods", None, [pod("phi3-s0-a", version=9, phase="Failed")], 10, 0.0)

        assert news == {PHI3}
        assert cache.children(PHI3).pods[0].phase == "Failed"

    def test_a_list_takes_away_what_is_gone(self) -> None:
        cache = filled()

        assert cache.compare("jobs", None, [], 10, 0.0) == {PHI3}
        assert cache.children(PHI3).jobs == ()

    def test_an_object_that_is_newer_than_the_list_stays(self) -> None:
        cache = filled()
        cache.put("jobs", job("phi3-s1", version=99, uid="new"))

        cache.compare("jobs", None, [job("phi3-s0", version=2)], 10, 0.0)

        assert [j.name for j in cache.children(PHI3).jobs] == ["phi3-s0", "phi3-s1"]

    def test_a_list_of_one_namespace_says_nothing_of_others(self) -> None:
        cache = filled()

        assert cache.compare("jobs", "team-b", [], 10, 0.0) == set()
        assert len(cache.children(PHI3).jobs) == 1

    def test_a_list_that_says_what_is_known_is_no_news(self) -> None:
        cache = filled()

        assert cache.compare("jobs", None, [job("phi3-s0", version=2)], 10, 0.0) == set()


class TestASilentWatch:
    def test_what_only_a_list_had_is_owed_by_the_watch(self) -> None:
        cache = filled()

        cache.compare("pods", None, [pod("phi3-s0-a", version=9)], 10, now_then := 100.0)

        assert cache.silence(now_then + 130) == 130.0

    def test_a_live_watch_pays_moments_later(self) -> None:
        cache = filled()
        cache.compare("pods", None, [pod("phi3-s0-a", version=9)], 10, 100.0)

        cache.put("pods", pod("phi3-s0-a", version=9), watched=True)

        assert cache.silence(200.0) == 0.0

    def test_an_older_event_pays_nothing(self) -> None:
        cache = filled()
        cache.compare("pods", None, [pod("phi3-s0-a", version=9)], 10, 100.0)

        cache.put("pods", pod("phi3-s0-a", version=8), watched=True)

        assert cache.silence(200.0) == 100.0

    def test_the_answer_to_our_own_write_pays_nothing(self) -> None:
        cache = filled()
        cache.compare("jobs", None, [job("phi3-s0", version=9)], 10, 100.0)

        cache.put("jobs", job("phi3-s0", version=11))

        assert cache.silence(200.0) == 100.0

    def test_a_deletion_pays(self) -> None:
        cache = filled()
        cache.compare("pods", None, [pod("phi3-s0-a", version=9)], 10, 100.0)

        cache.drop("pods", pod("phi3-s0-a", version=12))

        assert cache.silence(200.0) == 0.0

    def test_nothing_is_owed_for_what_a_later_list_has_no_more(self) -> None:
        cache = filled()
        cache.compare("pods", None, [pod("phi3-s0-a", version=9)], 10, 100.0)

        cache.compare("pods", None, [], 12, 150.0)

        assert cache.silence(200.0) == 0.0


Event = tuple[str, Kind, Body]
HISTORY: list[Event] = [
    ("put", "optimizationjobs", optjob(version=1)),
    ("put", "jobs", job("phi3-s0", version=2)),
    ("put", "pods", pod("phi3-s0-a", version=3, phase="Pending")),
    ("put", "pods", pod("phi3-s0-a", version=4, phase="Running")),
    ("drop", "pods", pod("phi3-s0-a", version=5, phase="Failed")),
    ("put", "pods", pod("phi3-s0-b", version=6, uid="second")),
    ("put", "pods", pod("phi3-s0-b", version=7, uid="second", phase="Succeeded")),
    ("put", "optimizationjobs", optjob(version=8, suspend=True)),
]


class TestAnyOrder:
    @given(st.permutations(range(len(HISTORY))), st.lists(st.integers(0, len(HISTORY) - 1), max_size=12))
    def test_events_in_any_order_and_repeated_end_in_the_same_place(self, order: list[int], again: list[int]) -> None:
        straight, shuffled = Cache(), Cache()

        for cache, numbers in ((straight, range(len(HISTORY))), (shuffled, [*order, *again])):
            for number in numbers:
                what, kind, body = HISTORY[number]
                cache.put(kind, body) if what == "put" else cache.drop(kind, body)

        assert shuffled.resource(PHI3) == straight.resource(PHI3)
        assert shuffled.children(PHI3) == straight.children(PHI3)
