{{/* What a pod needs to speak to the leader as a client: variables, mounts and volumes. */}}
{{- define "limnad.client.tlsSecret" -}}
{{- with .Values.cluster.tls -}}
{{- if eq .mode "SelfSigned" -}}{{ include "limnad.cluster" $ }}-tls{{- else if eq .mode "Secret" -}}{{ (.secretRef | default dict).name }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "limnad.client.tokenSecret" -}}
{{- with .Values.cluster.tokens -}}
{{- if eq .mode "Generated" -}}{{ include "limnad.cluster" $ }}-token{{- else if eq .mode "Secret" -}}{{ (.secretRef | default dict).name }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "limnad.client.tokenKey" -}}
{{- if eq .Values.cluster.tokens.mode "Secret" -}}{{ .Values.cluster.tokens.secretRef.key }}{{- else -}}token{{- end -}}
{{- end -}}

{{- define "limnad.client.env" -}}
- name: LIMNAD_CLUSTER
  value: {{ include "limnad.cluster" . }}-leader.{{ .Release.Namespace }}.svc:7701
{{- if include "limnad.client.tlsSecret" . }}
- name: LIMNAD_TLS_CA
  value: /etc/limnad/tls/ca.crt
{{- end }}
{{- if include "limnad.client.tokenSecret" . }}
- name: LIMNAD_TOKEN_FILE
  value: /etc/limnad/tokens/{{ include "limnad.client.tokenKey" . }}
{{- end }}
{{- end -}}

{{- define "limnad.client.mounts" -}}
{{- if include "limnad.client.tlsSecret" . }}
- {name: tls, mountPath: /etc/limnad/tls, readOnly: true}
{{- end }}
{{- if include "limnad.client.tokenSecret" . }}
- {name: tokens, mountPath: /etc/limnad/tokens, readOnly: true}
{{- end }}
{{- end -}}

{{- define "limnad.client.volumes" -}}
{{- with include "limnad.client.tlsSecret" . }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: # not the key: clients have none
      - {key: ca.crt, path: ca.crt}
{{- end }}
{{- with include "limnad.client.tokenSecret" . }}
- name: tokens
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end -}}
