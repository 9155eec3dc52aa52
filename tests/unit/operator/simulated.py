"""A small cluster for tests: an API server with its conflicts, a Job controller, a kubelet, the collector of garbage, the
TTL controller, and watches that lag. What it does was read off a real Kubernetes 1.34; see the traps of the operator."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.operator.kstatus import kstatus

from millwright_api import names
from millwright_api.report import (
    ArtifactReport,
    ConstraintReport,
    EvaluationReport,
    MetricReport,
    PassReport,
    RunReport,
)
from millwright_api.status import STATUS_BYTES
from millwright_api.v1alpha1 import Spec
from millwright_operator import actions as act
from millwright_operator import seen
from millwright_operator.asking import Memory
from millwright_operator.clock import written
from millwright_operator.observed import Children, Heard, Refusal, Resource
from millwright_operator.platform import Platform
from millwright_operator.reconcile import reconcile
from millwright_search import space

Body = dict[str, Any]

STOPPING_TICKS = 2
"""How long a deleted pod goes on: it stores a checkpoint."""

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PLATFORM = Platform(
    runner_image="runner:1",
    preflight_image="light:1",
    azure_image="azure:1",
    progress_url="https://progress/v1",
    progress_ca="CA",
)
UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


def spec(**changes: Any) -> Body:
    """A recipe of three steps, all in one stage, as the API server has it after defaulting."""
    base: Body = {
        "model": {"s3": {"uri": "s3://team-a/base/"}},
        "data": [
            {"name": "train", "source": {"s3": {"uri": "s3://team-a/train.jsonl"}}, "text": {"columns": ["text"]}}
        ],
        "passes": [{"name": "finetune", "lora": {"r": 16, "trainData": "train"}}, {"merge": {}}, {"genai": {}}],
        "output": {"s3": {"uri": "s3://team-a/models/m/"}},
        "credentials": [{"secretName": "team-a-s3"}],
        "execution": {"kubernetes": {"resources": {"limits": {"nvidia.com/gpu": "1", "memory": "2Gi"}}}},
        "retry": {"maxAttempts": 3},
        "suspend": False,
    }
    return base | changes


def two_stages(**changes: Any) -> Body:
    """The same with the last step on a CPU: two stages."""
    passes = [*spec()["passes"][:2], {"genai": {}, "resources": {"limits": {"cpu": "4"}}}]
    return spec(passes=passes, **changes)


def on_azure(**changes: Any) -> Body:
    """The same on Azure ML."""
    azure = {"compute": "gpus", "environment": {"image": "registry/runner:1"}}
    return spec(**({"execution": {"azureML": azure}} | changes))


def score(at: tuple[Any, ...]) -> float | None:
    """An objective that is a function of a trial's values alone, different for different ones."""
    digits = int(names.fingerprint(list(at))[:6], 16)
    return round(digits / 0xFFFFFF, 6)


Score = Callable[[tuple[Any, ...]], float | None]


def trial_report(spec: Body, pod: Body, score: Score) -> str:
    """What the pod of a segment says: figures after each of its steps, and of the last one the verdict."""
    env, parsed = _env(pod["spec"]), Spec.model_validate(spec)
    at = tuple(json.loads(env[names.ENV_TRIAL]))
    first, end = map(int, env[names.ENV_STEPS].split(":"))
    steps = space.recipe(parsed, at)
    value, least = score(at), next((c.min for c in parsed.evaluation.constraints), None) if parsed.evaluation else None
    bad = end == len(steps) and least is not None and (value is None or value < least)
    said = [ConstraintReport(metric="accuracy", met=False, message=f"accuracy is {value}; min {least}")] if bad else []
    measured = [
        EvaluationReport(after=step.name, metrics=[MetricReport(name="accuracy", value=value)])
        for step in steps[first:end]
    ]
    return RunReport(
        outcome="Succeeded", reason="Succeeded", exit_code=0, evaluation=measured, constraints=said
    ).termination_message()


def searching(**search: Any) -> Body:
    """A recipe whose first step has two variants and whose last has three, each six trials measured."""
    base: Body = {
        "algorithm": {"tpe": {"seed": 1, "startupTrials": 3}},
        "parameters": [
            {"pass": "finetune", "option": "r", "choice": [4, 8]},
            {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64]},
        ],
        "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
        "maxTrials": 6,
        "parallelTrials": 2,
        "maxFailedTrials": 3,
        "keep": "best",
    }
    evaluation = {"metrics": [{"name": "accuracy", "custom": {"metric": "accuracy"}}]}
    more = {key: search.pop(key) for key in ("execution", "activeDeadlineSeconds", "retry", "passes") if key in search}
    evaluation |= search.pop("evaluation", {})
    return spec(search=base | search, evaluation=evaluation, **more)


@dataclass
class Cluster:
    """One OptimizationJob and all that hangs on it.

    Attributes:
        body: the OptimizationJob.
        fates: what becomes of the next pods of a role: `success`, an exit code, `oom`, `evict`, `hang`; then success.
        figures: what the pods of a stage, or of another role, report besides: evaluation, constraints, message.
        admit: what Kueue does with suspended Jobs that carry a queue's label.
        score: what the pods of a search's trials measure, by their values.
        trials: the values of each Job of a search's trials that was made.
        writes: verb and kind of each write that the operator made.
        wrong: what should never have happened.
        gone: whether the OptimizationJob is no more.
        closing: whether its namespace is being deleted.
        active: couriers' Jobs for which a job runs on Azure ML.
    """

    body: Body
    now: datetime = START
    fates: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    admit: bool = True
    jobs: dict[str, Body] = field(default_factory=dict)
    pods: dict[str, Body] = field(default_factory=dict)
    manifests: dict[str, Body] = field(default_factory=dict)
    writes: list[tuple[str, str]] = field(default_factory=list)
    events: dict[str, act.Tell] = field(default_factory=dict)
    statuses: list[Body] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    version: int = 1
    serial: int = 0
    heard: Heard | None = None
    platform: Platform = PLATFORM
    memory: Memory = field(default_factory=Memory)
    refused: Refusal | None = None
    score: Score = score
    trials: list[tuple[Any, ...]] = field(default_factory=list)
    gone: bool = False
    closing: bool = False
    active: set[str] = field(default_factory=set)

    # --- people

    @classmethod
    def with_job(cls, spec: Body, **fates: list[str]) -> Cluster:
        meta = {"name": "phi3", "namespace": "team-a", "uid": UID, "generation": 1, "resourceVersion": "1"}
        return cls({"metadata": meta, "spec": spec, "status": {"observedGeneration": -1}}, fates=dict(fates))

    def edit(self, **changes: Any) -> None:
        """An edit of the spec."""
        self.body["spec"] = self.body["spec"] | changes
        self.body["metadata"]["generation"] += 1
        self._moved()

    def delete(self, *, namespace: bool = False) -> None:
        """Deletes the OptimizationJob, or all of its namespace."""
        self.closing = self.closing or namespace
        if not self.gone and "deletionTimestamp" not in self.body["metadata"]:
            self.body["metadata"]["deletionTimestamp"] = written(self.now)
            self._moved()
            self._let_go()
        for name in list(self.jobs) if namespace else []:
            self.delete_job(name)

    def _let_go(self) -> None:
        """The collector of garbage: what belongs to an object that is gone goes too."""
        meta = self.body["metadata"]
        if "deletionTimestamp" not in meta or meta.get("finalizers"):
            return
        self.gone = True
        said = any(told.reason == "AzureMLJobMayRun" for told in self.events.values())
        if self.active and not said and not self.closing:
            self.wrong.append("it is gone, and runs on Azure ML")
        for name in [name for name, job in self.jobs.items() if job["metadata"].get("ownerReferences")]:
            self.delete_job(name)
        self._collect_garbage()

    def _collect_garbage(self) -> None:
        """ConfigMaps whose owner is gone go."""
        owners = {job["metadata"]["uid"] for job in self.jobs.values()} | (set() if self.gone else {UID})
        for name, found in list(self.manifests.items()):
            if found["metadata"]["ownerReferences"][0]["uid"] not in owners:
                del self.manifests[name]

    def delete_job(self, name: str) -> None:
        """Deletes a Job, in the background: it is gone at once, its pods end on their own time."""
        if self.jobs.pop(name, None):
            self._collect_garbage()
            for pod in list(self.pods.values()):
                if pod["metadata"]["ownerReferences"][0]["name"] == name:
                    self.delete_pod(pod["metadata"]["name"])

    def delete_pod(self, name: str) -> None:
        """Deletes a pod: one that runs first has to end."""
        pod = self.pods.get(name)
        if pod and pod["status"]["phase"] in ("Succeeded", "Failed"):
            del self.pods[name]
        elif pod:
            pod["metadata"]["deletionTimestamp"] = written(self.now)

    # --- the operator

    def look(self, resource: Resource | None = None, children: Children | None = None) -> tuple[act.Action, ...]:
        """What the operator wants done, from what there is, or from what it is given."""
        children = children or self.children()
        resource = resource or seen.resource(self.body)
        return reconcile(resource, children, self.heard, self.platform, self.now, memory=self.memory)

    def children(self) -> Children:
        """All children as they are now."""
        return Children(
            jobs=tuple(j for j in map(seen.job, self.jobs.values()) if j),
            pods=tuple(p for p in map(seen.pod, self.pods.values()) if p),
            manifests=tuple(m for m in map(seen.manifest, self.manifests.values()) if m),
            refused=self.refused,
        )

    def do(self, actions: tuple[act.Action, ...]) -> bool:
        """Does what the operator wants, in order; stops at the first that fails and returns False then."""
        return all(self._do(action) for action in actions)

    def operate(self) -> tuple[act.Action, ...]:
        """One look and what follows from it."""
        actions = self.look()
        self.do(actions)
        return actions

    def settle(self, rounds: int = 60) -> None:
        """Lets everything run until nothing changes any more."""
        for _ in range(rounds):
            if not self.gone:
                self.operate()
            self.tick()

    def _do(self, action: act.Action) -> bool:
        match action:
            case act.WriteStatus():
                return self._write_status(action)
            case act.CreateJob():
                return self._create_job(action)
            case act.PatchJob():
                return self._patch_job(action)
            case act.DeleteJob():
                self.writes.append(("delete", "Job"))
                if action.name in self.jobs and self.jobs[action.name]["metadata"]["uid"] == action.uid:
                    self.delete_job(action.name)
            case act.ApplyManifest():
                self.writes.append(("apply", "ConfigMap"))
                self.manifests[action.body["metadata"]["name"]] = dict(copy.deepcopy(action.body))
            case act.DeleteManifest():
                self.writes.append(("delete", "ConfigMap"))
                self.manifests.pop(action.name, None)
            case act.PatchFinalizers():
                return self._patch_finalizers(action)
            case act.Tell():
                self.events.setdefault(action.identity, action)
        return True

    def _patch_finalizers(self, action: act.PatchFinalizers) -> bool:
        self.writes.append(("patch", "finalizers"))
        meta = self.body["metadata"]
        if self.gone or action.resource_version != meta["resourceVersion"]:
            return False
        if "azureML" not in self.body["spec"]["execution"]:
            self.wrong.append("a finalizer on a job that runs on the cluster")
        before = meta.get("finalizers", [])
        if "deletionTimestamp" in meta and not set(action.finalizers) <= set(before):
            self.wrong.append("a finalizer on an object that is being deleted")
        if list(action.finalizers) != before:
            meta["finalizers"] = list(action.finalizers)
            self._moved()
            self._let_go()
        return True

    def _write_status(self, action: act.WriteStatus) -> bool:
        self.writes.append(("apply", "status"))
        if self.gone or action.resource_version not in (None, self.body["metadata"]["resourceVersion"]):
            return False
        raw = json.loads(action.status.model_dump_json(exclude_none=True))
        self._check_status(raw)
        if raw != self.body["status"]:
            self.body["status"] = raw
            self.statuses.append(raw)
            self._moved()
        return True

    def _create_job(self, action: act.CreateJob) -> bool:
        self.writes.append(("create", "Job"))
        name, labels = action.body["metadata"]["name"], action.body["metadata"]["labels"]
        if action.alone and any(
            not _ended(p) and action.alone.items() <= _labels(p).items() for p in self.pods.values()
        ):
            return False
        if self.closing:
            self.refused = Refusal("the namespace is being terminated", for_good=True, namespace_goes=True)
            return False
        if name in self.jobs:
            return True
        if labels[names.LABEL_ROLE] == "cancel":
            return self._create_cancel(action)
        courier = action.body["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "azureml"
        if courier and names.FINALIZER not in self.body["metadata"].get("finalizers", []):
            self.wrong.append(f"{name} was created before the finalizer was set")
        if "deletionTimestamp" in self.body["metadata"]:
            self.wrong.append(f"{name} was created for an object that is being deleted")
        if self.finished:
            self.wrong.append(f"{name} was created after the end")
        if labels[names.LABEL_ROLE] in ("stage", "trial") and "startTime" not in self.body["status"]:
            self.wrong.append(f"{name} was created before startTime was stored")
        stage = labels.get(names.LABEL_STAGE)
        done = [s["name"] for told in self.statuses for s in told.get("stages", []) if s["phase"] == "Succeeded"]
        if name in done:
            self.wrong.append(f"{name} was created again after its stage was done")
        if stage is not None and any(_labels(job).get(names.LABEL_STAGE) == stage for job in self.jobs.values()):
            self.wrong.append(f"two Jobs of stage {stage}")
        if labels[names.LABEL_ROLE] == "trial":
            self.trials.append(tuple(json.loads(_env(action.body["spec"]["template"]["spec"])[names.ENV_TRIAL])))
            if "search" not in self.body["status"]:
                self.wrong.append(f"{name} was created before its trial was stored")
            running = [
                job for job in self.jobs.values() if _labels(job)[names.LABEL_ROLE] == "trial" and not self._over(job)
            ]
            if len(running) >= self.body["spec"]["search"]["parallelTrials"]:
                self.wrong.append(f"{name} is one Job of trials too many")
        return self._made(action)

    def _create_cancel(self, action: act.CreateJob) -> bool:
        if self.gone:
            self.wrong.append("a Job was created for an object that is gone, and nobody deletes it")
        if any(_courier(pod) and not _ended(pod) for pod in self.pods.values()):
            self.wrong.append("what runs on Azure ML is canceled while a courier may still submit")
        return self._made(action)

    def _made(self, action: act.CreateJob) -> bool:
        self.serial += 1
        name = action.body["metadata"]["name"]
        body: Body = json.loads(json.dumps(action.body))  # as the API server has it
        body["metadata"] |= {"uid": f"job-{self.serial}", "creationTimestamp": written(self.now)}
        self.jobs[name] = body | {"status": {}}
        self.created.append(name)
        return True

    def _patch_job(self, action: act.PatchJob) -> bool:
        self.writes.append(("patch", "Job"))
        if action.name in self.jobs:
            spec = self.jobs[action.name]["spec"] | action.spec
            self.jobs[action.name]["spec"] = {key: value for key, value in spec.items() if value is not None}
        return True

    def _check_status(self, raw: Body) -> None:
        body = self.body | {"status": raw}
        expected = {"Succeeded": "Current", "Failed": "Failed", "Stalled": "Failed"}.get(raw["phase"], "InProgress")
        if raw["observedGeneration"] == body["metadata"]["generation"] and kstatus(body) != expected:
            self.wrong.append(f"kstatus says {kstatus(body)} of {raw['phase']}")
        if len(json.dumps(raw).encode()) > STATUS_BYTES:
            self.wrong.append("the status is too large")
        if self.finished and _of_an_end(raw) != _of_an_end(self.body["status"]):
            self.wrong.append("an end was changed")

    # --- Kubernetes

    @property
    def finished(self) -> bool:
        """Whether status says that the job has ended."""
        return self.condition("Finished") == "True"

    @property
    def phase(self) -> str | None:
        """The job's phase."""
        return self.body["status"].get("phase")

    def condition(self, kind: str) -> str | None:
        """A condition's status."""
        return next((c["status"] for c in self.body["status"].get("conditions", []) if c["type"] == kind), None)

    def reason(self, kind: str = "Ready") -> str | None:
        """A condition's reason."""
        return next((c["reason"] for c in self.body["status"].get("conditions", []) if c["type"] == kind), None)

    def message(self, kind: str = "Ready") -> str:
        """A condition's message."""
        return next((c["message"] for c in self.body["status"].get("conditions", []) if c["type"] == kind), "")

    def job(self, suffix: str) -> Body | None:
        """The Job whose name ends so: p, s0, r."""
        return next((job for name, job in self.jobs.items() if name.endswith(f"-{suffix}")), None)

    def tick(self, seconds: float = 3) -> None:
        """Time passes: kubelet, Job controller, Kueue and TTL controller each do a little."""
        self.now += timedelta(seconds=seconds)
        self._collect_garbage()
        for pod in list(self.pods.values()):
            self._kubelet(pod)
        for job in list(self.jobs.values()):
            self._job_controller(job)
        writers = [
            _labels(p).get(names.LABEL_STAGE) or _labels(p)[names.LABEL_SEGMENT]
            for p in self.pods.values()
            if _labels(p)[names.LABEL_ROLE] in ("stage", "trial") and not _ended(p)
        ]
        if len(writers) != len(set(writers)):
            self.wrong.append("two unfinished pods of one stage, or of one segment")

    def _kubelet(self, pod: Body) -> None:
        status, meta = pod["status"], pod["metadata"]
        if _ended(pod):
            return
        if "deletionTimestamp" in meta:
            meta["stopping"] = meta.get("stopping", 0) + 1
            if meta["stopping"] <= STOPPING_TICKS:
                return
            self._end(pod, 143, "Error", "")
            if meta["ownerReferences"][0]["uid"] not in {job["metadata"]["uid"] for job in self.jobs.values()}:
                del self.pods[meta["name"]]
        elif status["phase"] == "Pending":
            status["phase"] = "Running"
            if _courier(pod):
                self.active.add(meta["ownerReferences"][0]["name"])
            status["containerStatuses"] = [
                {"name": "runner", "state": {"running": {"startedAt": written(self.now)}}, "lastState": {}}
            ]
        else:
            self._fate(pod)

    def _fate(self, pod: Body) -> None:
        role = _labels(pod)[names.LABEL_ROLE]
        queued = self.fates.setdefault(role, [])
        fate = queued.pop(0) if queued else "success"
        if fate == "hang":
            return
        if fate == "success":
            self._end(pod, 0, "Completed", self._report(pod, "Succeeded", 0))
        elif fate == "silent":
            self._end(pod, 0, "Completed", "")
        elif fate == "oom":
            self._end(pod, 137, "OOMKilled", "", at_rest=False)
        elif fate == "evict":
            pod["status"]["conditions"] = [
                {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
            ]
            self._end(pod, 143, "Error", "")
        else:
            code = int(fate)
            self._end(pod, code, "Error", self._report(pod, "Stopped" if code == 143 else "Failed", code))

    def _report(self, pod: Body, outcome: str, code: int) -> str:
        if _labels(pod)[names.LABEL_ROLE] == "trial" and outcome == "Succeeded":
            return trial_report(self.body["spec"], pod, self.score)
        reason = {2: "DataNotFound", 3: "ConstraintsNotMet", 75: "StoreUnavailable", 143: "Stopped", 1: "PassFailed"}
        env = _env(pod["spec"])
        if _labels(pod)[names.LABEL_ROLE] == "cancel":
            good = outcome == "Succeeded"
            why = "Succeeded" if good else reason[code]
            return RunReport(outcome=outcome, reason=why, message="no answer", exit_code=code).termination_message()
        first, end = map(int, env[names.ENV_STEPS].split(":"))
        steps = [next(k for k in step if k not in ("name", "resources")) for step in self.body["spec"]["passes"]]
        labels = [step.get("name", steps[i]) for i, step in enumerate(self.body["spec"]["passes"])]
        last = (end == len(steps) or names.ENV_TRIALS in env) and _labels(pod)[names.LABEL_ROLE] != "preflight"
        made = ArtifactReport(uri="s3://team-a/models/m/v1", format="onnx-genai", digest="d" * 64, bytes=9, files=2)
        good = outcome == "Succeeded"
        besides = self.figures.get(_labels(pod).get(names.LABEL_STAGE) or _labels(pod)[names.LABEL_ROLE], {})
        said = {
            "reason": "Succeeded" if good else reason[code],
            "message": "" if good else f"it failed with {code}",
            "constraints": self._judged(pod, code, last),
        } | besides
        return RunReport(
            outcome=outcome,
            exit_code=code,
            fingerprint="f" * 64 if good else None,
            passes=[
                PassReport(name=labels[i], pass_=steps[i], phase="Succeeded", cache="Miss", key="k" * 64, seconds=3)
                for i in range(first, end)
                if good and _labels(pod)[names.LABEL_ROLE] == "stage"
            ],
            artifact=made if good and last else None,
            **said,
        ).termination_message()

    def _judged(self, pod: Body, code: int, last: bool) -> list[ConstraintReport]:
        """What a stage says of the constraints: the last one judges, and exit code 3 is its verdict."""
        constraints = self.body["spec"].get("evaluation", {}).get("constraints", [])
        if not _is_stage(pod) or not (code == 3 or (last and code == 0)):
            return []
        return [ConstraintReport(metric=c["metric"], met=code == 0, message=f"judged with {code}") for c in constraints]

    def _end(self, pod: Body, code: int, reason: str, message: str, *, at_rest: bool = True) -> None:
        if _courier(pod) and at_rest:
            self.active.discard(pod["metadata"]["ownerReferences"][0]["name"])
        if _labels(pod)[names.LABEL_ROLE] == "cancel" and code == 0:
            self.active.clear()
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        ended = {"exitCode": code, "reason": reason, "message": message, "finishedAt": written(self.now)}
        pod["status"]["containerStatuses"] = [{"name": "runner", "state": {"terminated": ended}, "lastState": {}}]

    def _job_controller(self, job: Body) -> None:
        status, spec, name = job["status"], job["spec"], job["metadata"]["name"]
        if self._over(job):
            ttl = spec.get("ttlSecondsAfterFinished")
            if ttl is not None and self.now >= self._ended_at(job) + timedelta(seconds=ttl):
                self.delete_job(name)
            return
        if spec.get("suspend") and names.LABEL_QUEUE in _labels(job) and self.admit:
            spec["suspend"] = False
        uid = job["metadata"]["uid"]
        mine = [p for p in self.pods.values() if p["metadata"]["ownerReferences"][0]["uid"] == uid]
        if spec.get("suspend"):
            for pod in mine:
                if not _ended(pod):
                    pod["metadata"].setdefault("deletionTimestamp", written(self.now))
                    pod["metadata"]["annotations"] = {"suspended": "true"}
            if status.pop("startTime", None) or "conditions" not in status:
                self._set(job, "Suspended", "True")
            self._collect(job, mine)
            return
        if "startTime" not in status:
            status["startTime"] = written(self.now)
            self._set(job, "Suspended", "False")
        self._collect(job, mine)
        if self._over(job):
            return
        limit = spec.get("activeDeadlineSeconds")
        started = datetime.fromisoformat(status["startTime"])
        if limit is not None and (self.now - started).total_seconds() >= limit:
            self._fail(job, mine, "DeadlineExceeded", "Job was active longer than specified deadline")
        elif not any(not _ended(pod) for pod in mine):
            self._new_pod(job)
        status["active"] = sum(not _ended(p) for p in mine)

    def _collect(self, job: Body, mine: list[Body]) -> None:
        """Counts what has ended, after the Job's podFailurePolicy."""
        status = job["status"]
        for pod in mine:
            meta = pod["metadata"]
            if not _ended(pod) or meta.get("counted"):
                continue
            meta["counted"] = True
            state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
            disrupted = bool(pod["status"].get("conditions"))
            if pod["status"]["phase"] == "Succeeded":
                self._set(job, "Complete", "True")
            elif disrupted or "suspended" in meta.get("annotations", {}):
                pass
            elif state["exitCode"] in (2, 3):
                status["failed"] = status.get("failed", 0) + 1
                self._set(job, "Failed", "True", "PodFailurePolicy", f"failed with exit code {state['exitCode']}")
            else:
                status["failed"] = status.get("failed", 0) + 1
                if status["failed"] > job["spec"]["backoffLimit"]:
                    self._set(job, "Failed", "True", "BackoffLimitExceeded", "Job has reached the backoff limit")
            if "deletionTimestamp" in meta or disrupted:
                self.pods.pop(meta["name"], None)

    def _fail(self, job: Body, mine: list[Body], reason: str, message: str) -> None:
        for pod in mine:
            if not _ended(pod):
                self.pods.pop(pod["metadata"]["name"])
        self._set(job, "Failed", "True", reason, message)

    def _new_pod(self, job: Body) -> None:
        self.serial += 1
        name = f"{job['metadata']['name']}-{self.serial}"
        owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
        self.pods[name] = {
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": f"pod-{self.serial}",
                "labels": job["spec"]["template"]["metadata"]["labels"],
                "creationTimestamp": written(self.now),
                "ownerReferences": [owner],
            },
            "spec": job["spec"]["template"]["spec"],
            "status": {"phase": "Pending"},
        }

    def _set(self, job: Body, kind: str, status: str, reason: str = "", message: str = "") -> None:
        rest = [c for c in job["status"].get("conditions", []) if c["type"] != kind]
        at = written(self.now)
        entry = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}
        job["status"]["conditions"] = [*rest, entry]

    def _over(self, job: Body) -> bool:
        return any(c["type"] in ("Complete", "Failed") for c in job["status"].get("conditions", []))

    def _ended_at(self, job: Body) -> datetime:
        conditions = job["status"]["conditions"]
        at = next(c["lastTransitionTime"] for c in conditions if c["type"] in ("Complete", "Failed"))
        return datetime.fromisoformat(at)

    def _moved(self) -> None:
        self.version += 1
        self.body["metadata"]["resourceVersion"] = str(self.version)


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values below a JSON value."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield key, below
            yield from walk(below)
    elif isinstance(value, list):
        for below in value:
            yield from walk(below)


def _env(pod: Body) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in pod["containers"][0]["env"]}


def _labels(body: Body) -> dict[str, str]:
    found: dict[str, str] = body["metadata"].get("labels", {})
    return found


def _is_stage(body: Body) -> bool:
    return _labels(body).get(names.LABEL_ROLE) == "stage"


def _courier(pod: Body) -> bool:
    return bool(pod["spec"]["containers"][0]["command"][-1] == "azureml")


def _ended(pod: Body) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def _of_an_end(status: Body) -> Body:
    """What may not change any more: all but which generation it was seen for."""
    conditions = [{k: v for k, v in c.items() if k != "observedGeneration"} for c in status.get("conditions", [])]
    return {k: v for k, v in status.items() if k != "observedGeneration"} | {"conditions": conditions}
