{{/* A name of the release's: (list $ "redis"). */}}
{{- define "limnad.name" -}}
{{- $top := index . 0 -}}
{{- printf "%s-%s" $top.Release.Name (index . 1) -}}
{{- end -}}

{{- define "limnad.cluster" -}}
{{- .Values.cluster.name | default .Release.Name -}}
{{- end -}}

{{/* By which pods are found, and all labels that they have, so that a new version of the chart alone replaces none:
     (list $ "redis"). */}}
{{- define "limnad.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: limnad
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Of all that the chart makes: (list $ "redis"). */}}
{{- define "limnad.labels" -}}
{{- $top := index . 0 -}}
{{ include "limnad.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name ($top.Chart.Version | replace "+" "_") }}
{{- end -}}

{{/* An image's reference, of a repository, a tag and a digest. */}}
{{- define "limnad.reference" -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}

{{- define "limnad.image" -}}
{{- $image := .Values.image -}}
{{- include "limnad.reference" (dict "repository" $image.repository "tag" ($image.tag | default .Chart.AppVersion) "digest" $image.digest) -}}
{{- end -}}

{{- define "limnad.operatorImage" -}}
{{- $own := .Values.operator.image -}}
{{- include "limnad.reference" (dict "repository" ($own.repository | default .Values.image.repository) "tag" ($own.tag | default .Chart.AppVersion) "digest" $own.digest) -}}
{{- end -}}

{{- define "limnad.operatorPullPolicy" -}}
{{- .Values.operator.image.pullPolicy | default .Values.image.pullPolicy -}}
{{- end -}}

{{- define "limnad.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "limnad.operatorAccount" -}}
{{- .Values.operator.serviceAccount.name | default (include "limnad.name" (list . "operator")) -}}
{{- end -}}

{{/* Namespaces that the operator looks after, as a JSON list. */}}
{{- define "limnad.namespaces" -}}
{{- .Values.operator.namespaces | default (list .Release.Namespace) | toJson -}}
{{- end -}}

{{/* The restricted Pod Security standard, of a pod and of a container. */}}
{{- define "limnad.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "limnad.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Secret and key of the store's URL. */}}
{{- define "limnad.storeSecret" -}}
{{- .Values.store.existingSecret | default (include "limnad.name" (list . "store")) -}}
{{- end -}}

{{- define "limnad.storeKey" -}}
{{- if .Values.store.existingSecret -}}{{ .Values.store.existingSecretKey }}{{- else -}}url{{- end -}}
{{- end -}}

{{/* Whether the cluster has a store at all; empty: no. */}}
{{- define "limnad.hasStore" -}}
{{- if or .Values.redis.enabled .Values.store.url .Values.store.existingSecret -}}true{{- end -}}
{{- end -}}

{{- define "limnad.checkValues" -}}
{{- $given := list -}}
{{- if .Values.redis.enabled }}{{ $given = append $given "redis.enabled" }}{{ end -}}
{{- if .Values.store.url }}{{ $given = append $given "store.url" }}{{ end -}}
{{- if .Values.store.existingSecret }}{{ $given = append $given "store.existingSecret" }}{{ end -}}
{{- if gt (len $given) 1 -}}
{{- fail (printf "%s are set, but there can be only one store: for one of yours, set redis.enabled=false and store.url or store.existingSecret." (join " and " $given)) -}}
{{- end -}}
{{- range $part := list "tls" "tokens" -}}
{{- $fields := index $.Values.cluster $part -}}
{{- if ne (eq $fields.mode "Secret") (not (empty $fields.secretRef)) -}}
{{- fail (printf "cluster.%s.secretRef goes with cluster.%s.mode=Secret, and that mode needs it: set both or neither." $part $part) -}}
{{- end -}}
{{- end -}}
{{- if gt (len (include "limnad.cluster" .)) 40 -}}
{{- fail (printf "the cluster's name %q has more than 40 letters, and pods' names are made from it: choose a shorter release name, or set cluster.name." (include "limnad.cluster" .)) -}}
{{- end -}}
{{- if and .Values.operator.namespaces .Values.cluster.enabled (not (has .Release.Namespace .Values.operator.namespaces)) -}}
{{- fail (printf "operator.namespaces does not contain %q, where this release's cluster is, so nobody would look after it: add it, or set cluster.enabled=false." .Release.Namespace) -}}
{{- end -}}
{{- end -}}
