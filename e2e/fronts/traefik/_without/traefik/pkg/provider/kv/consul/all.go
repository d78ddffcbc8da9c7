package consul

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "consul"

type ProviderBuilder struct{}

func (*ProviderBuilder) BuildProviders() []provider.Provider {
	return []provider.Provider{provider.LeftOut{}}
}
