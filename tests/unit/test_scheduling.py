"""The order in which workers take the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scheduling import ALONE, ROOT, alone_in, next_unit, ordered, unit_of


class TestUnits:
    def test_a_test_belongs_to_its_file(self) -> None:
        assert unit_of("tests/unit/test_a.py::TestB::test_c[x::y]") == "tests/unit/test_a.py"

    @pytest.mark.parametrize(
        ("test", "unit"),
        [
            ("TestTheApiServer::test_is_killed_and_back_and_all_goes_on", ALONE),
            ("TestTheOperator::test_is_killed_twenty_times_during_five_jobs_and_one_on_azure_ml", ALONE),
            ("TestTheOperator::test_another", "tests/cluster/test_faults.py"),
        ],
    )
    def test_one_that_needs_the_cluster_for_itself_belongs_to_those(self, test: str, unit: str) -> None:
        assert unit_of(f"tests/cluster/test_faults.py::{test}") == unit

    def test_every_mark_is_found(self) -> None:
        files = sorted((ROOT / "tests" / "cluster").glob("test_*.py"))

        found = {file.name: len(alone_in(str(file.relative_to(ROOT)))) for file in files}

        assert found == {file.name: file.read_text().count("@pytest.mark.alone\n") for file in files}
        assert sum(found.values()) > 8


class TestOrder:
    def test_those_that_need_the_cluster_alone_come_first_and_within_a_unit_the_order_stays(
        self, request: pytest.FixtureRequest
    ) -> None:
        items = list(request.session.items)

        again = ordered(items[::-1])

        units = [unit_of(item.nodeid) for item in again]
        assert sorted(set(units), key=units.index) == [unit for i, unit in enumerate(units) if unit not in units[:i]]
        assert [item for item in again if item.path == Path(__file__)] == [
            item for item in items[::-1] if item.path == Path(__file__)
        ]
        assert ALONE not in units or units[0] == ALONE


COMPUTING, SHARING = ["tests/pipeline/test_a.py", "tests/unit/test_b.py"], ["tests/cluster/test_c.py"]


class TestNextUnit:
    @pytest.mark.parametrize(
        ("waiting", "running", "taken"),
        [
            ([ALONE, *COMPUTING, *SHARING], [], ALONE),
            ([*COMPUTING, *SHARING], [ALONE], COMPUTING[0]),
            ([*COMPUTING, *SHARING], ["tests/unit/test_d.py"], SHARING[0]),
            ([*COMPUTING, *SHARING], ["tests/cluster/test_d.py", "tests/unit/test_e.py"], SHARING[0]),
            ([*COMPUTING, *SHARING], ["tests/cluster/test_d.py", "tests/cluster/test_e.py"], COMPUTING[0]),
            (SHARING, ["tests/cluster/test_d.py", "tests/cluster/test_e.py"], SHARING[0]),
            (SHARING, [ALONE], SHARING[0]),
            (COMPUTING, [], COMPUTING[0]),
        ],
        ids=[
            "those that need the cluster alone come first", "meanwhile nothing else asks the cluster",
            "then a worker waits for pods while others compute", "and a second one", "but no more while there is something to compute",
            "and then all", "who has nothing else waits for its turn", "without a cluster it is the order of all",
        ],
    )  # fmt: skip
    def test_some_wait_for_pods_while_others_compute(self, waiting: list[str], running: list[str], taken: str) -> None:
        assert next_unit(waiting, running) == taken
