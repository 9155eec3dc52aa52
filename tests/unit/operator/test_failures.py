"""Why a pod does not run and how it ended, in a reason for programs and words for people."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.simulated import spec

from millwright_api.report import RunReport
from millwright_api.v1alpha1 import Spec
from millwright_operator.failures import end_of, good_report, of_job, report_of, waits_for
from millwright_operator.observed import Ended, SeenJob, SeenPod

SPEC = Spec.model_validate(
    spec(
        execution={
            "kubernetes": {
                "podTemplate": {"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "wandb", "key": "key"}}}]}
            }
        },
        credentials=[{"secretName": "hf"}, {"secretName": "s3"}],
    )
)


def pod(code: int | None = None, message: str = "", reason: str = "Error", **changes: Any) -> SeenPod:
    ended = None if code is None else Ended(code, reason, message, "2026-11-21T08:10:00Z")
    base: dict[str, Any] = {
        "name": "p",
        "uid": "u",
        "job": "j",
        "role": "stage",
        "stage": 0,
        "phase": "Failed" if code else "Pending",
        "created_at": "2026-11-21T08:00:00Z",
        "memory_limit": "2Gi",
        "image": "runner:1",
    }
    return SeenPod(**(base | {"ended": ended} | changes))


def said(**changes: Any) -> str:
    base: dict[str, Any] = {"outcome": "Failed", "reason": "DataNotFound", "message": "no such file", "exit_code": 2}
    return RunReport(**(base | changes)).termination_message()


class TestAReport:
    def test_the_runners_own_word_counts(self) -> None:
        found = end_of(pod(2, said()))

        assert (found.reason, found.message) == ("DataNotFound", "no such file")

    def test_a_good_one_is_one_with_exit_code_0(self) -> None:
        message = said(outcome="Succeeded", reason="Succeeded", exit_code=0)

        assert good_report(pod(0, message)) is not None
        assert good_report(pod(75, message)) is None
        assert good_report(pod(0, said())) is None
        assert good_report(pod(0, "done")) is None

    def test_fields_of_a_newer_runner_are_passed_over(self) -> None:
        found = report_of(pod(2, said().replace('{"', '{"carbonGrams": 3, "', 1)))

        assert found is not None
        assert found.reason == "DataNotFound"

    @pytest.mark.parametrize("message", ["", "Traceback", "{", '{"outcome": "Perfect"}', "[1]", "null"])
    def test_what_is_none_is_none(self, message: str) -> None:
        assert report_of(pod(1, message)) is None

    def test_a_reason_that_is_no_word_is_not_passed_on(self) -> None:
        assert end_of(pod(1, said(reason="oh no: it broke"))).reason == "PassFailed"

    def test_a_secret_in_its_message_is_not_told(self) -> None:
        assert end_of(pod(1, said(message="tried token=hf_AbCdEfGhIjKl"))).message == "tried token=[redacted]"

    def test_a_long_message_is_cut_to_1_kib(self) -> None:
        found = end_of(pod(1, said(message="ä" * 900)))

        assert len(found.message.encode()) <= 1024


class TestOutOfMemory:
    def test_limit_and_peak_are_told(self) -> None:
        found = end_of(pod(1, said(peak_memory_bytes=2040109465), "OOMKilled"))

        assert (found.reason, found.message) == (
            "OOMKilled",
            "the container was killed for memory: limit 2Gi, peak 1.9 GiB; "
            "raise execution.kubernetes.resources.limits.memory",
        )

    def test_of_a_process_that_was_killed_at_once_the_peak_is_the_limit(self) -> None:
        assert "limit 2Gi, which its peak reached; raise" in end_of(pod(137, "", "OOMKilled")).message

    @pytest.mark.parametrize("what", [{"role": "preflight"}, {"role": "cancel"}, {"courier": True}], ids=str)
    def test_a_pod_of_the_platforms_size_is_made_larger_by_the_platform(self, what: dict[str, Any]) -> None:
        found = end_of(pod(137, "", "OOMKilled", **what))

        assert found.message.endswith("raise preflight.resources of the operator's chart")

    def test_it_counts_more_than_the_exit_code_of_the_parent(self) -> None:
        assert end_of(pod(75, said(reason="StoreUnavailable", exit_code=75), "OOMKilled")).reason == "OOMKilled"

    def test_without_a_limit_the_node_is_to_blame(self) -> None:
        assert "no limit of its own" in end_of(pod(137, "", "OOMKilled", memory_limit=None)).message

    def test_a_good_report_counts_more(self) -> None:
        message = said(outcome="Succeeded", reason="Succeeded", exit_code=0)

        assert good_report(pod(0, message, "OOMKilled")) is not None


class TestExitCodes:
    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (1, "PassFailed"),
            (2, "InvalidManifest"),
            (3, "ConstraintsNotMet"),
            (75, "TryAgain"),
            (137, "Killed"),
            (139, "PassFailed"),
            (143, "Stopped"),
        ],
    )
    def test_they_speak_where_no_report_does(self, code: int, reason: str) -> None:
        assert end_of(pod(code, "some log")).reason == reason

    def test_the_last_lines_of_the_log_are_told(self) -> None:
        log = "\n".join(f"line {i}" for i in range(400)) + "\nValueError: targetModules ['q'] match nothing\n"

        found = end_of(pod(1, log))

        assert found.message.startswith("the runner broke (exit code 1); its last words:\n")
        assert found.message.endswith("line 399\nValueError: targetModules ['q'] match nothing")
        assert len(found.message.encode()) <= 1024

    def test_a_secret_in_the_log_is_not_told(self) -> None:
        found = end_of(pod(1, "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENG\nboom"))

        assert "wJalr" not in found.message
        assert found.message.endswith("boom")

    def test_a_secret_whose_line_was_cut_is_not_told(self) -> None:
        found = end_of(pod(1, "x" * 2000 + " hf_AbCdEfGhIjKlMnOp\n"))

        assert "hf_AbCd" not in found.message

    @pytest.mark.parametrize(
        ("code", "told"),
        [
            (132, "SIGILL: a library uses an instruction that the node's processor has not"),
            (134, "SIGABRT"),
            (135, "SIGBUS: often /dev/shm is full, raise execution.kubernetes.sharedMemory"),
            (139, "SIGSEGV: a native library crashed"),
        ],
    )
    def test_a_crash_is_called_by_its_signal(self, code: int, told: str) -> None:
        assert end_of(pod(code)).message == f"the runner broke (exit code {code}, {told})"

    @pytest.mark.parametrize("code", [1, 255])
    def test_an_ordinary_one_is_no_signal(self, code: int) -> None:
        assert end_of(pod(code)).message == f"the runner broke (exit code {code})"


class TestAnImageThatIsNoRunners:
    def test_has_no_python(self) -> None:
        found = end_of(pod(128, 'runc create failed: exec: "python": executable file not found in $PATH', "StartError"))

        assert found.reason == "PodRefused"
        assert found.message.startswith(
            "the image 'runner:1' has no Millwright runner in it; build it from the runner's"
        )
        assert "spec.execution.kubernetes.image" in found.message

    def test_has_a_python_without_it(self) -> None:
        found = end_of(pod(1, "ModuleNotFoundError: No module named 'millwright_runner'"))

        assert found.reason == "PodRefused"
        assert "no Millwright runner in it" in found.message

    def test_that_cannot_be_started_for_another_reason_says_the_runtimes(self) -> None:
        found = end_of(pod(128, "exec format error", "StartError"))

        assert (found.reason, found.message) == (
            "PodRefused",
            "the image 'runner:1' cannot be started; exec format error",
        )


class TestTakenAway:
    @pytest.mark.parametrize(
        ("message", "key"),
        [
            ('Usage of EmptyDir volume "scratch" exceeds the limit "64Mi". ', "scratch"),
            ('Usage of EmptyDir volume "shm" exceeds the limit "1Gi". ', "sharedMemory"),
            (
                'Container runner exceeded its local ephemeral storage limit "1Gi". ',
                "resources.limits.ephemeral-storage",
            ),
            (
                "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
                "resources.limits.ephemeral-storage",
            ),
        ],
    )
    def test_for_overrunning_its_own_limit_says_which_to_raise(self, message: str, key: str) -> None:
        found = end_of(pod(137, evicted=message))

        assert found.message == f"the pod was evicted: {message[:-2]}; raise execution.kubernetes.{key}"

    def test_by_the_kubelet(self) -> None:
        found = end_of(pod(137, "", evicted="The node was low on resource: memory."))

        assert (found.reason, found.message) == (
            "Evicted",
            "the pod was evicted: The node was low on resource: memory.",
        )

    @pytest.mark.parametrize(
        ("cause", "reason"),
        [
            ("PreemptionByScheduler", "Preempted"),
            ("EvictionByEvictionAPI", "Evicted"),
            ("DeletionByTaintManager", "Evicted"),
            ("TerminationByKubelet", "Evicted"),
        ],
    )
    def test_by_the_cluster(self, cause: str, reason: str) -> None:
        assert end_of(pod(143, "", disrupted=cause)).reason == reason

    def test_by_nobody_knows_whom(self) -> None:
        assert end_of(pod()).reason == "PodLost"


class TestAJob:
    def job(self, reason: str, message: str = "") -> SeenJob:
        return SeenJob("phi3-s0", "u", "stage", 0, failed=(reason, message), active_deadline=60)

    def test_its_last_pod_says_why(self) -> None:
        early = pod(1, said(reason="PassFailed"), name="a", created_at="2026-11-21T08:00:00Z")
        late = pod(2, said(), name="b", created_at="2026-11-21T08:20:00Z")

        assert of_job(self.job("PodFailurePolicy"), [late, early]).reason == "DataNotFound"

    def test_without_pods_it_says_what_it_knows(self) -> None:
        found = of_job(self.job("PodFailurePolicy", "failed with exit code 2"), [])

        assert (found.reason, found.message) == (
            "PodLost",
            "Job phi3-s0 failed and its pods are gone: failed with exit code 2",
        )

    def test_its_deadline_is_its_own_reason(self) -> None:
        assert of_job(self.job("DeadlineExceeded"), [pod(143)]).reason == "DeadlineExceeded"


class TestWaiting:
    @pytest.mark.parametrize(
        ("reason", "message", "cause"),
        [
            ("ErrImagePull", 'rpc error: "runner:1": not found', "it does not exist there"),
            (
                "ImagePullBackOff",
                "Back-off pulling image: ErrImagePull: 401 Unauthorized",
                "the registry refuses access",
            ),
            ("ErrImagePull", "dial tcp: lookup r on 1.1.1.1: no such host", "the registry cannot be reached"),
            (
                "ErrImagePull",
                "tls: x509: certificate signed by unknown authority",
                "the registry's certificate is not trusted",
            ),
            ("ErrImagePull", "unexpected status from HEAD request: 403 Forbidden", "the registry refuses access"),
            (
                "ErrImagePull",
                "no match for platform in manifest: not found",
                "it has no variant for the node's processor",
            ),
            ("ErrImagePull", "dial tcp 192.0.2.1:443: i/o timeout", "the registry cannot be reached"),
            ("ErrImagePull", "write /var/lib/x: no space left on device", "the node's disk is full"),
            ("InvalidImageName", "couldn't parse image name", "that is no name of an image"),
            (
                "ErrImageNeverPull",
                "not present with pull policy of Never",
                "the node has it not, and the pull policy is Never",
            ),
            ("ImagePullBackOff", "Back-off pulling image", "see the pod's events"),
        ],
    )
    def test_for_an_image(self, reason: str, message: str, cause: str) -> None:
        found = waits_for(pod(waiting=(reason, message)), SPEC)

        assert found is not None
        assert (found.reason, found.mended_by_person) == ("ImagePullFailed", True)
        assert found.message == f"the image 'runner:1' cannot be pulled: {cause}"

    @pytest.mark.parametrize(
        ("message", "told"),
        [
            (
                'secret "s3" not found',
                "spec.credentials[1].secretName: the Secret s3 does not exist in the job's namespace",
            ),
            (
                "couldn't find key key in Secret team-a/wandb",
                "spec.execution.kubernetes.podTemplate.env[0].valueFrom.secretKeyRef: the Secret wandb has no key key",
            ),
            (
                'secret "other" not found',
                "spec.execution.kubernetes.podTemplate: the Secret other does not exist in the job's namespace",
            ),
        ],
    )
    def test_for_a_secret(self, message: str, told: str) -> None:
        found = waits_for(pod(waiting=("CreateContainerConfigError", message)), SPEC)

        assert found is not None
        assert (found.reason, found.mended_by_person) == ("SecretNotFound", True)
        assert found.message == f"{told}; it goes on by itself then"

    def test_for_something_in_its_configuration(self) -> None:
        found = waits_for(pod(waiting=("CreateContainerConfigError", "container has runAsNonRoot")), SPEC)

        assert found is not None
        assert (found.reason, found.message) == (
            "PodRefused",
            "the container cannot be made: container has runAsNonRoot",
        )

    def test_for_a_claim(self) -> None:
        message = '0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1'

        found = waits_for(pod(unschedulable=message), SPEC)

        assert found is not None
        assert (found.reason, found.mended_by_person) == ("VolumeNotFound", True)

    @pytest.mark.parametrize(
        ("message", "start"),
        [
            ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "no node has enough nvidia.com/gpu free"),
            (
                "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient cpu, 3 Insufficient memory.",
                "no node has enough cpu and memory free",
            ),
            (
                "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }.",
                "no node takes the pod: podTemplate.tolerations lacks a taint",
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
                "no node takes the pod: podTemplate.nodeSelector or affinity fits none",
            ),
            (
                "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: }.",
                "no node has enough cpu free: podTemplate.tolerations lacks a taint",
            ),
            ("0/1 nodes are available: 1 Too many pods.", "no node takes the pod"),
        ],
    )
    def test_for_a_node(self, message: str, start: str) -> None:
        found = waits_for(pod(unschedulable=message), SPEC)

        assert found is not None
        assert (found.reason, found.mended_by_person) == ("Unschedulable", False)
        assert found.message == f"{start}; the scheduler says: {message}"

    def test_for_a_claim_that_has_no_volume_yet(self) -> None:
        job = Spec.model_validate(spec(model={"volume": {"claimName": "models", "path": "phi3"}}))

        found = waits_for(pod(unschedulable="0/1 nodes: pod has unbound immediate PersistentVolumeClaims."), job)

        assert found is not None
        assert found.reason == "Unschedulable"
        assert "a PersistentVolumeClaim of models has no volume yet" in found.message

    def test_for_a_key_of_a_secret_that_is_also_one_of_the_credentials(self) -> None:
        key = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "key"}}}
        changes = {"kubernetes": {"podTemplate": {"env": [{"name": "A", "value": "1"}, key]}}}
        job = Spec.model_validate(spec(execution=changes, credentials=[{"secretName": "s3"}]))

        found = waits_for(pod(waiting=("CreateContainerConfigError", "couldn't find key key in Secret team-a/s3")), job)

        assert found is not None
        assert found.message.startswith(
            "spec.execution.kubernetes.podTemplate.env[1].valueFrom.secretKeyRef: the Secret s3"
        )

    def test_the_digits_of_a_digest_are_no_answer_of_a_registry(self) -> None:
        image = "registry.example/team/runner@sha256:" + "403a" * 16
        text = f'failed to resolve image "{image}": dial tcp 192.0.2.1:443: connect: connection refused'

        found = waits_for(pod(waiting=("ErrImagePull", text), image=image), SPEC)

        assert found is not None
        assert found.message.endswith("cannot be pulled: the registry cannot be reached")

    @pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
    def test_for_nothing_but_its_turn(self, reason: str) -> None:
        assert waits_for(pod(waiting=(reason, "")), SPEC) is None
        assert waits_for(pod(), SPEC) is None
