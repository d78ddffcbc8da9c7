package gateway

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "kubernetesgateway"

type Entrypoint struct {
	Address        string
	HasHTTPTLSConf bool
}

type Provider struct {
	provider.LeftOut
	EntryPoints map[string]Entrypoint
}
