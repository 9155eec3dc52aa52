{{/* The operator's settings: millwright_operator/options.py says what each means. */}}
{{- define "millwright.environment" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: HOME, value: /tmp}
- {name: MILLWRIGHT_NAMESPACES, value: {{ join "," .Values.watchNamespaces | quote }}}
- {name: MILLWRIGHT_RUNNER_IMAGE, value: {{ include "millwright.image" .Values.images.runner | quote }}}
- {name: MILLWRIGHT_PREFLIGHT_IMAGE, value: {{ include "millwright.image" .Values.images.preflight | quote }}}
- {name: MILLWRIGHT_AZURE_IMAGE, value: {{ include "millwright.image" .Values.images.azure | quote }}}
- {name: MILLWRIGHT_IMAGE_PULL_POLICY, value: {{ .Values.imagePullPolicy }}}
- {name: MILLWRIGHT_PREFLIGHT_RESOURCES, value: {{ toJson .Values.preflight.resources | quote }}}
- {name: MILLWRIGHT_PREFLIGHT_DEADLINE, value: {{ .Values.preflight.deadlineSeconds | quote }}}
- {name: MILLWRIGHT_LEASE_NAME, value: {{ include "millwright.fullname" . }}}
- {name: MILLWRIGHT_LEASE_NAMESPACE, value: {{ .Release.Namespace | quote }}}
- {name: MILLWRIGHT_LOG_FORMAT, value: {{ .Values.logFormat }}}
- {name: MILLWRIGHT_LOG_LEVEL, value: {{ .Values.logLevel }}}
{{- if .Values.allowRemoteCode }}
- {name: MILLWRIGHT_ALLOW_REMOTE_CODE, value: "1"}
{{- end }}
{{- if .Values.progress.enabled }}
- {name: MILLWRIGHT_PROGRESS_URL, value: {{ printf "https://%s:8443/v1/progress" (include "millwright.progressHost" .) | quote }}}
- {name: MILLWRIGHT_PROGRESS_CA, value: /etc/millwright/tls/ca.crt}
- {name: MILLWRIGHT_TLS_CERT, value: /etc/millwright/tls/tls.crt}
- {name: MILLWRIGHT_TLS_KEY, value: /etc/millwright/tls/tls.key}
{{- end }}
{{- end }}
