"""What the API server refuses, and what both sides say of it."""

from __future__ import annotations

from tests.cluster.manifests.azure import BAD_AZURE
from tests.cluster.manifests.base import (
    CONSTRAINTS,
    DELETE,
    EVALUATED,
    KUBERNETES,
    LORA,
    METRICS,
    TEMPLATE,
    TEXT,
    Bad,
)
from tests.cluster.manifests.good import MOUNT, ROWS
from tests.cluster.manifests.searches import BAD_SEARCHES

ONE_SOURCE = "exactly one of huggingFace, s3, azureBlob, azureML, path, volume is needed"
ONE_PASS = "a step names exactly one pass"
BELOW_THE_MANIFEST = "locally a path is relative to the manifest"
ONE_METRIC = "a metric names exactly one metric"
ONE_BOUND = "exactly one of max, min, maxDrop, maxDropPercent, minImprovement is needed"
PREFIX = f"{TEMPLATE}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


def requirement(key: str = "gpus", **rest: object) -> dict[str, object]:
    return {PREFIX: [{"matchExpressions": [{"key": key, **rest}]}]}


UNKNOWN_KEYS = [
    Bad("an option that is none", {f"{LORA}.ranck": 8}, "spec.passes[0].lora.ranck", "unknown field", "unknown key"),
    Bad("an option of another pass", {"spec.passes.1.merge.r": 8}, "spec.passes[1].merge.r", "unknown field", "unknown key"),
    Bad("an option one level too high", {f"{LORA}.maxSteps": 8}, "spec.passes[0].lora.maxSteps", "unknown field", "unknown key"),
    Bad("a field of the spec that is none", {"spec.ouput": {}}, "spec.ouput", "unknown field", "unknown key"),
    Bad("snake case", {"spec.model.trust_remote_code": True}, "spec.model.trust_remote_code", "unknown field", "unknown key"),
    Bad("nodes that come later", {f"{KUBERNETES}.nodes": 2}, "spec.execution.kubernetes.nodes", "unknown field", "not supported by this version yet"),
    Bad("a part of a pod that is the operator's", {f"{TEMPLATE}.hostNetwork": True}, "spec.execution.kubernetes.podTemplate.hostNetwork", "unknown field", "unknown key"),
    Bad("a pass that is none", {"spec.passes.1": {"mrege": {}}}, "spec.passes[1].mrege", "unknown field", "no pass is called 'mrege'"),
]  # fmt: skip

TYPES_AND_BOUNDS = [
    Bad("rank 0", {f"{LORA}.r": 0}, "spec.passes[0].lora.r", "greater than or equal to 1", "1 to 4096"),
    Bad("a rank beyond all", {f"{LORA}.r": 4097}, "spec.passes[0].lora.r", "less than or equal to 4096", "1 to 4096"),
    Bad("a rank in quotes", {f"{LORA}.r": "64"}, "spec.passes[0].lora.r", "must be of type integer", "a whole number"),
    Bad("half a rank", {f"{LORA}.r": 1.5}, "spec.passes[0].lora.r", "must be of type integer", "a whole number"),
    Bad("alpha 0", {f"{LORA}.alpha": 0}, "spec.passes[0].lora.alpha", "greater than 0", "above 0"),
    Bad("all is dropped", {f"{LORA}.dropout": 1}, "spec.passes[0].lora.dropout", "less than 1", "below 1"),
    Bad("no learning", {f"{LORA}.training.learningRate": 0}, "spec.passes[0].lora.training.learningRate", "greater than 0", "above 0"),
    Bad("a scheduler that is none", {f"{LORA}.training.scheduler": "cosinus"}, "spec.passes[0].lora.training.scheduler", "Unsupported value", "did you mean 'cosine'"),
    Bad("a batch of none", {f"{LORA}.training.perDeviceTrainBatchSize": 0}, "spec.passes[0].lora.training.perDeviceTrainBatchSize", "1 to 4096 or auto", "1 to 4096 or auto"),
    Bad("a batch that is a word", {f"{LORA}.training.perDeviceTrainBatchSize": "atuo"}, "spec.passes[0].lora.training.perDeviceTrainBatchSize", "1 to 4096 or auto", "did you mean 'auto'"),
    Bad("a seed too large", {f"{LORA}.training.seed": 2**32}, "spec.passes[0].lora.training.seed", "less than or equal to 4294967295", "0 to 4294967295"),
    Bad("a pass without its data", {f"{LORA}.trainData": DELETE}, "spec.passes[0].lora.trainData", "Required value", "is missing"),
    Bad("a precision that is none", {"spec.passes.2.genai.precision": "int3"}, "spec.passes[2].genai.precision", "Unsupported value", "one of int4"),
    Bad("an accuracy that is a yes", {"spec.passes.2.genai.accuracyLevel": True}, "spec.passes[2].genai.accuracyLevel", "must be of type integer", "1 to 4"),
    Bad("a block of 33", {"spec.passes.2.genai.blockSize": 33}, "spec.passes[2].genai.blockSize", "Unsupported value", "one of 16"),
    Bad("windows of one token", {f"{TEXT}.maxLength": 1}, "spec.data[0].text.maxLength", "greater than or equal to 2", "2 to 1048576"),
    Bad("no columns", {f"{TEXT}.columns": []}, "spec.data[0].text.columns", "at least 1 items", "1 to 64 entries"),
    Bad("a strategy that is none", {f"{TEXT}.strategy": "joined"}, "spec.data[0].text.strategy", "Unsupported value", "one of join"),
    Bad("no passes", {"spec.passes": []}, "spec.passes", "at least 1 items", "1 to 32 entries"),
    Bad("too many passes", {"spec.passes": [{"name": f"m-{i}", "merge": {}} for i in range(33)]}, "spec.passes", "must have at most 32 items", "1 to 32 entries"),
    Bad("too many data sets", {f"spec.data.{i}": {"name": f"rows-{i}", **ROWS} for i in range(2, 17)}, "spec.data", "must have at most 16 items", "up to 16 entries"),
    Bad("no model", {"spec.model": DELETE}, "spec.model", "Required value", "is missing"),
    Bad("no output", {"spec.output": DELETE}, "spec.output", "Required value", "is missing"),
    Bad("a bucket in capitals", {"spec.output.s3.uri": "s3://Team-A/x"}, "spec.output.s3.uri", "expected s3://bucket/key", "s3://bucket/key"),
    Bad("an endpoint without its scheme", {"spec.output.s3.endpoint": "minio:9000"}, "spec.output.s3.endpoint", "expected a URL with http:// or https://", "a URL with http"),
    Bad("a path out of its volume", {"spec.data.1.source.volume.path": "../etc"}, "spec.data[1].source.volume.path", "expected a path without a leading slash, and without . and ..", "without . and .."),
    Bad("a path from a volume's own root", {"spec.data.1.source.volume.path": "/rows.jsonl"}, "spec.data[1].source.volume.path", "expected a path without a leading slash", "without a leading slash"),
    Bad("a name with capitals", {"spec.passes.0.name": "Fine"}, "spec.passes[0].name", "expected lower-case letters, digits and dashes", "lower-case letters"),
    Bad("a cache that is On", {"spec.cache": {"mode": "On"}}, "spec.cache.mode", "Unsupported value", "one of Off"),
    Bad("a cache mode that YAML makes a boolean", {"spec.cache": {"mode": False}}, "spec.cache.mode", "must be of type string", "one of Off"),
    Bad("no attempt", {"spec.retry": {"maxAttempts": 0}}, "spec.retry.maxAttempts", "greater than or equal to 1", "1 to 100"),
    Bad("a deadline of no time", {"spec.activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "greater than or equal to 1", "1 to 2147483647"),
    Bad("a TTL before the end", {"spec.ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished", "greater than or equal to 0", "0 to 2147483647"),
    Bad("a deadline that Kubernetes cannot count to", {"spec.activeDeadlineSeconds": 2**31}, "spec.activeDeadlineSeconds", "less than or equal to 2147483647", "1 to 2147483647"),
    Bad("a TTL that a Job cannot hold", {"spec.ttlSecondsAfterFinished": 2**31}, "spec.ttlSecondsAfterFinished", "less than or equal to 2147483647", "0 to 2147483647"),
    Bad("an amount that is none", {f"{KUBERNETES}.resources": {"limits": {"memory": "32GB"}}}, "spec.execution.kubernetes.resources.limits[memory]", "expected an amount such as 4, 500m or 32Gi", "an amount such as 4, 500m or 32Gi"),
    Bad("a grace of an instant", {f"{TEMPLATE}.terminationGracePeriodSeconds": 1}, "spec.execution.kubernetes.podTemplate.terminationGracePeriodSeconds", "greater than or equal to 10", "10 to 3600"),
    Bad("a pod of root's group", {f"{TEMPLATE}.fsGroup": 0}, "spec.execution.kubernetes.podTemplate.fsGroup", "greater than or equal to 1", "1 to 2147483647"),
    Bad("a plug-in without a name", {"spec.passes.1": {"custom": {"options": {}}}}, "spec.passes[1].custom.pass", "Required value", "custom takes pass"),
    Bad("an image with a space", {f"{KUBERNETES}.image": "team/runner latest"}, "spec.execution.kubernetes.image", "expected text without white space", "without white space"),
]  # fmt: skip

UNIONS = [
    Bad("no source of the model", {"spec.model": {}}, "spec.model", ONE_SOURCE, ONE_SOURCE),
    Bad("two sources of the model", {"spec.model.path": "/models/x"}, "spec.model", ONE_SOURCE, "huggingFace and path are given"),
    Bad("no source of data", {"spec.data.0.source": {}}, "spec.data[0].source", ONE_SOURCE, ONE_SOURCE),
    Bad("two outputs", {"spec.output.volume": {"claimName": "models"}}, "spec.output", "exactly one of s3, azureBlob, path, volume", "s3 and volume are given"),
    Bad("text and chat", {"spec.data.0.chat": {}}, "spec.data[0]", "exactly one of text, chat", "both are given"),
    Bad("neither text nor chat", {"spec.data.0.text": DELETE}, "spec.data[0]", "exactly one of text, chat", "none is given"),
    Bad("a step of two passes", {"spec.passes.1.genai": {}}, "spec.passes[1]", ONE_PASS, "merge and genai are given"),
    Bad("a step of no pass", {"spec.passes.1": {"name": "nothing"}}, "spec.passes[1]", ONE_PASS, "none is given"),
    Bad("a pass and a plug-in", {"spec.passes.1.custom": {"pass": "x"}}, "spec.passes[1]", ONE_PASS, "merge and custom are given"),
    Bad("a variable without a value", {f"{TEMPLATE}.env": [{"name": "A"}]}, "spec.execution.kubernetes.podTemplate.env[0]", "exactly one of value, valueFrom", "none is given"),
    Bad("a variable with two values", {f"{TEMPLATE}.env": [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, "spec.execution.kubernetes.podTemplate.env[0]", "exactly one of value, valueFrom", "both are given"),
    Bad("two ways to evaluate", {f"{LORA}.evalSize": 10}, "spec.passes[0].lora", "at most one of evalData, evalFraction, evalSize", "evalData and evalSize are given"),
    Bad("two ways to warm up", {f"{LORA}.training": {"warmupSteps": 3, "warmupRatio": 0.1}}, "spec.passes[0].lora.training.warmupSteps", "one of them decides", "one of them decides"),
]  # fmt: skip

NAMES_AND_REFERENCES = [
    Bad("a name too long for its children", {"metadata.name": "a" * 53}, "<nil>", "at most 52 characters", "up to 52 characters"),
    Bad("a name with a dot", {"metadata.name": "phi3.emotion"}, "<nil>", "lower-case letters, digits and dashes", "lower-case letters, digits and dashes"),
    Bad("two data sets of one name", {"spec.data.1.name": "train"}, "spec.data[1]", "Duplicate value", "data has the name 'train' more than once"),
    Bad("two steps of one name", {"spec.passes.1.name": "finetune"}, "spec.passes", "two steps are called alike", "passes has the name 'finetune' more than once"),
    Bad("two steps of one pass", {"spec.passes.3": {"merge": {}}}, "spec.passes", "two steps are called alike", "passes has the name 'merge' more than once"),
    Bad("a step called as another's pass", {"spec.passes.0.name": "genai"}, "spec.passes", "two steps are called alike", "passes has the name 'genai' more than once"),
    Bad("two steps of one plug-in", {"spec.passes.1": {"custom": {"pass": "x"}}, "spec.passes.3": {"custom": {"pass": "x"}}}, "spec.passes", "two steps are called alike", "passes has the name 'x' more than once"),
    Bad("training on data that is not there", {f"{LORA}.trainData": "trian"}, "spec.passes", "lora.trainData names a data set that spec.data does not have", "no data set is called 'trian'"),
    Bad("evaluating on data that is not there", {f"{LORA}.evalData": "test"}, "spec.passes", "lora.evalData names a data set", "no data set is called 'test'"),
    Bad("qlora on data that is not there", {"spec.passes.0": {"qlora": {"trainData": "x"}}}, "spec.passes", "qlora.trainData names a data set", "no data set is called 'x'"),
    Bad("a plug-in that a step cannot be called by", {"spec.passes.1": {"custom": {"pass": "Drop_Layers"}}}, "spec.passes[1].name", "unless it has a name of its own", "lower-case letters"),
    Bad("no data at all", {"spec.data": DELETE}, "spec.passes", "lora.trainData names a data set", "no data set is called 'train'"),
    Bad("an answer that is no column", {f"{TEXT}.answer": "mood"}, "spec.data[0].text.answer", "a column that is not in columns", "not in columns"),
    Bad("two Secrets of one name", {"spec.credentials": [{"secretName": "s"}, {"secretName": "s"}]}, "spec.credentials[1]", "Duplicate value", "more than once"),
    Bad("two variables of one name", {f"{TEMPLATE}.env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "spec.execution.kubernetes.podTemplate.env[1]", "Duplicate value", "more than once"),
    Bad("two claims at one place", {f"{TEMPLATE}.volumes": [MOUNT, {**MOUNT, "claimName": "x"}]}, "spec.execution.kubernetes.podTemplate.volumes[1]", "Duplicate value", "more than once"),
]  # fmt: skip

OPTIONS_THAT_GO_TOGETHER = [
    Bad("a stride without windows", {f"{TEXT}.strategy": "line-by-line", f"{TEXT}.stride": 8}, "spec.data[0].text.stride", "stride goes with strategy join", "stride goes with strategy join"),
    Bad("a joiner without a stream", {f"{TEXT}.strategy": "line-by-line", f"{TEXT}.joiner": " "}, "spec.data[0].text.joiner", "joiner goes with strategy join", "joiner goes with strategy join"),
    Bad("a stride over the window", {f"{TEXT}.stride": 4096}, "spec.data[0].text.stride", "larger than maxLength", "larger than maxLength"),
    Bad("a stride over the default window", {"spec.data.1.text.stride": 1025}, "spec.data[1].text.stride", "larger than maxLength", "larger than maxLength 1024"),
    Bad("conversations with a stride and no window", {"spec.data.0": {"name": "train", "source": {"s3": {"uri": "s3://abc/x.jsonl"}}, "chat": {"strategy": "line-by-line", "stride": 2}}}, "spec.data[0].chat.stride", "stride goes with strategy join", "stride goes with strategy join"),
    Bad("an answer that is not told", {f"{TEXT}.lossOn": "answer"}, "spec.data[0].text.lossOn", "needs answer", "needs answer"),
    Bad("early stopping without evaluation", {f"{LORA}.evalData": DELETE, f"{LORA}.training": {"earlyStopping": {}}}, "spec.passes[0].lora.training.earlyStopping", "needs evaluation data", "needs evaluation data"),
    Bad("evaluation steps without evaluation", {f"{LORA}.evalData": DELETE, f"{LORA}.training": {"evalSteps": 5}}, "spec.passes[0].lora.training.evalSteps", "needs evaluation data", "needs evaluation data"),
    Bad("blocks of full precision", {"spec.passes.2.genai": {"precision": "fp16", "blockSize": 32}}, "spec.passes[2].genai.blockSize", "goes with int4 and int8", "goes with int4 and int8"),
    Bad("mixed precision at int8", {"spec.passes.2.genai": {"precision": "int8", "mixedPrecision": "last"}}, "spec.passes[2].genai.mixedPrecision", "goes with int4", "goes with int4"),
    Bad("nodes left out of full precision", {"spec.passes.2.genai": {"precision": "fp32", "excludeNodes": ["/a"]}}, "spec.passes[2].genai.excludeNodes", "goes with int4 and int8", "goes with int4 and int8"),
    Bad("bf16 on a CPU", {"spec.passes.2.genai.precision": "bf16"}, "spec.passes", "genai.precision on CPUExecutionProvider is one of fp32, fp16, int8, int4", "bf16 does not run on CPUExecutionProvider"),
    Bad("two stages and no cache", {"spec.cache": {"mode": "Off"}}, "spec.cache.mode", "goes with one stage", "goes with one stage"),
    Bad("two stages and a cache to read", {"spec.cache": {"mode": "ReadOnly"}}, "spec.cache.mode", "goes with one stage", "goes with one stage"),
]  # fmt: skip

PODS = [
    Bad("a variable of the operator's", {f"{TEMPLATE}.env": [{"name": "MILLWRIGHT_STEPS", "value": "0:1"}]}, "spec.execution.kubernetes.podTemplate.env[0].name", "the operator's own", "the operator's own"),
    Bad("a variable that says where scratch files lie", {f"{TEMPLATE}.env": [{"name": "TMPDIR", "value": "/data"}]}, "spec.execution.kubernetes.podTemplate.env[0].name", "the operator's own", "the operator's own"),
    Bad("a mount over the job's own", {f"{TEMPLATE}.volumes": [{**MOUNT, "mountPath": "/etc/millwright/job"}]}, "spec.execution.kubernetes.podTemplate.volumes[0].mountPath", "mountPath is taken", "is taken"),
    Bad("a mount over the token", {f"{TEMPLATE}.volumes": [{**MOUNT, "mountPath": "/var/run/secrets"}]}, "spec.execution.kubernetes.podTemplate.volumes[0].mountPath", "mountPath is taken", "is taken"),
    Bad("a mount that goes up", {f"{TEMPLATE}.volumes": [{**MOUNT, "mountPath": "/a/../etc"}]}, "spec.execution.kubernetes.podTemplate.volumes[0].mountPath", "straight down", "straight down"),
    Bad("a relative mount", {f"{TEMPLATE}.volumes": [{**MOUNT, "mountPath": "models"}]}, "spec.execution.kubernetes.podTemplate.volumes[0].mountPath", "expected an absolute path", "an absolute path"),
    Bad("a mount with a slash at its end", {f"{TEMPLATE}.volumes": [{**MOUNT, "mountPath": "/models/"}]}, "spec.execution.kubernetes.podTemplate.volumes[0].mountPath", "without a slash at its end", "without a slash at its end"),
    Bad("a mount over the job's own by two slashes", {f"{TEMPLATE}.volumes": [{**MOUNT, "mountPath": "//etc/millwright"}]}, "spec.execution.kubernetes.podTemplate.volumes[0].mountPath", "or two in a row", "or two in a row"),
    Bad("a mount over the job's own by a dot", {f"{TEMPLATE}.volumes": [{**MOUNT, "mountPath": "/etc/./millwright"}]}, "spec.execution.kubernetes.podTemplate.volumes[0].mountPath", "straight down", "straight down"),
    Bad("a toleration of any value", {f"{TEMPLATE}.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "spec.execution.kubernetes.podTemplate.tolerations[0].value", "Exists takes no value", "Exists takes no value"),
    Bad("a toleration of nothing", {f"{TEMPLATE}.tolerations": [{"value": "b"}]}, "spec.execution.kubernetes.podTemplate.tolerations[0]", "without a key", "without a key"),
    Bad("seconds without eviction", {f"{TEMPLATE}.tolerations": [{"key": "a", "tolerationSeconds": 3}]}, "spec.execution.kubernetes.podTemplate.tolerations[0].tolerationSeconds", "NoExecute", "NoExecute"),
    Bad("a toleration for ever and ever", {f"{TEMPLATE}.tolerations": [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 2**31}]}, "spec.execution.kubernetes.podTemplate.tolerations[0].tolerationSeconds", "less than or equal to 2147483647", "0 to 2147483647"),
    Bad("near pods with more than one of a label", {f"{TEMPLATE}.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "gpus", "operator": "Gt", "values": ["1"]}]}}]}, "matchExpressions[0].operator", "Unsupported value", "one of In, NotIn, Exists, DoesNotExist"),
    Bad("a field of a node that is none to choose by", {PREFIX: [{"matchFields": [{"key": "spec.providerID", "operator": "In", "values": ["x"]}]}]}, "matchFields[0].key", "Unsupported value", "metadata.name"),
    Bad("two nodes by one requirement", {PREFIX: [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a", "b"]}]}]}, "matchFields[0].values", "must have at most 1 item", "one entry"),
    Bad("one of no values", requirement(operator="In"), "matchExpressions[0].values", "need values", "needs values"),
    Bad("there, and with values", requirement(operator="Exists", values=["1"]), "matchExpressions[0].values", "take no values", "takes no values"),
    Bad("greater than two values", requirement(operator="Gt", values=["1", "2"]), "matchExpressions[0].values", "take one value", "takes one value"),
    Bad("a label's key with a space", {f"{TEMPLATE}.nodeSelector": {"gpu type": "h200"}}, "spec.execution.kubernetes.podTemplate.nodeSelector", "a key is a label's", "a label's key"),
    Bad("a label's key that is too long behind its slash", {f"{TEMPLATE}.nodeSelector": {"example.com/" + "a" * 64: "x"}}, "spec.execution.kubernetes.podTemplate.nodeSelector", "up to 63 characters behind the slash", "up to 63 characters behind the slash"),
    Bad("a label's key with a domain that is none", requirement("-a./gpus", operator="Exists"), "matchExpressions[0].key", "a label's key", "a label's key"),
    Bad("a Secret's name with two dots", {"spec.credentials": [{"secretName": "team..s3"}]}, "spec.credentials[0].secretName", "before and after each dot", "before and after each dot"),
    Bad("a queue's name that is no label", {f"{KUBERNETES}.queue": "a" * 64}, "spec.execution.kubernetes.queue", "may not be more than 63", "up to 63 characters"),
    Bad("a label's value with a space", {f"{TEMPLATE}.nodeSelector": {"gpu": "h 200"}}, "spec.execution.kubernetes.podTemplate.nodeSelector[gpu]", "expected a label's value", "a label's value"),
    Bad("a resource that is none", {f"{KUBERNETES}.resources": {"limits": {"memroy": "1Gi"}}}, "spec.execution.kubernetes.resources.limits", "cpu, memory, ephemeral-storage", "cpu, memory, ephemeral-storage"),
    Bad("half an accelerator", {f"{KUBERNETES}.resources": {"limits": {"nvidia.com/gpu": "500m"}}}, "spec.execution.kubernetes.resources.limits", "whole pieces", "whole pieces"),
    Bad("an accelerator that is only requested", {f"{KUBERNETES}.resources": {"requests": {"nvidia.com/gpu": 1}}}, "spec.execution.kubernetes.resources.requests", "requested as it is limited", "requested as it is limited"),
    Bad("more requested than allowed", {"spec.passes.2.resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1025Mi"}}}, "spec.passes[2].resources.requests", "above its limit", "above its limit"),
    Bad("less than nothing", {f"{KUBERNETES}.resources": {"limits": {"cpu": -1}}}, "spec.execution.kubernetes.resources.limits[cpu]", "at least 0", "at least 0"),
    Bad("a model that is looked for in no place", {"spec.model": {"path": "build/model"}}, "spec.model.path", "on a cluster a path is absolute", None, BELOW_THE_MANIFEST),
    Bad("rows that are looked for in no place", {"spec.data.0.source": {"path": "train.jsonl"}}, "spec.data[0].source.path", "on a cluster a path is absolute", None, BELOW_THE_MANIFEST),
    Bad("a model that goes with its pod", {"spec.output": {"path": "/tmp/out"}}, "spec.output.path", "below the mountPath of a claim", None, "locally a folder stays"),
    Bad("an output that is mounted read-only", {"spec.output": {"path": "/models/out"}, f"{TEMPLATE}.volumes": [MOUNT]}, "spec.output.path", "readOnly: false", None, "locally there are no mounts"),
    Bad("an output out of its mount", {"spec.output": {"path": "/models/../tmp/out"}, f"{TEMPLATE}.volumes": [{**MOUNT, "readOnly": False}]}, "spec.output.path", "without '..'", None, "locally there are no mounts"),
    Bad("an output beside its mount", {"spec.output": {"path": "/models2/out"}, f"{TEMPLATE}.volumes": [{**MOUNT, "readOnly": False}]}, "spec.output.path", "below the mountPath of a claim", None, "locally there are no mounts"),
]  # fmt: skip


def evaluation(*metrics: dict[str, object], **rest: object) -> dict[str, object]:
    return {"spec.evaluation": {"metrics": list(metrics), **rest}}


EVALUATIONS = [
    Bad("an evaluation of nothing", {**EVALUATED, METRICS: []}, "spec.evaluation.metrics", "at least 1 items", "1 to 16 entries"),
    Bad("an evaluation without metrics", {"spec.evaluation": {"data": "holdout"}}, "spec.evaluation.metrics", "Required value", "is missing"),
    Bad("too many metrics", evaluation(*({"name": f"m-{i}", "sizeOnDisk": {}} for i in range(17))), "spec.evaluation.metrics", "must have at most 16 items", "1 to 16 entries"),
    Bad("too many constraints", {**EVALUATED, CONSTRAINTS: [{"metric": "size", "max": i} for i in range(33)]}, "spec.evaluation.constraints", "must have at most 32 items", "up to 32 entries"),
    Bad("a field of an evaluation that is none", {**EVALUATED, "spec.evaluation.onViolations": "Warn"}, "spec.evaluation.onViolations", "unknown field", "unknown key"),
    Bad("an option of a metric that is none", {**EVALUATED, f"{METRICS}.0.exactMatch.lables": ["joy"]}, "spec.evaluation.metrics[0].exactMatch.lables", "unknown field", "unknown key"),
    Bad("a metric that is none", {**EVALUATED, f"{METRICS}.0": {"name": "accuracy", "exactMach": {}}}, "spec.evaluation.metrics[0].exactMach", "unknown field", "no metric is called 'exactMach'"),
    Bad("a metric of two kinds", {**EVALUATED, f"{METRICS}.0.f1": {}}, "spec.evaluation.metrics[0]", ONE_METRIC, "exactMatch and f1 are given"),
    Bad("a metric of no kind", {**EVALUATED, f"{METRICS}.2": {"name": "size"}}, "spec.evaluation.metrics[2]", ONE_METRIC, "none is given"),
    Bad("a metric and a plug-in", {**EVALUATED, f"{METRICS}.2.custom": {"metric": "x"}}, "spec.evaluation.metrics[2]", ONE_METRIC, "sizeOnDisk and custom are given"),
    Bad("a plug-in metric without a name", evaluation({"custom": {"options": {}}}), "spec.evaluation.metrics[0].custom.metric", "Required value", "custom takes metric"),
    Bad("a plug-in that a metric cannot be called by", evaluation({"custom": {"metric": "Drop_Layers"}}), "spec.evaluation.metrics[0].name", "unless it has a name of its own", "letters, digits and dashes"),
    Bad("a metric's name with a space", {**EVALUATED, f"{METRICS}.2.name": "the size"}, "spec.evaluation.metrics[2].name", "expected letters, digits and dashes", "letters, digits and dashes"),
    Bad("two metrics of one name", {**EVALUATED, f"{METRICS}.2.name": "accuracy"}, "spec.evaluation.metrics", "two metrics are called alike", "metrics has the name 'accuracy' more than once"),
    Bad("two metrics of one kind", evaluation({"sizeOnDisk": {}}, {"sizeOnDisk": {}}), "spec.evaluation.metrics", "two metrics are called alike", "metrics has the name 'sizeOnDisk' more than once"),
    Bad("a metric called as another's kind", {**EVALUATED, f"{METRICS}.2.name": "tokenLatency"}, "spec.evaluation.metrics", "two metrics are called alike", "metrics has the name 'tokenLatency' more than once"),
    Bad("evaluating on a data set that is none", {**EVALUATED, "spec.evaluation.data": "holdot"}, "spec.evaluation.data", "names a data set that spec.data does not have", "did you mean 'holdout'"),
    Bad("a metric on a data set that is none", {**EVALUATED, f"{METRICS}.0.data": "x"}, "spec.evaluation.metrics", "names a data set that spec.data does not have", "evaluation.metrics[0].data names the data set 'x'"),
    Bad("a metric without its data", {**EVALUATED, "spec.evaluation.data": DELETE}, "spec.evaluation.metrics", "measured on data", "is measured on data, and names none"),
    Bad("a metric with data that it has no use for", {**EVALUATED, f"{METRICS}.2.data": "holdout"}, "spec.evaluation.metrics[2].data", "measured without data", "sizeOnDisk is measured without data"),
    Bad("answers that are not told", {**EVALUATED, "spec.evaluation.data": "train"}, "spec.evaluation.metrics", "set text.answer", "does not say which column holds them"),
    Bad("answers that are not told on a metric's own data", {**EVALUATED, f"{METRICS}.0.data": "train"}, "spec.evaluation.metrics", "set text.answer", "does not say which column holds them"),
    Bad("a perplexity of answers that are not told", {**EVALUATED, f"{METRICS}.3.perplexity.of": "answer"}, "spec.evaluation.metrics", "set text.answer", "does not say which column holds them"),
    Bad("one label", {**EVALUATED, f"{METRICS}.0.exactMatch.labels": ["joy"]}, "spec.evaluation.metrics[0].exactMatch.labels", "at least 2 items", "2 to 256 entries"),
    Bad("a percentile between", {**EVALUATED, f"{METRICS}.1.tokenLatency.percentile": 95}, "spec.evaluation.metrics[1].tokenLatency.percentile", "Unsupported value", "one of 50, 90, 99"),
    Bad("a constraint on a metric that is none", {**EVALUATED, f"{CONSTRAINTS}.0.metric": "acuracy"}, "spec.evaluation.constraints", "names a metric that evaluation.metrics does not have", "did you mean 'accuracy'"),
    Bad("a constraint on a kind that has a name", {**EVALUATED, f"{CONSTRAINTS}.0.metric": "exactMatch"}, "spec.evaluation.constraints", "names a metric that evaluation.metrics does not have", "names the metric 'exactMatch'"),
    Bad("a constraint on nothing", {**EVALUATED, f"{CONSTRAINTS}.0.metric": DELETE}, "spec.evaluation.constraints[0].metric", "Required value", "is missing"),
    Bad("a constraint without a bound", {**EVALUATED, f"{CONSTRAINTS}.1": {"metric": "size"}}, "spec.evaluation.constraints[1]", ONE_BOUND, "none is given"),
    Bad("a constraint with two bounds", {**EVALUATED, f"{CONSTRAINTS}.1.min": 3}, "spec.evaluation.constraints[1]", ONE_BOUND, "max and min are given"),
    Bad("a drop below nothing", {**EVALUATED, f"{CONSTRAINTS}.0.maxDrop": -0.1}, "spec.evaluation.constraints[0].maxDrop", "greater than or equal to 0", "0 to 1000000000000000"),
    Bad("a bound beyond all", {**EVALUATED, f"{CONSTRAINTS}.1.max": 1e16}, "spec.evaluation.constraints[1].max", "less than or equal to 1e+15", "-1000000000000000 to 1000000000000000"),
    Bad("a bound in quotes", {**EVALUATED, f"{CONSTRAINTS}.1.max": "40"}, "spec.evaluation.constraints[1].max", "must be of type number", "a number"),
    Bad("a drop from what is none", {**EVALUATED, f"{CONSTRAINTS}.0.relativeTo": "base"}, "spec.evaluation.constraints[0].relativeTo", "Unsupported value", "one of input, previous"),
    Bad("a violation that does what is none", {**EVALUATED, "spec.evaluation.onViolation": "fail"}, "spec.evaluation.onViolation", "Unsupported value", "did you mean 'Fail'"),
    Bad("measured when nobody knows", {**EVALUATED, "spec.evaluation.after": ["first"]}, "spec.evaluation.after[0]", "Unsupported value", "one of input, each, last"),
    Bad("measured never", {**EVALUATED, "spec.evaluation.after": []}, "spec.evaluation.after", "at least 1 items", "1 to 3 entries"),
    Bad("no task", {**EVALUATED, f"{METRICS}.0": {"name": "accuracy", "lmEval": {}}}, "spec.evaluation.metrics[0].lmEval", "exactly one of task, config", "none is given"),
    Bad("two tasks", {**EVALUATED, f"{METRICS}.0": {"name": "accuracy", "lmEval": {"task": "x", "config": {"outputType": "generate_until"}}}}, "spec.evaluation.metrics[0].lmEval", "exactly one of task, config", "both are given"),
    Bad("choices that are not chosen from", {**EVALUATED, f"{METRICS}.0": {"name": "accuracy", "lmEval": {"config": {"outputType": "generate_until", "docToChoice": ["a"]}}}}, "spec.evaluation.metrics[0].lmEval.config.docToChoice", "goes with outputType multiple_choice", "docToChoice goes with outputType multiple_choice"),
    Bad("nothing to choose from", {**EVALUATED, f"{METRICS}.0": {"name": "accuracy", "lmEval": {"config": {"outputType": "multiple_choice"}}}}, "spec.evaluation.metrics[0].lmEval.config.docToChoice", "goes with outputType multiple_choice", "needs docToChoice"),
    Bad("a filter of a task of one's own", {**EVALUATED, f"{METRICS}.0": {"name": "accuracy", "lmEval": {"config": {"outputType": "generate_until"}, "filter": "x"}}}, "spec.evaluation.metrics[0].lmEval.filter", "filter goes with task", "filter goes with task"),
    Bad("a metric that a task of one's own does not have", {**EVALUATED, f"{METRICS}.0": {"name": "accuracy", "lmEval": {"config": {"outputType": "generate_until"}, "metric": "acc"}}}, "spec.evaluation.metrics[0].lmEval.metric", "by generate_until has the metrics exact_match", "generate_until has no metric 'acc' here"),
    Bad("a task of one's own on no data", {"spec.evaluation": {"metrics": [{"lmEval": {"config": {"outputType": "generate_until"}}}]}}, "spec.evaluation.metrics", "lmEval with config: measured on data", "data"),
    Bad("a task of one's own on data without answers", {"spec.evaluation": {"data": "train", "metrics": [{"lmEval": {"config": {"outputType": "generate_until"}}}]}}, "spec.evaluation.metrics", "compared with the right answers", "answer"),
    Bad("a step that is called as the model it starts with", {**EVALUATED, "spec.passes.0.name": "input"}, "spec.passes", "a step is called input", "a step is called 'input'"),
]  # fmt: skip

BAD_MANIFESTS = [
    *UNKNOWN_KEYS,
    *TYPES_AND_BOUNDS,
    *UNIONS,
    *NAMES_AND_REFERENCES,
    *OPTIONS_THAT_GO_TOGETHER,
    *EVALUATIONS,
    *PODS,
    *BAD_AZURE,
    *BAD_SEARCHES,
]
