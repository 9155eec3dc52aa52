"""lm-evaluation-harness as the metric lmEval uses it: its tasks, and the bridge that lets our models answer them.

`shipped` reads which tasks come with the package, without importing it; `own` makes a task of the job's rows; `judged`
runs the harness; `bridge` is the model as the harness sees it. The last two import lm_eval.
"""
