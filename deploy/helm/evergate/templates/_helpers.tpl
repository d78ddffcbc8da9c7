{{- define "evergate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 49, for the suffixes of other objects and of Pods. */}}
{{- define "evergate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 49 | trimSuffix "-" -}}
{{- else if contains (include "evergate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 49 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "evergate.name" .) | trunc 49 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "evergate.selector" -}}
app.kubernetes.io/name: {{ include "evergate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "evergate.labels" -}}
{{ include "evergate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "evergate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "evergate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "evergate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "evergate.store" -}}
{{- default "bolt" (dig "session" "store" "bolt" .Values.config) -}}
{{- end -}}

{{/* Whether the data folder is a volume that stays. */}}
{{- define "evergate.persistent" -}}
{{- if and .Values.persistence.enabled (ne (include "evergate.store" .) "redis") -}}yes{{- end -}}
{{- end -}}

{{- define "evergate.scheme" -}}
{{- if .Values.tls.existingSecret -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{- define "evergate.servicePort" -}}
{{- if .Values.service.port -}}{{ .Values.service.port }}{{- else if .Values.tls.existingSecret -}}443{{- else -}}80{{- end -}}
{{- end -}}

{{/* What cannot work is refused here, with what to do. */}}
{{- define "evergate.validate" -}}
{{- $config := .Values.config -}}
{{- range $key := list "public_url" "identity" "routes" -}}
{{- if not (get $config $key) -}}
{{- fail (printf "config.%s is needed: see config.example.yaml, and docs/kubernetes.md for whole examples" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "listen" "data_dir" "keys" -}}
{{- if hasKey $config $key -}}
{{- fail (printf "config.%s is the chart's own: leave it out (keyRing and existingSecret are for the keys)" $key) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (default dict $config.admin) "listen" -}}
{{- fail "config.admin.listen is the chart's own: leave it out" -}}
{{- end -}}
{{- range $key := list "cert_file" "key_file" "redirect_http" -}}
{{- if hasKey (default dict $config.tls) $key -}}
{{- fail (printf "config.tls.%s is the chart's own: name the Secret in tls.existingSecret, and set tls.redirectHTTP" $key) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (default dict $config.tls) "acme" -}}
{{- fail "config.tls.acme gets certificates for one gateway that the authority reaches itself: in a cluster let cert-manager make a Secret, for tls.existingSecret" -}}
{{- end -}}
{{- if and (not .Values.tls.existingSecret) (not $config.trusted_proxies) -}}
{{- fail "something has to speak https: name a Secret in tls.existingSecret, or list what does so in front (the addresses of the Ingress controller's Pods) in config.trusted_proxies" -}}
{{- end -}}
{{- if and .Values.tls.redirectHTTP (not .Values.tls.existingSecret) -}}
{{- fail "tls.redirectHTTP needs tls.existingSecret" -}}
{{- end -}}
{{- $store := include "evergate.store" . -}}
{{- if and (gt (int .Values.replicas) 1) (ne $store "redis") -}}
{{- fail (printf "replicas: %d gateways cannot share the store %s: set config.session.store: redis, or replicas: 1" (int .Values.replicas) $store) -}}
{{- end -}}
{{- if and (not .Values.existingSecret) (not (include "evergate.persistent" .)) -}}
{{- fail "existingSecret is needed, with the key ring (evergate key new) as its entry evergate.key: a key made in the Pod is gone with it, and so is everybody's session" -}}
{{- end -}}
{{- if and .Values.existingSecret (not .Values.keyRing) (not (include "evergate.persistent" .)) -}}
{{- fail "keyRing is needed: the entries of existingSecret that are keys" -}}
{{- end -}}
{{- end -}}

{{/* The config as the gateway gets it. */}}
{{- define "evergate.config" -}}
{{- include "evergate.validate" . -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" (ternary ":8443" ":8080" (ne .Values.tls.existingSecret "")) -}}
{{- $_ := set $config "data_dir" "/var/lib/evergate/data" -}}
{{- $_ := set $config "admin" (merge (dict "listen" ":9180") (default dict $config.admin)) -}}
{{- if and .Values.existingSecret .Values.keyRing -}}
{{- $files := list -}}
{{- range .Values.keyRing -}}{{- $files = append $files (printf "/run/secrets/evergate/%s" .) -}}{{- end -}}
{{- $_ := set $config "keys" (dict "files" $files) -}}
{{- end -}}
{{- if .Values.tls.existingSecret -}}
{{- $tls := merge (dict "cert_file" "/run/secrets/evergate-tls/tls.crt" "key_file" "/run/secrets/evergate-tls/tls.key") (default dict $config.tls) -}}
{{- if .Values.tls.redirectHTTP -}}{{- $_ := set $tls "redirect_http" ":8080" -}}{{- end -}}
{{- $_ := set $config "tls" $tls -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
A digest of what a running gateway cannot take from a changed file, as docs/reload.md lists it: where
it changes the Pods are replaced. Everything else is reloaded.
*/}}
{{- define "evergate.restart" -}}
{{- $config := fromYaml (include "evergate.config" .) -}}
{{- $values := list -}}
{{- range $path := list "listen" "admin.listen" "tls.redirect_http" "forward_auth.listen" "public_url" "data_dir" "session.store" "session.redis" "session.cookie" "access_token.algorithm" "access_token.rotate_keys" "tls.acme" "proxy_protocol" "limits.header_bytes" "limits.header_timeout" "limits.idle_timeout" "limits.streams" "log.format" -}}
{{- $value := $config -}}
{{- range $key := splitList "." $path -}}
{{- if kindIs "map" $value -}}{{- $value = get $value $key -}}{{- else -}}{{- $value = "" -}}{{- end -}}
{{- end -}}
{{- $values = append $values $value -}}
{{- end -}}
{{- $values = append $values (ne .Values.tls.existingSecret "") -}}
{{- toJson $values | sha256sum -}}
{{- end -}}

{{/* The hosts of public_url and of routes. */}}
{{- define "evergate.hosts" -}}
{{- $hosts := list (urlParse .Values.config.public_url).host -}}
{{- range .Values.config.routes -}}
{{- $host := dig "match" "host" "" . -}}
{{- if $host -}}{{- $hosts = append $hosts $host -}}{{- end -}}
{{- end -}}
{{- $bare := list -}}
{{- range concat $hosts .Values.ingress.extraHosts -}}{{- $bare = append $bare (regexReplaceAll ":[0-9]+$" (lower .) "") -}}{{- end -}}
{{- dict "hosts" (uniq $bare) | toJson -}}
{{- end -}}

{{- define "evergate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "evergate.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}
