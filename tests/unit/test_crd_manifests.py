"""The tables that the API server judges (tests/cluster/test_crd.py), judged by the runner: both sides say the same."""

from __future__ import annotations

import pytest
from tests.cluster.manifests.bad import BAD_MANIFESTS
from tests.cluster.manifests.base import Bad, Good, changed
from tests.cluster.manifests.good import GOOD_MANIFESTS
from tests.cluster.manifests.judge import judge

from millwright_api.errors import UserError


@pytest.mark.parametrize("case", GOOD_MANIFESTS, ids=lambda case: case.name)
def test_what_the_server_takes_the_runner_takes(case: Good) -> None:
    judge(changed(case.changes))


@pytest.mark.parametrize("case", [case for case in BAD_MANIFESTS if case.local], ids=lambda case: case.name)
def test_what_the_server_refuses_the_runner_refuses(case: Bad) -> None:
    with pytest.raises(UserError) as caught:
        judge(changed(case.changes))

    assert case.local in str(caught.value)


@pytest.mark.parametrize("case", [case for case in BAD_MANIFESTS if not case.local], ids=lambda case: case.name)
def test_what_only_the_server_refuses_has_a_reason(case: Bad) -> None:
    judge(changed(case.changes))

    assert case.why.startswith("locally ")
