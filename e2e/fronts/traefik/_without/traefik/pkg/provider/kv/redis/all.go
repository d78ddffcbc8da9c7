package redis

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "redis"

type Provider struct {
	provider.LeftOut
}
