package consulcatalog

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "consulcatalog"

type ProviderBuilder struct{}

func (*ProviderBuilder) BuildProviders() []provider.Provider {
	return []provider.Provider{provider.LeftOut{}}
}
