package ingressnginx

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "kubernetesingressnginx"

type Provider struct {
	provider.LeftOut
	WatchNamespace, WatchNamespaceSelector string
	NonTLSEntryPoints                      []string
}
