"""Searches that both sides take, and those that the API server refuses."""

from __future__ import annotations

from typing import Any

from tests.cluster.manifests.base import (
    DELETE,
    EVALUATED,
    OBJECTIVES,
    PARAMETERS,
    SEARCH,
    SEARCHED,
    Bad,
    Changes,
    Good,
)

ONE_RANGE = "exactly one of choice, uniform, logUniform, integer is needed"
ONE_KIND = "a parameter is of one kind"
TWO_STEPS: Changes = {**SEARCHED, "spec.passes.3": {"name": "requantize", "genai": {}}}
AFTER_EACH: Changes = {**SEARCHED, "spec.evaluation.after": ["each"]}


def of(step: str, option: str, **values: Any) -> Changes:
    """A search of one option, by the values or the range that is given."""
    return {**SEARCHED, PARAMETERS: [{"pass": step, "option": option, **values}]}


def parameters(*given: dict[str, Any]) -> Changes:
    return {**SEARCHED, PARAMETERS: list(given)}


LEARNING_RATE = {"pass": "finetune", "option": "learningRate", "choice": [1e-4, 2e-4]}
QLORA = {"name": "quantized", "qlora": {"trainData": "train"}}
EITHER: Changes = {
    "spec.passes.0": {"name": "full", "lora": {"trainData": "train"}},
    "spec.passes.1": QLORA,
    "spec.passes.3": {"merge": {}},
}

GOOD_SEARCHES = [
    Good("a search", SEARCHED),
    Good("a search as short as can be", {**EVALUATED, "spec.search": {
        "parameters": [LEARNING_RATE], "objectives": [{"metric": "accuracy", "direction": "Maximize"}]}}),
    Good("a grid", {**of("finetune", "r", integer={"min": 8, "max": 64, "step": 8}), f"{PARAMETERS}.1": {"pass": "genai", "option": "symmetric", "choice": [True, False]},
        "spec.search.algorithm": {"grid": {}}}),
    Good("points at random", {**SEARCHED, "spec.search.algorithm": {"random": {"seed": 2147483647}}}),
    Good("tpe with its defaults", {**SEARCHED, "spec.search.algorithm": {"tpe": {}}}),
    Good("a search with every limit", {**SEARCHED, "spec.search.maxTrials": 200, "spec.search.parallelTrials": 64,
        "spec.search.maxSeconds": 86400, "spec.search.maxFailedTrials": 0, "spec.search.keep": "all"}),
    Good("a Pareto front", {**SEARCHED, "spec.search.keep": "pareto", f"{OBJECTIVES}.1": {"metric": "tokenLatency", "direction": "Minimize"},
        f"{OBJECTIVES}.2": {"metric": "size", "direction": "Minimize"}, f"{OBJECTIVES}.3": {"metric": "surprise", "direction": "Minimize"}}),
    Good("a search that gives up on trials", {**AFTER_EACH, "spec.search.earlyStopping": {"median": {"startupTrials": 3}}}),
    Good("a search that gives up, by its defaults", {**AFTER_EACH, "spec.search.earlyStopping": {}}),
    Good("values of all types", parameters(
        {"pass": "genai", "option": "symmetric", "choice": [True, False]}, {"pass": "genai", "option": "precision", "choice": ["int4", "int8"]},
        {"pass": "finetune", "option": "alpha", "choice": [16, 0.5]}, {"pass": "genai", "option": "blockSize", "choice": [16, 32, 64, 128, 256]},
        {"pass": "finetune", "option": "targetModules", "choice": ["all-linear", ".*proj"]},
        {"pass": "finetune", "option": "perDeviceTrainBatchSize", "choice": ["auto", 4]})),
    Good("ranges of each kind, up to the option's bounds", parameters(
        {"pass": "finetune", "option": "dropout", "uniform": {"min": 0, "max": 0.99}}, {"pass": "finetune", "option": "learningRate", "logUniform": {"min": 1e-9, "max": 10}},
        {"pass": "finetune", "option": "r", "integer": {"min": 1, "max": 4096}}, {"pass": "genai", "option": "accuracyLevel", "integer": {"min": 1, "max": 4}},
        {"pass": "finetune", "option": "weightDecay", "uniform": {"min": 0, "max": 10}}, {"pass": "finetune", "option": "alpha", "integer": {"min": 8, "max": 64, "step": 8}},
        {"pass": "finetune", "option": "perDeviceTrainBatchSize", "integer": {"min": 1, "max": 4096}})),
    Good("bf16 among others on CUDA", {**of("genai", "precision", choice=["bf16", "int4"]), "spec.target": {"executionProvider": "CUDAExecutionProvider"}}),
    Good("options by their paths", parameters(
        {"pass": "finetune", "option": "training.learningRate", "choice": [1e-4]}, {"pass": "finetune", "option": "training.earlyStopping.patience", "choice": [1, 2]})),
    Good("options deep down by their last parts", parameters(
        {"pass": "finetune", "option": "patience", "integer": {"min": 1, "max": 3}}, {"pass": "finetune", "option": "dtype", "choice": ["float32"]})),
    Good("one option of two steps", {**TWO_STEPS, PARAMETERS: [
        {"pass": "genai", "option": "blockSize", "choice": [32]}, {"pass": "requantize", "option": "blockSize", "choice": [32]}]}),
    Good("a step that some trials leave out", {**TWO_STEPS, PARAMETERS: [{"pass": "requantize", "onOff": True}]}),
    Good("one of two ways to train", {**SEARCHED, **EITHER, PARAMETERS: [
        {"oneOf": ["full", "quantized"]}, {"pass": "full", "option": "r", "choice": [8]}, {"pass": "quantized", "option": "quantType", "choice": ["nf4", "fp4"]}]}),
    Good("twelve parameters of thirty-two values", parameters(*(
        {"pass": "finetune", "option": name, "choice": [i + 1 for i in range(32)]} for name in (
            "r", "alpha", "epochs", "maxSteps", "seed", "dataSeed", "warmupSteps", "perDeviceEvalBatchSize", "gradientAccumulationSteps", "loggingSteps", "evalSteps", "patience")))),
    Good("options of a plug-in, which only the preflight knows", {**SEARCHED, "spec.passes.1": {"custom": {"pass": "drop-layers"}}, PARAMETERS: [
        {"pass": "drop-layers", "option": "layers", "integer": {"min": -5, "max": 5}}, {"pass": "drop-layers", "option": "deep.layers", "choice": [True]}]}),
    Good("a bare path's name twice, of two passes", parameters(
        {"pass": "finetune", "option": "dtype", "choice": ["float32"]}, {"pass": "merge", "option": "dtype", "choice": ["float32"]})),
]  # fmt: skip

SHAPES = [
    Bad("a search for nothing", {**SEARCHED, "spec.search": {}}, "spec.search.parameters", "Required value", "spec.search.parameters: is missing"),
    Bad("a search without parameters", {**SEARCHED, PARAMETERS: []}, "spec.search.parameters", "at least 1 items", "1 to 12 entries"),
    Bad("a search with too many parameters", parameters(*({"pass": "finetune", "option": f"o{i}", "choice": [1]} for i in range(13))), "spec.search.parameters", "must have at most 12 items", "1 to 12 entries"),
    Bad("a search without an aim", {**SEARCHED, OBJECTIVES: []}, "spec.search.objectives", "at least 1 items", "1 to 4 entries"),
    Bad("an aim without a direction", {**SEARCHED, f"{OBJECTIVES}.0.direction": DELETE}, "spec.search.objectives[0].direction", "Required value", "is missing"),
    Bad("an aim in small letters", {**SEARCHED, f"{OBJECTIVES}.0.direction": "maximize"}, "spec.search.objectives[0].direction", "Unsupported value", "did you mean 'Maximize'"),
    Bad("a key of a search that is none", {**SEARCHED, "spec.search.trials": 12}, "spec.search.trials", "unknown field", "unknown key"),
    Bad("two algorithms", {**SEARCHED, "spec.search.algorithm": {"grid": {}, "tpe": {}}}, "spec.search.algorithm", "exactly one of grid, random, tpe", "grid and tpe are given"),
    Bad("an algorithm that is a word", {**SEARCHED, "spec.search.algorithm": "tpe"}, "spec.search.algorithm", "must be of type object", "a mapping with grid, random, tpe"),
    Bad("a seed below 0", {**SEARCHED, "spec.search.algorithm": {"tpe": {"seed": -1}}}, "spec.search.algorithm.tpe.seed", "greater than or equal to 0", "0 to 2147483647"),
    Bad("no trial", {**SEARCHED, "spec.search.maxTrials": 0}, "spec.search.maxTrials", "greater than or equal to 1", "1 to 200"),
    Bad("more trials than a status holds", {**SEARCHED, "spec.search.maxTrials": 201}, "spec.search.maxTrials", "less than or equal to 200", "1 to 200"),
    Bad("nothing at once", {**SEARCHED, "spec.search.parallelTrials": 0}, "spec.search.parallelTrials", "greater than or equal to 1", "1 to 64"),
    Bad("no time to search", {**SEARCHED, "spec.search.maxSeconds": 0}, "spec.search.maxSeconds", "greater than or equal to 1", "1 to 100000000"),
    Bad("keeping none", {**SEARCHED, "spec.search.keep": "none"}, "spec.search.keep", "Unsupported value", "one of best, pareto, all"),
    Bad("an option with a dash", of("finetune", "learning-rate", choice=[1]), "spec.search.parameters[0].option", "expected an option's name, or the path to it", "an option's name, or the path to it"),
    Bad("a choice of nothing", of("genai", "blockSize", choice=[]), "spec.search.parameters[0].choice", "at least 1 items", "1 to 32 entries"),
    Bad("a range without an end", of("finetune", "r", integer={"min": 1}), "spec.search.parameters[0].integer.max", "Required value", "is missing"),
    Bad("a range of half numbers", of("finetune", "r", integer={"min": 1.5, "max": 2}), "spec.search.parameters[0].integer.min", "must be of type integer", "a whole number"),
    Bad("steps of no width", of("finetune", "r", integer={"min": 1, "max": 2, "step": 0}), "spec.search.parameters[0].integer.step", "greater than or equal to 1", "1 to 1000000000"),
    Bad("orders of magnitude from 0 on", of("finetune", "learningRate", logUniform={"min": 0, "max": 1}), "spec.search.parameters[0].logUniform.min", "greater than 0", "above 0"),
    Bad("a switch that is off", {**TWO_STEPS, PARAMETERS: [{"pass": "requantize", "onOff": False}]}, "spec.search.parameters[0].onOff", "Unsupported value", "spec.search.parameters[0].onOff"),
    Bad("one of one", {**SEARCHED, PARAMETERS: [{"oneOf": ["genai"]}]}, "spec.search.parameters[0].oneOf", "at least 2 items", "2 to 8 entries"),
]  # fmt: skip

KINDS = [
    Bad("a range that falls", of("finetune", "r", integer={"min": 8, "max": 4}), "spec.search.parameters[0].integer", "min is below max", "min is below max; found 8 and 4"),
    Bad("a range of one number", of("finetune", "alpha", uniform={"min": 8, "max": 8}), "spec.search.parameters[0].uniform", "min is below max", "min is below max; found 8 and 8"),
    Bad("orders of magnitude that fall", of("finetune", "alpha", logUniform={"min": 8, "max": 0.8}), "spec.search.parameters[0].logUniform", "min is below max", "min is below max"),
    Bad("an option without values", of("finetune", "r"), "spec.search.parameters[0]", ONE_RANGE, f"{ONE_RANGE}; none is given"),
    Bad("an option with two ranges", of("finetune", "r", integer={"min": 1, "max": 2}, uniform={"min": 1, "max": 2}), "spec.search.parameters[0]", ONE_RANGE, "uniform and integer are given"),
    Bad("an option with values and a range", of("finetune", "r", choice=[4], integer={"min": 1, "max": 2}), "spec.search.parameters[0]", ONE_RANGE, "choice and integer are given"),
    Bad("values of no option", parameters({"pass": "finetune", "choice": [1]}), "spec.search.parameters[0].option", "option is needed", "option is needed"),
    Bad("a parameter of nothing", parameters({}), "spec.search.parameters[0].pass", "pass is needed", "pass is needed"),
    Bad("an option of no pass", parameters({"option": "r", "choice": [1]}), "spec.search.parameters[0].pass", "pass is needed", "pass is needed"),
    Bad("a value twice", of("finetune", "r", choice=[8, 16, 8]), "spec.search.parameters[0].choice", "choice has a value more than once", "choice has the value '8' more than once"),
    Bad("a switch with values", {**TWO_STEPS, PARAMETERS: [{"pass": "requantize", "onOff": True, "choice": [1]}]}, "spec.search.parameters[0]", ONE_KIND, ONE_KIND),
    Bad("a switch of an option", {**TWO_STEPS, PARAMETERS: [{"pass": "requantize", "onOff": True, "option": "blockSize"}]}, "spec.search.parameters[0]", ONE_KIND, ONE_KIND),
    Bad("a switch that is also a choice of steps", {**SEARCHED, PARAMETERS: [{"onOff": True, "oneOf": ["merge", "genai"]}]}, "spec.search.parameters[0]", ONE_KIND, ONE_KIND),
    Bad("a choice of steps below a step", {**SEARCHED, PARAMETERS: [{"pass": "merge", "oneOf": ["merge", "genai"]}]}, "spec.search.parameters[0].pass", "leave pass out", "leave pass out"),
    Bad("a step twice in one choice", {**SEARCHED, PARAMETERS: [{"oneOf": ["merge", "merge"]}]}, "spec.search.parameters[0].oneOf", "names a step more than once", "oneOf has the step 'merge' more than once"),
    Bad("an option searched twice", parameters(LEARNING_RATE, LEARNING_RATE), "spec.search.parameters", "an option of a pass is searched twice", "finetune.learningRate' more than once"),
    Bad("an option searched by its name and its path", parameters(LEARNING_RATE, {**LEARNING_RATE, "option": "training.learningRate"}), "spec.search.parameters", "searched twice, by its path and by its last part", "is searched twice"),
    Bad("an aim twice", {**SEARCHED, f"{OBJECTIVES}.1": SEARCH["objectives"][0]}, "spec.search.objectives", "name a metric more than once", "accuracy' more than once"),
    Bad("a step switched twice", {**TWO_STEPS, PARAMETERS: [{"pass": "requantize", "onOff": True}, {"oneOf": ["genai", "requantize"]}]}, "spec.search.parameters", "switched by onOff or oneOf more than once", "'requantize' more than once"),
    Bad("one switch twice", {**TWO_STEPS, PARAMETERS: [{"pass": "requantize", "onOff": True}] * 2}, "spec.search.parameters", "switched by onOff or oneOf more than once", "requantize on/off' more than once"),
    Bad("a grid of what cannot be counted", {**of("finetune", "dropout", uniform={"min": 0, "max": 0.5}), "spec.search.algorithm": {"grid": {}}}, "spec.search.parameters", "algorithm.grid tries every value", "algorithm.grid tries every value"),
    Bad("a grid of what cannot be counted, by order of magnitude", {**SEARCHED, f"{PARAMETERS}.2": DELETE, "spec.search.algorithm": {"grid": {}}}, "spec.search.parameters", "algorithm.grid tries every value", "finetune.learningRate, has a continuous range"),
    Bad("giving up with two aims", {**AFTER_EACH, "spec.search.earlyStopping": {}, f"{OBJECTIVES}.1": {"metric": "size", "direction": "Minimize"}}, "spec.search.earlyStopping", "goes with one objective", "goes with one objective"),
]  # fmt: skip

REFERENCES = [
    Bad("an option of a step that is not there", of("finetnue", "r", choice=[1]), "spec.search.parameters", "a parameter names a step that spec.passes does not have", "did you mean 'finetune'?"),
    Bad("a step by its pass, though it has a name", of("lora", "r", choice=[1]), "spec.search.parameters", "a parameter names a step that spec.passes does not have", "search.parameters[0].pass names the step 'lora'"),
    Bad("a switch of a step that is not there", {**SEARCHED, PARAMETERS: [{"pass": "prune", "onOff": True}]}, "spec.search.parameters", "a parameter names a step", "names the step 'prune'"),
    Bad("a choice with a step that is not there", {**SEARCHED, PARAMETERS: [{"oneOf": ["genai", "gptq"]}]}, "spec.search.parameters", "oneOf names a step that spec.passes does not have", "search.parameters[0].oneOf[1] names the step 'gptq'"),
    Bad("an aim at a metric that is not there", {**SEARCHED, f"{OBJECTIVES}.0.metric": "acuracy"}, "spec.search.objectives", "an objective names a metric that evaluation.metrics does not have", "did you mean 'accuracy'?"),
    Bad("an aim at a metric's kind, though it has a name", {**SEARCHED, f"{OBJECTIVES}.0.metric": "exactMatch"}, "spec.search.objectives", "an objective names a metric", "search.objectives[0].metric names the metric 'exactMatch'"),
    Bad("every step on and off", {**SEARCHED, PARAMETERS: [{"pass": name, "onOff": True} for name in ("finetune", "merge", "genai")]}, "spec.search.parameters", "every pass is onOff", "every pass is onOff"),
    Bad("a search that measures nothing", {"spec.search": SEARCH}, "spec.search", "evaluation is needed", "evaluation is needed"),
    Bad("giving up on what is not measured", {**SEARCHED, "spec.search.earlyStopping": {}}, "spec.search.earlyStopping", "evaluation.after: [each] is needed", "evaluation.after: [each] is needed"),
    Bad("a search without a cache", {**SEARCHED, "spec.cache": {"mode": "Off"}, "spec.passes.2.resources": DELETE}, "spec.cache.mode", "does not go with search", "cache.mode Off does not go with search"),
    Bad("a search with a cache to read", {**SEARCHED, "spec.cache": {"mode": "ReadOnly"}, "spec.passes.2.resources": DELETE}, "spec.cache.mode", "does not go with search", "cache.mode ReadOnly does not go with search"),
]  # fmt: skip

NONE_OF_LORA = "an option that lora does not have"
NONE_OF_GENAI = "an option that genai does not have"
WITHIN_BOUNDS = "dropout, training.warmupRatio, training.adamBeta1, training.adamBeta2, training.labelSmoothing (lora, qlora) take a number, at least 0, below 1"

OPTIONS = [
    Bad("an option that lora does not have", of("finetune", "learningrate", choice=[1e-4]), "spec.search.parameters", NONE_OF_LORA, "lora has no option 'learningrate' (did you mean 'learningRate'?)"),
    Bad("an option of another group", of("finetune", "lora.learningRate", choice=[1e-4]), "spec.search.parameters", NONE_OF_LORA, "did you mean 'learningRate'?"),
    Bad("an option of another step's pass", of("finetune", "precision", choice=["int4"]), "spec.search.parameters", NONE_OF_LORA, "lora has no option 'precision'"),
    Bad("an option that genai does not have", of("genai", "bits", choice=[4]), "spec.search.parameters", NONE_OF_GENAI, "genai has no option 'bits'"),
    Bad("an option that merge does not have", of("merge", "learningRate", choice=[4]), "spec.search.parameters", "an option that merge does not have", "merge has no option 'learningRate'"),
    Bad("a group of options", of("finetune", "training", choice=[1]), "spec.search.parameters", NONE_OF_LORA, "lora.training is a group of options"),
    Bad("data to train on", of("finetune", "trainData", choice=["train", "holdout"]), "spec.search.parameters", "or names a data set", "lora.trainData names a data set"),
    Bad("an option that takes a list", of("genai", "excludeNodes", choice=["/a"]), "spec.search.parameters", NONE_OF_GENAI, "genai.excludeNodes takes no single value"),
    Bad("a rank of 0 in a range", of("finetune", "r", integer={"min": 0, "max": 64}), "spec.search.parameters", "r, training.perDeviceEvalBatchSize (lora, qlora) take a whole number, 1 to 4096", "lora.r takes a whole number, 1 to 4096; found 0 to 64"),
    Bad("a range of ranks beyond all", of("finetune", "r", integer={"min": 8, "max": 4097}), "spec.search.parameters", "take a whole number, 1 to 4096", "found 8 to 4097"),
    Bad("half ranks", of("finetune", "r", uniform={"min": 8, "max": 64}), "spec.search.parameters", "take a whole number, 1 to 4096; search it by choice or integer", "lora.r takes a whole number, 1 to 4096; take integer"),
    Bad("ranks by orders of magnitude", of("finetune", "r", logUniform={"min": 8, "max": 64}), "spec.search.parameters", "search it by choice or integer", "take integer"),
    Bad("a learning rate that overflows", of("finetune", "learningRate", logUniform={"min": 1e-4, "max": 11}), "spec.search.parameters", "training.learningRate (lora, qlora) takes a number, above 0, at most 10", "found 0.0001 to 11"),
    Bad("the same by its path", of("finetune", "training.learningRate", uniform={"min": 0, "max": 1}), "spec.search.parameters", "training.learningRate (lora, qlora) takes a number, above 0, at most 10", "found 0 to 1"),
    Bad("a range in which all is dropped", of("finetune", "dropout", uniform={"min": 0, "max": 1}), "spec.search.parameters", WITHIN_BOUNDS, "a number, at least 0, below 1; found 0 to 1"),
    Bad("batches of none", of("finetune", "perDeviceTrainBatchSize", integer={"min": 0, "max": 8}), "spec.search.parameters", "takes a whole number, 1 to 4096 or auto", "found 0 to 8"),
    Bad("a range of block sizes", of("genai", "blockSize", integer={"min": 16, "max": 256}), "spec.search.parameters", "blockSize (genai) takes one of 16, 32, 64, 128, 256; search it by choice", "genai.blockSize takes one of 16, 32, 64, 128, 256; list the values by choice"),
    Bad("a range of precisions", of("genai", "precision", uniform={"min": 4, "max": 8}), "spec.search.parameters", "precision (genai) takes one of int4, int8, fp16, bf16, fp32", "list the values by choice"),
    Bad("a range of yes and no", of("genai", "symmetric", integer={"min": 0, "max": 1}), "spec.search.parameters", "(genai) take true or false", "list the values by choice"),
    Bad("a range of modules", of("finetune", "targetModules", integer={"min": 0, "max": 1}), "spec.search.parameters", "targetModules (lora, qlora) takes text", "list the values by choice"),
    Bad("a range for the option of a plug-in's namesake", {**SEARCHED, "spec.passes.3": {"name": "plug", "custom": {"pass": "x"}}, PARAMETERS: [
        {"pass": "plug", "option": "r", "integer": {"min": 0, "max": 9}}, {"pass": "finetune", "option": "r", "integer": {"min": 0, "max": 9}}]}, "spec.search.parameters", "take a whole number, 1 to 4096", "found 0 to 9"),
    Bad("a precision that is none, among others", of("genai", "precision", choice=["int4", "int3"]), "spec.search.parameters", "precision (genai) takes one of int4, int8, fp16, bf16, fp32", "spec.search.parameters[0].choice[1]"),
    Bad("a block size of 33, among others", of("genai", "blockSize", choice=[32, 33]), "spec.search.parameters", "blockSize (genai) takes one of 16, 32, 64, 128, 256", "spec.search.parameters[0].choice[1]"),
    Bad("a block size in quotes", of("genai", "blockSize", choice=["32"]), "spec.search.parameters", "blockSize (genai) takes one of 16, 32, 64, 128, 256", "spec.search.parameters[0].choice[0]"),
    Bad("bf16 on a CPU, among others", of("genai", "precision", choice=["int4", "bf16"]), "spec.search.parameters", "bf16 is among those that are searched", "bf16 does not run on CPUExecutionProvider"),
    Bad("yes in words", of("genai", "symmetric", choice=["true", "false"]), "spec.search.parameters", "(genai) take true or false", "spec.search.parameters[0].choice"),
    Bad("a type for the merge that is none", of("merge", "dtype", choice=["float64"]), "spec.search.parameters", "dtype (merge) takes one of float32, bfloat16, float16", "spec.search.parameters[0].choice[0]"),
]  # fmt: skip

BAD_SEARCHES = [*SHAPES, *KINDS, *REFERENCES, *OPTIONS]
