{{/* Base of all names: the release's, and the chart's if that is not in it. */}}
{{- define "mailmirror.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mailmirror.operator" -}}
{{- printf "%s-operator" (include "mailmirror.fullname" .) -}}
{{- end -}}

{{/* Cluster-wide objects of two releases in different namespaces must not share a name. */}}
{{- define "mailmirror.clusterName" -}}
{{- if eq .Release.Namespace "mailmirror-system" -}}
{{- include "mailmirror.operator" . -}}
{{- else -}}
{{- printf "%s-%s" (include "mailmirror.operator" .) .Release.Namespace | trunc 100 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mailmirror.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mailmirror.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "mailmirror.selectorLabels" -}}
app.kubernetes.io/name: mailmirror-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mailmirror.labels" -}}
{{ include "mailmirror.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: mailmirror
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "mailmirror.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The namespace whose pairs are looked after; empty: all. */}}
{{- define "mailmirror.watchNamespace" -}}
{{- if .Values.namespaced -}}
{{- default .Release.Namespace .Values.watchNamespace -}}
{{- end -}}
{{- end -}}

{{/* What the `restricted` Pod Security Standard asks of a container. */}}
{{- define "mailmirror.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end -}}
