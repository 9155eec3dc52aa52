{{/* A release's name may have dots, a Service's may not. */}}
{{- define "millwright.fullname" -}}
{{- $release := .Release.Name | replace "." "-" }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains .Chart.Name $release }}
{{- $release | trunc 36 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" $release .Chart.Name | trunc 36 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Cluster-scoped objects: two releases of one name may live in two namespaces. */}}
{{- define "millwright.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "millwright.fullname" .) }}
{{- end }}

{{- define "millwright.selector" -}}
app.kubernetes.io/name: millwright
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "millwright.labels" -}}
app.kubernetes.io/name: millwright
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: millwright
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Of a pod: [root, the chart's own labels]; its own win. */}}
{{- define "millwright.podLabels" -}}
{{- $own := index . 1 | fromYaml }}
{{- mergeOverwrite (dict) ((index . 0).Values.podLabels | default dict) $own (dict "app.kubernetes.io/part-of" "millwright") | toYaml }}
{{- end }}

{{- define "millwright.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "millwright.fullname" .) }}
{{- end }}

{{- define "millwright.image" -}}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository .tag }}
{{- end }}
{{- end }}

{{- define "millwright.progressHost" -}}
{{- printf "%s-progress.%s.svc" (include "millwright.fullname" .) .Release.Namespace }}
{{- end }}

{{- define "millwright.certificateName" -}}
{{- printf "%s-certificate" (include "millwright.fullname" .) }}
{{- end }}

{{- define "millwright.tlsSecret" -}}
{{- .Values.progress.tls.existingSecret | default (printf "%s-progress-tls" (include "millwright.fullname" .)) }}
{{- end }}

{{/* "true" where the certificate is made by our own Job. */}}
{{- define "millwright.ownCertificate" -}}
{{- $tls := .Values.progress.tls }}
{{- if and .Values.progress.enabled (not $tls.existingSecret) (not $tls.certManager.enabled) }}true{{ end }}
{{- end }}

{{- define "millwright.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "millwright.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What a reconcile does in a namespace that is watched; the same list for all of them. */}}
{{- define "millwright.rules" -}}
# patch: the finalizer of jobs that run on Azure ML, and nothing else; a right for metadata alone there is not
- apiGroups: [millwright.dev]
  resources: [optimizationjobs]
  verbs: [get, list, watch, patch]
- apiGroups: [millwright.dev]
  resources: [optimizationjobs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch, create, patch, delete]
# list: what the Job controller says of a Job whose pods the API server refuses
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list, create]
{{- end }}

{{/* Said here in words: a schema can only say that something does not fit. */}}
{{- define "millwright.check" -}}
{{- $name := include "millwright.fullname" . }}
{{- if not (regexMatch "^[a-z]" $name) }}
{{- fail (printf "the name %s begins all names, and a Service's begins with a letter; choose another release name, or set fullnameOverride" $name) }}
{{- end }}
{{- $path := "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*" }}
{{- range $name, $image := .Values.images }}
{{- if not (regexMatch (printf "^([A-Za-z0-9.-]+(:[0-9]+)?/|\\[[0-9A-Fa-f:]+\\](:[0-9]+)?/)?%s(/%s)*$" $path $path) $image.repository) }}
{{- fail (printf "images.%s.repository: %s is none; it has the form registry:port/path in lower case, without https:// before it, and the tag is images.%s.tag" $name $image.repository $name) }}
{{- end }}
{{- end }}
{{- $tls := .Values.progress.tls }}
{{- if and $tls.existingSecret $tls.certManager.enabled }}
{{- fail (printf "progress.tls: the certificate comes from existingSecret (%s) or from certManager, not from both" $tls.existingSecret) }}
{{- end }}
{{- end }}
