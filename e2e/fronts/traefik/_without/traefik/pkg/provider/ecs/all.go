package ecs

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "ecs"

type Provider struct {
	provider.LeftOut
}
