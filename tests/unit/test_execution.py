"""Where a job runs: amounts, and what of a pod a job may say."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from millwright_api.execution import PodTemplate, Resources
from millwright_api.quantities import amount


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0", 0), (4, 4), ("4", 4), ("+4", 4), ("4.", 4), ("1.5", Fraction(3, 2)), ("500m", Fraction(1, 2)), ("100u", Fraction(1, 10_000)),
            ("7n", Fraction(7, 10**9)), ("2k", 2000), ("1M", 10**6), ("1G", 10**9), ("1E", 10**18), ("1e3", 1000), ("1E3", 1000),
            ("1Ki", 1024), ("1.5Gi", 3 * 2**29), ("1Ei", 2**60),
        ],
    )  # fmt: skip
    def test_an_amount_is_what_kubernetes_makes_of_it(self, text: str | int, value: Any) -> None:
        assert amount(text) == value

    @pytest.mark.parametrize("text", ["", "Gi", "1GB", "1 Gi", "-1", "1e999", "½", "0x10"])
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError):
            Resources.model_validate({"limits": {"memory": text}})


class TestResources:
    @pytest.mark.parametrize(
        "given",
        [
            {"limits": {"cpu": "1"}, "requests": {"cpu": "1000m"}},
            {"limits": {"nvidia.com/gpu": 2}, "requests": {"nvidia.com/gpu": "2"}},
            {"requests": {"memory": "1Gi"}},
            {"limits": {"hugepages-2Mi": "4Mi"}},
        ],
    )
    def test_amounts_are_compared_by_value(self, given: dict[str, Any]) -> None:
        assert Resources.model_validate(given).model_dump(exclude_defaults=True) == given

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"limits": {"cpu": "1"}, "requests": {"cpu": "1001m"}}, "requests of cpu, 1001m, are above its limit 1"),
            ({"limits": {"nvidia.com/gpu": 2}, "requests": {"nvidia.com/gpu": 1}}, "nvidia.com/gpu is requested as it is limited; limits has 2, requests has 1"),
            ({"requests": {"nvidia.com/gpu": 1}}, "limits has 0, requests has 1"),
            ({"limits": {"nvidia.com/gpu": "1.5"}}, "nvidia.com/gpu is counted in whole pieces; found 1.5"),
        ],
    )  # fmt: skip
    def test_what_no_pod_could_ask_for_is_refused(self, given: dict[str, Any], said: str) -> None:
        with pytest.raises(ValidationError) as caught:
            Resources.model_validate(given)

        assert said in str(caught.value)


class TestPods:
    def test_nothing_has_to_be_said(self) -> None:
        template = PodTemplate()

        assert (template.env, template.volumes, template.termination_grace_period_seconds) == ([], [], 120)

    @pytest.mark.parametrize("path", ["/models", "/data/team", "/devices", "/volumes2", "/var/lib"])
    def test_claims_can_be_mounted_almost_anywhere(self, path: str) -> None:
        template = PodTemplate.model_validate({"volumes": [{"claimName": "models", "mountPath": path}]})

        assert (template.volumes[0].mount_path, template.volumes[0].read_only) == (path, True)

    @pytest.mark.parametrize("path", ["/scratch", "/scratch/x", "/dev/shm", "/volumes/models", "/etc/millwright"])
    def test_but_not_over_what_the_operator_mounts(self, path: str) -> None:
        with pytest.raises(ValidationError, match=f"mountPath {path} is taken"):
            PodTemplate.model_validate({"volumes": [{"claimName": "models", "mountPath": path}]})
