"""Why a pod does not run, and how it ended: a reason for programs and a message for people.

How an end is told, first match wins: the container was killed for memory (also when a child process was, and the
parent's exit code says otherwise); the kubelet or the scheduler took the pod away; what the runner itself reported;
whether the container ever started; the exit code, with the log's last lines.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from pydantic import ValidationError

from millwright_api.quantities import spoken
from millwright_api.report import RunReport
from millwright_api.status import MESSAGE_BYTES
from millwright_api.v1alpha1 import Spec
from millwright_operator.observed import Ended, SeenJob, SeenPod
from millwright_operator.podspec import claims
from millwright_operator.text import last_lines, redacted, shown

WAITING = ("SecretNotFound", "VolumeNotFound", "ImagePullFailed", "Unschedulable", "PodRefused", "PodNotCreated")
"""Reasons for which a pod may wait without an end of its own."""

_REASON = re.compile(r"^[A-Z][A-Za-z0-9]{0,127}$")
_PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_PULL_CAUSES = (
    ("no match for platform", "it has no variant for the node's processor"),
    ("no space left", "the node's disk is full"),
    ("toomanyrequests", "the registry asks for fewer pulls; it is tried again"),
    ("429 too many", "the registry asks for fewer pulls; it is tried again"),
    ("not found", "it does not exist there"),
    ("manifest unknown", "it does not exist there"),
    ("unauthorized", "the registry refuses access"),
    ("denied", "the registry refuses access"),
    ("authentication required", "the registry refuses access"),
    ("403 forbidden", "the registry refuses access"),
    ("no such host", "the registry cannot be reached"),
    ("connection refused", "the registry cannot be reached"),
    ("no route to host", "the registry cannot be reached"),
    ("network is unreachable", "the registry cannot be reached"),
    ("timeout", "the registry cannot be reached"),
    ("deadline exceeded", "the registry cannot be reached"),
    ("http: server gave http response", "the registry speaks no TLS"),
    ("x509", "the registry's certificate is not trusted"),
)
_PLACE_CAUSES = (
    ("node affinity/selector", "podTemplate.nodeSelector or affinity fits none"),
    ("untolerated taint", "podTemplate.tolerations lacks a taint"),
    ("volume node affinity", "a claim's volume is on another node"),
)
_SIGNALS = {
    signal.SIGILL: ": a library uses an instruction that the node's processor has not",
    signal.SIGBUS: ": often /dev/shm is full, raise execution.kubernetes.sharedMemory",
    signal.SIGSEGV: ": a native library crashed",
}
_NO_RUNNER = ("executable file not found", "No module named 'millwright_runner'")
_LOG_BYTES = MESSAGE_BYTES - 200


@dataclass(frozen=True)
class Finding:
    """Something that a person should know.

    Attributes:
        reason: CamelCase.
        message: at most 1 KiB, without secrets.
        mended_by_person: whether nothing but a person's act will change it.
    """

    reason: str
    message: str
    mended_by_person: bool = False


def report_of(pod: SeenPod) -> RunReport | None:
    """Returns what a pod reported at its end; None when it left none. Fields of a newer runner are passed over."""
    text = pod.ended.message if pod.ended else ""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return RunReport.model_validate_json(text, extra="ignore")
    except ValidationError:
        return None


def good_report(pod: SeenPod) -> RunReport | None:
    """Returns the report of a pod that did what it was to do; None for any other."""
    report = report_of(pod)
    good = report and pod.ended and pod.ended.exit_code == 0 and report.outcome == "Succeeded"
    return report if good else None


def end_of(pod: SeenPod) -> Finding:
    """Returns why a pod that ended without success did so."""
    report = report_of(pod)
    if pod.ended and pod.ended.reason == "OOMKilled":
        return _out_of_memory(pod, report)
    if pod.evicted is not None:
        return Finding("Evicted", shown(f"the pod was evicted: {_overrun(pod.evicted)}", MESSAGE_BYTES))
    if pod.disrupted:
        return Finding(disruption(pod), f"the pod was taken away: {pod.disrupted}")
    if report and report.outcome != "Succeeded":
        reason = report.reason if _REASON.match(report.reason) else "PassFailed"
        return Finding(reason, shown(report.message or f"the runner said {reason}", MESSAGE_BYTES))
    if pod.ended is None:
        return Finding("PodLost", "the pod was gone before it could say how it ended")
    not_started = None if report else _not_started(pod, pod.ended)
    return not_started or _by_exit_code(pod.ended.exit_code, "" if report else pod.ended.message)


def of_job(job: SeenJob, pods: list[SeenPod]) -> Finding:
    """Returns why a Job failed: by the last of its pods that ended, else by what the Job says of itself."""
    reason, message = job.failed or ("", "")
    if reason == "DeadlineExceeded":
        return Finding("DeadlineExceeded", f"Job {job.name} ran longer than its {job.active_deadline} s")
    ended = [pod for pod in pods if pod.ended or pod.finished]
    if not ended:
        return Finding("PodLost", shown(f"Job {job.name} failed and its pods are gone: {message}", MESSAGE_BYTES))
    return end_of(max(ended, key=_when))


def waits_for(pod: SeenPod, spec: Spec) -> Finding | None:
    """Returns what keeps a pod from starting, if it is more than the time it takes."""
    if pod.waiting:
        reason, message = pod.waiting
        if reason in _PULLING:
            return _image(pod.image or "", reason, message)
        if reason in ("CreateContainerConfigError", "CreateContainerError"):
            return _configuration(message, spec)
    return _placing(pod.unschedulable, spec) if pod.unschedulable else None


def disruption(pod: SeenPod) -> str:
    """Returns Preempted or Evicted: what took a pod away."""
    return "Preempted" if pod.disrupted and pod.disrupted.startswith("Preempt") else "Evicted"


def _when(pod: SeenPod) -> tuple[str, str, str]:
    return ((pod.ended.finished_at if pod.ended else None) or "", pod.created_at, pod.name)


def _out_of_memory(pod: SeenPod, report: RunReport | None) -> Finding:
    limit = f"limit {pod.memory_limit}" if pod.memory_limit else "no limit of its own: the node had no more"
    peak = ", which its peak reached" if pod.memory_limit else ""
    if report and report.peak_memory_bytes:  # a parent lives on when its child is killed, and has its own peak to tell
        peak = f", peak {spoken(report.peak_memory_bytes)}"
    small = pod.role not in ("stage", "trial") or pod.courier
    where = "preflight.resources of the operator's chart" if small else "execution.kubernetes.resources.limits.memory"
    return Finding("OOMKilled", f"the container was killed for memory: {limit}{peak}; raise {where}")


def _by_exit_code(code: int, log: str) -> Finding:
    said = redacted(last_lines(log, _LOG_BYTES))
    reason, what = {
        0: ("ResultMissing", "exit code 0 and no report: a pass, or a library, ended the process by itself"),
        2: ("InvalidManifest", "the runner refused its input (exit code 2)"),
        3: ("ConstraintsNotMet", "a gate failed (exit code 3)"),
        75: ("TryAgain", "something outside failed (exit code 75)"),
        137: ("Killed", "the container was killed (exit code 137)"),
        143: ("Stopped", "the container was stopped (exit code 143)"),
    }.get(code, ("PassFailed", f"the runner broke (exit code {code}{_signal(code)})"))
    return Finding(reason, shown(f"{what}; its last words:\n{said}" if said else what, MESSAGE_BYTES))


def _signal(code: int) -> str:
    """What an exit code above 128 stands for."""
    try:
        number = signal.Signals(code - 128)
    except ValueError:
        return ""
    return f", {number.name}{_SIGNALS.get(number, '')}"


def _not_started(pod: SeenPod, ended: Ended) -> Finding | None:
    """Of a container that could not be started at all, or whose image is of something else."""
    foreign = any(mark in ended.message for mark in _NO_RUNNER)
    if ended.reason != "StartError" and not (foreign and ended.exit_code == 1):
        return None
    what = "has no Millwright runner in it" if foreign else "cannot be started"
    hint = "build it from the runner's image; spec.execution.kubernetes.image names it" if foreign else ""
    text = "; ".join(
        filter(None, (f"the image {pod.image!r} {what}", hint, last_lines(ended.message, _LOG_BYTES // 2)))
    )
    return Finding("PodRefused", shown(text, MESSAGE_BYTES))


def _overrun(message: str) -> str:
    """Says what to raise where a pod overran what it had itself; a node that is short of something is another matter."""
    volume = re.search(r'EmptyDir volume "(\w+)" exceeds', message)
    key = {"scratch": "scratch", "shm": "sharedMemory"}.get(volume[1], "") if volume else ""
    if not key and re.search(r"local ephemeral storage limit|ephemeral local storage usage exceeds", message):
        key = "resources.limits.ephemeral-storage"
    return f"{message.rstrip(' .')}; raise execution.kubernetes.{key}" if key else message


def _image(image: str, reason: str, message: str) -> Finding:
    low = message.lower().replace(image.lower(), "")  # a name may have any of the words
    if reason == "InvalidImageName":
        cause = "that is no name of an image"
    elif reason == "ErrImageNeverPull":
        cause = "the node has it not, and the pull policy is Never"
    else:
        # ErrImagePull and ImagePullBackOff take turns with texts of their own: one message for both
        cause = next((said for mark, said in _PULL_CAUSES if mark in low), "see the pod's events")
    return Finding("ImagePullFailed", shown(f"the image {image!r} cannot be pulled: {cause}", MESSAGE_BYTES), True)


def _configuration(message: str, spec: Spec) -> Finding | None:
    missing = re.search(r'secret "([^"]+)" not found', message)
    lacking = re.search(r"couldn't find key (\S+) in Secret (?:[^\s/]+/)?(\S+)", message)
    name, key = (missing[1], None) if missing else (lacking[2], lacking[1]) if lacking else (None, None)
    if name is None:
        return Finding("PodRefused", shown(f"the container cannot be made: {message}", MESSAGE_BYTES), True)
    what = f"has no key {key}" if key else "does not exist in the job's namespace"
    message = f"{_names_secret(name, key, spec)}: the Secret {name} {what}; it goes on by itself then"
    return Finding("SecretNotFound", message, True)


def _names_secret(name: str, key: str | None, spec: Spec) -> str:
    """The path of what names a Secret, or a key of it: only variables name keys."""
    for index, credential in enumerate(spec.credentials):
        if key is None and credential.secret_name == name:
            return f"spec.credentials[{index}].secretName"
    for index, variable in enumerate(spec.execution.kubernetes.pod_template.env):
        asked = variable.value_from.secret_key_ref if variable.value_from else None
        if asked and asked.name == name and key in (None, asked.key):
            return f"spec.execution.kubernetes.podTemplate.env[{index}].valueFrom.secretKeyRef"
    return "spec.execution.kubernetes.podTemplate"


def _placing(message: str, spec: Spec) -> Finding:
    claim = re.search(r'persistentvolumeclaim "([^"]+)" not found', message)
    if claim:
        return Finding(
            "VolumeNotFound", f"the PersistentVolumeClaim {claim[1]} does not exist in the job's namespace", True
        )
    lacking = sorted(set(re.findall(r"Insufficient ([A-Za-z0-9./_-]*[A-Za-z0-9])", message)))
    causes = [said for mark, said in _PLACE_CAUSES if mark in message]
    if "unbound immediate PersistentVolumeClaims" in message:
        mounted = {**claims(spec), **{v.claim_name: True for v in spec.execution.kubernetes.pod_template.volumes}}
        causes.append(f"a PersistentVolumeClaim of {', '.join(mounted)} has no volume yet")
    what = f"no node has enough {' and '.join(lacking)} free" if lacking else "no node takes the pod"
    what += f": {', '.join(causes)}" if causes else ""
    return Finding("Unschedulable", shown(f"{what}; the scheduler says: {message}", MESSAGE_BYTES))
