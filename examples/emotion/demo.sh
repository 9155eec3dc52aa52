#!/usr/bin/env bash
# The demo, step by step; each line that starts with + is a command to try by yourself. A second run takes what is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bin=$PWD/../../.venv/bin
PATH=$bin:$PATH
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error

say() { printf '\n%s\n' "$*"; }
try() { echo "+ $*"; "$@"; }

if [[ ! -f build/holdout.jsonl || build/holdout.jsonl -ot make_data.py ]]; then
  say "Phrases: sad, joy, fear or surprise. No held-out phrase has a cue that is trained on."
  try python make_data.py build
fi
if [[ ! -d build/model || build/model -ot make_model.py || build/model -ot make_data.py ]]; then
  rm -rf build/model
  say "A small Phi-3, which has read text and knows no tones (no model hub is needed; under a minute):"
  try python make_model.py build/model
fi

say "Before: the model as it is, in int4."
try millwright run job-base.yaml --quiet
say "After: LoRA, merged, in int4."
try millwright run job.yaml
say "The same without int4, to see what int4 costs: tuning and merging come from the cache."
try millwright run job.yaml --quiet --cache out/emotion --set passes.genai.precision=fp32 --set output.path=out/emotion-fp32

say "Which of them can tell the tone of phrases they have never seen?"
try python classify.py before=out/emotion-base/model after=out/emotion/model after-fp32=out/emotion-fp32/model --json build/accuracy.json
