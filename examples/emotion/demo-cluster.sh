#!/usr/bin/env bash
# The demo on Kubernetes: kubectl apply of job-cluster.yaml ends in an int4 model in S3. Each line that starts with + is a
# command to try by yourself. A second run takes what is there.
#
#   demo-cluster.sh [ARGUMENTS FOR HELM]
#
# It starts the project's own test cluster and leaves it up (make cluster-down takes it down). Another one is used instead
# when MILLWRIGHT_TEST_KUBECONFIG names it; then these say where images and S3 are: MILLWRIGHT_TEST_OPERATOR_IMAGE,
# _PREFLIGHT_IMAGE, _AZURE_IMAGE and _RUNNER_IMAGE, AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and
# MILLWRIGHT_TEST_POD_S3_ENDPOINT where pods reach S3 at another address. MILLWRIGHT_TEST_RELEASE names another release.
set -euo pipefail
shopt -s inherit_errexit
named=${MILLWRIGHT_TEST_KUBECONFIG:-}
[[ -z $named || $named == /* ]] || named=$PWD/$named
cd "$(dirname "${BASH_SOURCE[0]}")"
project=${MILLWRIGHT_PROJECT:-$(cd ../.. && pwd)}
PATH=$project/.venv/bin:$PATH
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
namespace=millwright-demo
release=${MILLWRIGHT_TEST_RELEASE:-millwright}

say() { printf '\n%s\n' "$*"; }
try() { echo "+ $*"; "$@"; }
ground() { (cd "$project" && python -m tests.cluster.ground "$@"); }

# Arguments for Helm that make the chart use an image, by digest where it has one: use_image operator REFERENCE
use_image() {
  local reference=$2 digest='' tag=''
  if [[ $reference == *@* ]]; then digest=${reference#*@}; reference=${reference%%@*}; fi
  if [[ ${reference##*/} == *:* ]]; then tag=${reference##*:}; reference=${reference%:*}; fi
  images+=(--set-string "images.$1.repository=$reference,images.$1.tag=$tag,images.$1.digest=$digest")
}

if [[ -n $named ]]; then
  [[ -s $named ]] || { echo "MILLWRIGHT_TEST_KUBECONFIG names $named: there is no such file, or it is empty" >&2; exit 2; }
  export KUBECONFIG=$named
  OPERATOR_IMAGE=${MILLWRIGHT_TEST_OPERATOR_IMAGE:?names the operator image} \
    PREFLIGHT_IMAGE=${MILLWRIGHT_TEST_PREFLIGHT_IMAGE:?names the preflight image} \
    AZURE_IMAGE=${MILLWRIGHT_TEST_AZURE_IMAGE:?names the image for Azure} \
    RUNNER_IMAGE=${MILLWRIGHT_TEST_RUNNER_IMAGE:?names the runner image}
  : "${AWS_ENDPOINT_URL_S3:?says where S3 is}" "${AWS_ACCESS_KEY_ID:?}" "${AWS_SECRET_ACCESS_KEY:?}"
  export AWS_ENDPOINT_URL_S3 AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
else
  say "A cluster: Kubernetes, an S3 server and an image registry on this machine (built the first time: half an hour)."
  ground up --keep --reuse
  eval "$(ground env)"
  say "The images, from this code."
  references=$(ground images)
  eval "$(grep '^export ' <<<"$references")"
fi
export AWS_REGION=${AWS_REGION:-us-east-1}
images=()
use_image operator "$OPERATOR_IMAGE"
use_image preflight "$PREFLIGHT_IMAGE"
use_image azure "$AZURE_IMAGE"
use_image runner "$RUNNER_IMAGE"

say "Millwright, by its Helm chart: the operator is a pod with a ServiceAccount of its own."
try helm upgrade --install "$release" "$project/charts/millwright" --namespace "$release-system" --create-namespace \
  --wait --timeout 5m --hide-notes "${images[@]}" "$@"
try kubectl get pods --namespace "$release-system"

if [[ ! -f build/holdout.jsonl || build/holdout.jsonl -ot make_data.py ]]; then
  say "Phrases: sad, joy, fear or surprise. No held-out phrase has a cue that is trained on."
  try python make_data.py build
fi
if [[ ! -d build/model || build/model -ot make_model.py || build/model -ot make_data.py ]]; then
  rm -rf build/model
  say "A small Phi-3, which has read text and knows no tones (no model hub is needed; under a minute):"
  try python make_model.py build/model
fi

say "Model and phrases go into a bucket, its keys into a Secret of a namespace for the job."
mkdir -p build/data
cp build/train.jsonl build/holdout.jsonl build/data/
try python bucket.py put build/model "s3://$namespace/model/"
try python bucket.py put build/data "s3://$namespace/data/"
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
kubectl create secret generic s3 --namespace "$namespace" --dry-run=client -o yaml \
  --from-literal="AWS_ENDPOINT_URL_S3=${MILLWRIGHT_TEST_POD_S3_ENDPOINT:-$AWS_ENDPOINT_URL_S3}" \
  --from-literal="AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID" --from-literal="AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY" \
  --from-literal="AWS_REGION=$AWS_REGION" | kubectl apply --server-side -f - >/dev/null

if kubectl get optimizationjobs.millwright.dev emotion --namespace "$namespace" >/dev/null 2>&1; then
  say "A job runs once. The one of before goes; what its passes made is in the cache."
  try kubectl delete --filename job-cluster.yaml
fi
say "The job."
try kubectl apply --filename job-cluster.yaml
try millwright watch "$namespace/emotion"
say "What the cluster has of it."
try kubectl get optjob emotion --namespace "$namespace" --output wide
try kubectl get jobs,pods --namespace "$namespace" --selector millwright.dev/job=emotion
model=$(kubectl get optimizationjobs.millwright.dev emotion --namespace "$namespace" -o jsonpath='{.status.artifacts[0].uri}')
say "The model in S3."
try python bucket.py list "$model"
rm -rf out/emotion-cluster
try python bucket.py get "$model" out/emotion-cluster

say "Before: the model as it is, in int4, made on this machine."
try millwright run job-base.yaml --quiet
say "Which of them can tell the tone of phrases they have never seen?"
try python classify.py before=out/emotion-base/model cluster=out/emotion-cluster --json build/accuracy-cluster.json
if [[ -z $named ]]; then
  say "The cluster is still up. In a shell of yours: eval \"\$(.venv/bin/python -m tests.cluster.ground env)\"; to end it: make cluster-down"
fi
