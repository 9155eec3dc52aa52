"""What both sides take."""

from __future__ import annotations

from tests.cluster.manifests.azure import GOOD_AZURE
from tests.cluster.manifests.base import (
    CONSTRAINTS,
    DELETE,
    EVALUATED,
    KUBERNETES,
    LORA,
    METRICS,
    TEMPLATE,
    TEXT,
    Good,
)
from tests.cluster.manifests.searches import GOOD_SEARCHES

ROWS = {"source": {"s3": {"uri": "s3://team-a/rows.jsonl"}}, "text": {}}
MOUNT = {"claimName": "models", "mountPath": "/models"}

GOOD_MANIFESTS = [
    Good("the design's sample", {}),
    Good("as short as can be", {"spec": {"model": {"path": "/models/tiny"}, "passes": [{"genai": {}}], "output": {"s3": {"uri": "s3://abc/x"}}, "suspend": True}}),
    Good("a name of 52 characters", {"metadata.name": "a" * 52}),
    Good("a model in S3 behind an endpoint", {"spec.model": {"s3": {"uri": "s3://team-a/phi3/", "endpoint": "https://s3.example.com", "region": "eu-1"}}}),
    Good("a model in a volume", {"spec.model": {"volume": {"claimName": "models", "path": "phi3"}}}),
    Good("a model in the image", {"spec.model": {"path": "/models/phi3", "trustRemoteCode": True}}),
    Good("data of the hub, by conversations", {"spec.data.0": {"name": "train", "source": {"huggingFace": {"repo": "team/chat", "split": "train[:10%]"}}, "chat": {"lossOn": "answer"}, "limit": 1000}}),
    Good("windows that overlap", {f"{TEXT}.stride": 1024, f"{TEXT}.joiner": "\n"}),
    Good("line by line", {f"{TEXT}.strategy": "line-by-line", f"{TEXT}.padding": "maxLength"}),
    Good("sixteen data sets", {f"spec.data.{i}": {"name": f"rows-{i}", **ROWS} for i in range(2, 16)}),
    Good("thirty-two passes", {f"spec.passes.{i}": {"name": f"merge-{i}", "merge": {}} for i in range(3, 32)}),
    Good("every option of training", {f"{LORA}.training": {
        "seed": 4294967295, "dataSeed": 0, "epochs": 0.5, "maxSteps": 1, "learningRate": 1e-05, "scheduler": "cosine", "warmupSteps": 3,
        "weightDecay": 0.1, "maxGradNorm": 0, "perDeviceTrainBatchSize": 4096, "perDeviceEvalBatchSize": 1, "gradientAccumulationSteps": 1,
        "optimizer": "paged_adamw_8bit", "adamBeta1": 0.5, "adamBeta2": 0.5, "adamEpsilon": 1, "gradientCheckpointing": True, "dtype": "float32",
        "loggingSteps": 1, "evalSteps": 5, "groupByLength": True, "labelSmoothing": 0.1, "earlyStopping": {"patience": 2, "threshold": 0.01}}}),
    Good("a batch that is found out", {f"{LORA}.training.perDeviceTrainBatchSize": "auto"}),
    Good("modules by names", {f"{LORA}.targetModules": ["o_proj", "qkv_proj"], f"{LORA}.modulesToSave": ["lm_head"]}),
    Good("modules by a pattern", {f"{LORA}.targetModules": ".*proj"}),
    Good("a share held back", {f"{LORA}.evalData": DELETE, f"{LORA}.evalFraction": 0.3}),
    Good("qlora", {"spec.passes.0": {"qlora": {"trainData": "train", "quantType": "fp4", "doubleQuant": True, "computeDtype": "float16"}}}),
    Good("a pass of the image", {"spec.passes.1": {"custom": {"pass": "drop-layers", "options": {"layers": 2, "deep": {"any": [1, "x", None]}}}}}),
    Good("a plug-in's step with a name of its own", {"spec.passes.1": {"name": "drop", "custom": {"pass": "Drop_Layers"}}}),
    Good("every option of quantizing", {"spec.passes.2.genai": {
        "precision": "int4", "blockSize": 32, "accuracyLevel": 4, "symmetric": False, "algorithm": "k_quant", "mixedPrecision": "last", "excludeNodes": ["/lm_head/MatMul"]}}),
    Good("bf16 on CUDA", {"spec.target": {"executionProvider": "CUDAExecutionProvider"}, "spec.passes.2.genai.precision": "bf16"}),
    Good("fp16 with a list that is empty", {"spec.passes.2.genai": {"precision": "fp16", "excludeNodes": []}}),
    Good("accelerators by the piece", {f"{KUBERNETES}.resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "1.5", "memory": "64Gi"}, "requests": {"cpu": "500m", "memory": "1e9", "nvidia.com/gpu": "1"}}}),
    Good("an output in a volume", {"spec.output": {"volume": {"claimName": "models", "path": "phi3/out"}, "replace": True}}),
    Good("an output below a mount", {"spec.output": {"path": "/models/out"}, f"{TEMPLATE}.volumes": [{**MOUNT, "readOnly": False}]}),
    Good("a queue, an image and room", {KUBERNETES: {"queue": "team-a", "image": "registry.example.com/team/runner@sha256:" + "0" * 64, "scratch": "200Gi", "sharedMemory": "8Gi", "acceleratorMemory": "80Gi"}}),
    Good("the whole pod template", {TEMPLATE: {
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H200", "zone": ""}, "priorityClassName": "batch", "serviceAccountName": "trainer",
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}, {"operator": "Exists"}, {"key": "a", "value": "b"}],
        "imagePullSecrets": [{"name": "registry.team"}], "fsGroup": 1000, "terminationGracePeriodSeconds": 600,
        "env": [{"name": "HF_ENDPOINT", "value": "https://mirror.example.com"}, {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token", "optional": True}}}],
        "volumes": [MOUNT, {"claimName": "models", "mountPath": "/models2", "readOnly": False}]}}),
    Good("affinity to nodes and away from pods", {f"{TEMPLATE}.affinity": {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpus", "operator": "Gt", "values": ["1"]}]}]},
                         "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}}]},
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname", "namespaces": ["team-b"], "labelSelector": {
            "matchLabels": {"millwright.dev/role": "stage"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}}]}}}),
    Good("names with dots, and long ones", {
        "spec.output": {"volume": {"claimName": "data-" + "a" * 248}}, "spec.data.1.source.volume.claimName": "rows.v2", f"{KUBERNETES}.queue": "team.a",
        TEMPLATE: {"priorityClassName": "batch.low", "serviceAccountName": "team.trainer", "volumes": [{**MOUNT, "claimName": "models.v2"}]}}),
    Good("away from a node, by its name", {f"{TEMPLATE}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-7.example.com"]}]}]}),
    Good("a label's key with a long domain", {f"{TEMPLATE}.nodeSelector": {"a.very-long.domain.example.com/" + "a" * 63: "x"}}),
    Good("ends as late as can be", {"spec.activeDeadlineSeconds": 2**31 - 1, "spec.ttlSecondsAfterFinished": 2**31 - 1}),
    Good("credentials, retries and ends", {"spec.credentials": [{"secretName": "hf-token"}, {"secretName": "team-a.s3"}], "spec.retry": {"maxAttempts": 100}, "spec.activeDeadlineSeconds": 43200, "spec.ttlSecondsAfterFinished": 0}),
    Good("no cache in one stage", {"spec.cache": {"mode": "Off"}, "spec.passes.2.resources": DELETE}),
    Good("no cache and one pass with resources", {"spec.cache": {"mode": "Off"}, "spec.passes": [{"genai": {}, "resources": {"limits": {"cpu": "2"}}}]}),
    Good("an evaluation", EVALUATED),
    Good("an evaluation as short as can be", {"spec.evaluation": {"metrics": [{"sizeOnDisk": {}}]}}),
    Good("an evaluation after each pass that only warns", {**EVALUATED, "spec.evaluation.after": ["each"], "spec.evaluation.onViolation": "Warn"}),
    Good("each bound", {**EVALUATED, CONSTRAINTS: [
        {"metric": "accuracy", "min": 0}, {"metric": "tokenLatency", "max": -1.5}, {"metric": "accuracy", "maxDrop": 0}, {"metric": "size", "maxDropPercent": 10},
        {"metric": "surprise", "minImprovement": 0.1, "relativeTo": "input"}]}),
    Good("a metric by its kind's name", {"spec.evaluation": {"data": "holdout", "metrics": [{"exactMatch": {}}], "constraints": [{"metric": "exactMatch", "min": 0.5}]}}),
    Good("a metric twice, under two names", {"spec.evaluation": {"data": "holdout", "metrics": [{"perplexity": {}}, {"name": "on-train", "perplexity": {}, "data": "train"}]}}),
    Good("a metric of the image", {"spec.evaluation": {"metrics": [{"custom": {"metric": "Drop_Layers", "options": {"a": [1]}}, "name": "own"}, {"custom": {"metric": "x"}, "data": "train"}]}}),
    Good("sixteen metrics and thirty-two constraints", {"spec.evaluation": {
        "metrics": [{"name": f"size-{i}", "sizeOnDisk": {}} for i in range(16)], "constraints": [{"metric": f"size-{i % 16}", "max": i} for i in range(32)]}}),
    Good("answers of conversations", {"spec.data.1": {"name": "holdout", "source": {"s3": {"uri": "s3://abc/x.jsonl"}}, "chat": {}}, **EVALUATED}),
    Good("an answer on each metric's own data", {"spec.evaluation": {"metrics": [{"exactMatch": {}, "data": "holdout"}, {"f1": {}, "data": "holdout"}]}}),
    Good("a perplexity of answers", {"spec.evaluation": {"data": "holdout", "metrics": [{"perplexity": {"of": "answer"}}]}}),
    Good("every option of a metric that asks", {**EVALUATED, f"{METRICS}.0.exactMatch": {"maxNewTokens": 4, "batchSize": 32, "labels": ["joy", "fear"], "stop": ["\n", "###"], "ignoreCase": True}}),
    Good("a name with capitals for a metric", {**EVALUATED, f"{METRICS}.2.name": "sizeOnDisk-2"}),
    Good("checkpoints now and then", {"spec.checkpoint": {"everySteps": 1000000}}),
    Good("a task of lm_eval's, on its own data or on ours", {**EVALUATED, f"{METRICS}.4": {"lmEval": {"task": "arc_easy", "numFewshot": 5}}, f"{METRICS}.5": {
        "name": "ours", "lmEval": {"task": "arc_easy"}, "data": "train"}}),
    Good("a task of one's own", {"spec.evaluation": {"data": "holdout", "metrics": [
        {"lmEval": {"config": {"outputType": "multiple_choice", "docToChoice": ["joy", "fear"]}, "metric": "acc_norm"}},
        {"name": "words", "lmEval": {"config": {"outputType": "generate_until"}}}]}}),
    *GOOD_AZURE,
    *GOOD_SEARCHES,
]  # fmt: skip
